"""The publisher: makes Slack agree with the ledger, within Slack's limits, and loses nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import aiohttp
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cards.case_buttons import proposed
from bot.cards.case_card import case_card
from bot.cards.digest_card import digest_card
from bot.cards.notices import notice_card
from bot.cards.ring_lines import picture_title
from bot.cards.ring_picture import NotDrawn, draw_apart, drawing_of
from bot.cards.roll_up import roll_up_card
from bot.cards.stories import story_text
from bot.cards.wording import case_name
from bot.cases.caps import caps_left
from bot.cases.room import CARDS, POSTS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseView, RollUp
from bot.domain.digests import CaseRow, Digest
from bot.domain.notices import Notice
from bot.domain.rates import dearest_first
from bot.domain.story import Story
from bot.domain.tracing import traced
from bot.ledger import audit, cases, claims, people
from bot.ledger.claims import Claim
from bot.ledger.engine import snapshot
from bot.ledger.values import from_json
from bot.locale import messages_for

logger = logging.getLogger(__name__)

LEASE_S = 30.0
"""Longer than a look into the history, a post and the longest wait for a turn."""
PICTURE_LEASE_S = 120.0
"""Drawing in a process of its own, and three calls."""
LONGEST_WAIT_S = 5.0
POLL_S = 1.0
CASE_EVENT = "mimawari_case"
POST_EVENT = "mimawari_post"
DIGEST_EVENT = "mimawari_digest"
CHANNEL_LOCALE = "channel_locale"

# The message is gone: somebody deleted it, or it never was.
_GONE = frozenset({"message_not_found", "cant_update_message", "thread_not_found"})
# Nobody but an administrator of the workspace can mend these.
_STUCK = frozenset(
    {
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "is_inactive",
        "missing_scope",
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
    }
)
STUCK_RETRY_S = 30.0


class NotYet(Exception):
    """It is not our turn for so many seconds; nothing was sent."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(slots=True)
class Pace:
    """A token bucket: so many calls a second, with a small burst."""

    per_s: float
    burst: float
    _level: float = 0.0
    _at: float | None = None
    """None before the first call; below zero the level is a debt that a sleeping call has taken on."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One call at a time: two that were spaced here could still arrive together."""

    async def take(self) -> None:
        """Wait until one more call is within the limit. Raises NotYet where that is too long."""
        now = time.monotonic()
        if self._at is None:
            self._level = self.burst
        else:
            self._level = min(self.burst, self._level + (now - self._at) * self.per_s)
        self._at = now
        wait_s = (1 - self._level) / self.per_s
        if wait_s > LONGEST_WAIT_S:
            # Sleeping longer could outlive the lease, and somebody else would post the same.
            raise NotYet(wait_s)
        self._level -= 1
        if self._level < 0:
            await asyncio.sleep(-self._level / self.per_s)
            self._level = 0.0

    def served(self) -> None:
        """A call has been answered: the next turn counts from here, not from when it was sent."""
        self._at = time.monotonic()

    def hold(self, seconds: float) -> None:
        """Nobody may call before this is over: the other side said so."""
        self._level = min(self._level, 1 - seconds * self.per_s)


class NotLookedUp(Exception):
    """Whether an earlier post stands there could not be found out: that is as unknown as before."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


_SLACK_TROUBLE = (SlackApiError, SlackRequestError, aiohttp.ClientError, TimeoutError)
_TROUBLE = (*_SLACK_TROUBLE, NotYet, NotLookedUp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Calls a second, a little below what Slack allows: one post a second a channel, 50 updates a minute."""

    posts_per_s: float = 0.9
    updates_per_s: float = 0.75
    picture_every_s: float = 60.0
    """So seldom the picture of one ring is posted anew."""


class Publisher:
    """One process's worker for cards and thread posts."""

    def __init__(
        self,
        room: Room,
        client: AsyncWebClient,
        *,
        default_locale: str,
        zone: ZoneInfo,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._room = room
        self._client = client
        self._default_locale = default_locale
        self._zone = zone
        self._owner = f"publisher-{uuid4().hex}"
        self._post_pace = Pace(limits.posts_per_s, burst=1)
        self._limits = limits
        self._update_pace = Pace(limits.updates_per_s, burst=5)
        self.stuck: str | None = None
        """Why nothing can be posted, in Slack's own word; for /readyz and `doctor`."""

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until stopped. New cards, updates and thread posts go on beside each other, so that a
        storm of new cards does not keep a decided one from being redrawn.
        """
        await asyncio.gather(
            self._loop(stop, CARDS, self._new_card),
            self._loop(stop, CARDS, self._changed_card),
            self._loop(stop, POSTS, self._thread_post),
            self._loop(stop, POSTS, self._notice),
            self._loop(stop, POSTS, self._digest),
            self._loop(stop, POSTS, self._picture),
        )

    async def _loop(self, stop: asyncio.Event, topic: str, step: Any) -> None:
        while not stop.is_set():
            try:
                worked = await step()
            except (SQLAlchemyError, OSError) as error:
                logger.warning("publisher cannot reach the ledger: %s", type(error).__name__)
                worked = False
            except Exception as error:  # noqa: BLE001
                # A fault of ours in one card must not keep the others from being shown.
                logger.error("publisher could not draw or post: %s", traced(error))  # noqa: TRY400
                worked = False
            if not worked:
                await self._room.bell.wait(topic, POLL_S)

    # ---- Cards

    async def _new_card(self) -> bool:
        return await self._publish_card("message_ts IS NULL AND in_channel")

    async def _changed_card(self) -> bool:
        return await self._publish_card("message_ts IS NOT NULL")

    async def _publish_card(self, also: str) -> bool:
        claim = await self._claim(claims.CARDS, also)
        if claim is None:
            return False
        async with snapshot(self._room.engine) as conn:
            view = await cases.read_view(conn, claim.key)
            locale = await people.read_preference(conn, CHANNEL_LOCALE)
            wall = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
            if view is not None and view.closed_at is None:
                left = await caps_left(conn, self._room.policy, proposed(view))
                rates = self._room.policy.file.sort_rates
                view = replace(view, caps_left=left, members=dearest_first(view.members, rates))
        if view is None:
            raise RuntimeError(f"a card has no case: {claim.key}")
        card = case_card(
            view,
            now=self._room.clock.now(),
            wall=wall,
            tz=self._zone,
            messages=messages_for(locale or self._default_locale),
            dry_run=self._room.dry_run,
        )
        message_ts = claim.row["message_ts"]
        # One that was found standing shows what the case was then: it is drawn once more.
        found = message_ts is None and claim.row["post_started_at"] is not None
        try:
            if message_ts is None:
                message_ts = await self._post_once(
                    claim,
                    claims.CARDS,
                    channel=claim.row["channel"],
                    thread_ts=None,
                    event={"event_type": CASE_EVENT, "event_payload": {"case_id": view.case_id}},
                    content={"text": card.text, "blocks": card.blocks},
                )
            else:
                async with _paced(self._update_pace):
                    await self._client.chat_update(
                        channel=claim.row["channel"],
                        ts=message_ts,
                        text=card.text,
                        blocks=card.blocks,
                    )
        except _TROUBLE as error:
            await self._put_off(claim, claims.CARDS, error)
            return True
        self.stuck = None
        async with self._room.engine.begin() as conn:
            await claims.finish(
                conn,
                claims.CARDS,
                claim,
                set_="""attempts = 0, message_ts = :ts, post_started_at = NULL, last_error = NULL,
                        published_revision = :revision""",
                params={"ts": message_ts, "revision": 0 if found else view.revision},
            )
        self._room.bell.ring(POSTS)
        return True

    # ---- Thread posts

    async def _thread_post(self) -> bool:
        # In order within a case, only once its card stands, and after every card that is still to come.
        claim = await self._claim(
            claims.POSTS,
            """kind <> 'notice' AND (kind = 'roll_up' OR EXISTS (
                   SELECT FROM ledger.cards k WHERE k.case_id = posts.case_id AND k.message_ts IS NOT NULL))
               AND NOT EXISTS (SELECT FROM ledger.cards waiting
                     WHERE waiting.message_ts IS NULL AND waiting.in_channel AND waiting.due_at <= clock_timestamp())
               AND NOT EXISTS (SELECT FROM ledger.posts older WHERE older.case_id = posts.case_id
                     AND older.state = 'queued' AND (older.created_at, older.post_id)
                                                  < (posts.created_at, posts.post_id))""",
        )
        if claim is None:
            return False
        async with self._room.engine.connect() as conn:
            thread_ts = await conn.scalar(
                text("SELECT message_ts FROM ledger.cards WHERE case_id = :case_id"),
                {"case_id": claim.row["case_id"]},
            )
            locale = await people.read_preference(conn, CHANNEL_LOCALE)
            names = await self._names_in(conn, claim)
        messages = messages_for(locale or self._default_locale)
        content: dict[str, Any]
        if claim.row["kind"] == "roll_up":
            summed = roll_up_card(
                from_json(claim.row["story"], RollUp),
                post_id=claim.key,
                now=self._room.clock.now(),
                messages=messages,
                tz=self._zone,
                names=names,
            )
            content = {"text": summed.text, "blocks": summed.blocks}
        else:
            story = from_json(claim.row["story"], Story)
            content = {"text": story_text(story, messages=messages, tz=self._zone)}
        try:
            ts = await self._post_once(
                claim,
                claims.POSTS,
                channel=claim.row["channel"],
                thread_ts=thread_ts,
                event={"event_type": POST_EVENT, "event_payload": {"post_id": claim.key}},
                content=content,
            )
        except _TROUBLE as error:
            await self._put_off(claim, claims.POSTS, error)
            return True
        async with self._room.engine.begin() as conn:
            await claims.finish(
                conn,
                claims.POSTS,
                claim,
                set_="state = 'sent', message_ts = :ts, last_error = NULL",
                params={"ts": ts},
            )
        return True

    async def _names_in(self, conn: AsyncConnection, claim: Claim) -> dict[str, str]:
        """Display names of those whom a roll-up names."""
        if claim.row["kind"] != "roll_up":
            return {}
        entries = from_json(claim.row["story"], RollUp).first
        return await cases.read_names(conn, [e.assignee for e in entries if e.assignee])

    # ---- Notices

    async def _notice(self) -> bool:
        """What belongs to no case waits for none: a pause must be seen in the middle of a storm."""
        claim = await self._claim(claims.POSTS, "kind = 'notice'")
        if claim is None:
            return False
        async with self._room.engine.connect() as conn:
            locale = await people.read_preference(conn, CHANNEL_LOCALE)
        drawn = notice_card(
            from_json(claim.row["story"], Notice),
            post_id=claim.key,
            messages=messages_for(locale or self._default_locale),
            tz=self._zone,
        )
        message_ts = claim.row["message_ts"]
        try:
            if message_ts is None:
                message_ts = await self._post_once(
                    claim,
                    claims.POSTS,
                    channel=claim.row["channel"],
                    thread_ts=None,
                    event={"event_type": POST_EVENT, "event_payload": {"post_id": claim.key}},
                    content={"text": drawn.text, "blocks": drawn.blocks},
                )
            else:
                async with _paced(self._update_pace):
                    await self._client.chat_update(
                        channel=claim.row["channel"],
                        ts=message_ts,
                        text=drawn.text,
                        blocks=drawn.blocks,
                    )
        except _TROUBLE as error:
            await self._put_off(claim, claims.POSTS, error)
            return True
        async with self._room.engine.begin() as conn:
            await claims.finish(
                conn,
                claims.POSTS,
                claim,
                # One that was found standing may show an older state: it is drawn once more.
                set_="""state = CASE WHEN revision = :revision AND NOT :found THEN 'sent' ELSE 'queued' END,
                        message_ts = :ts, post_started_at = NULL, last_error = NULL, attempts = 0""",
                params={
                    "ts": message_ts,
                    "revision": claim.row["revision"],
                    "found": claim.row["post_started_at"] is not None,
                },
            )
        return True

    # ---- Digests

    async def _digest(self) -> bool:
        claim = await self._claim(claims.DIGESTS, "true")
        if claim is None:
            return False
        digest = from_json(claim.row["content"], Digest)
        async with self._room.engine.connect() as conn:
            locale = await people.read_preference(conn, CHANNEL_LOCALE)
        rows = [row for part in digest.parts for row in part.rows]
        drawn = digest_card(
            digest,
            tz=self._zone,
            messages=messages_for(locale or self._default_locale),
            links=await links_to(self._client, rows),
        )
        try:
            ts = await self._post_once(
                claim,
                claims.DIGESTS,
                channel=claim.row["channel"],
                thread_ts=None,
                event={"event_type": DIGEST_EVENT, "event_payload": {"digest_id": claim.key}},
                content={"text": drawn.text, "blocks": drawn.blocks},
            )
        except _TROUBLE as error:
            await self._put_off(claim, claims.DIGESTS, error)
            return True
        async with self._room.engine.begin() as conn:
            written = await claims.finish(
                conn,
                claims.DIGESTS,
                claim,
                set_="state = 'sent', message_ts = :ts, last_error = NULL",
                params={"ts": ts},
            )
            if written:
                await audit.append(conn, [_digest_entry(claim, ts)])
        return True

    # ---- Pictures of rings

    async def _picture(self) -> bool:
        """The newest revision of a ring into the thread of its case, once, whoever of the replicas comes first."""
        claim = await self._claim(
            claims.PICTURES,
            """EXISTS (SELECT FROM ledger.cards k WHERE k.case_id = ring_pictures.case_id
                        AND k.message_ts IS NOT NULL)""",
            lease_s=PICTURE_LEASE_S,
        )
        if claim is None:
            return False
        async with snapshot(self._room.engine) as conn:
            view = await cases.read_view(conn, claim.key)
            locale = await people.read_preference(conn, CHANNEL_LOCALE)
        if view is None or view.channel is None or view.message_ts is None:
            raise RuntimeError(f"a picture has no card: {claim.key}")
        messages = messages_for(locale or self._default_locale)
        drawing = drawing_of(view, messages) if view.closed_at is None else None
        revision = view.ring.revision if view.ring else claim.row["wanted_revision"]
        try:
            if claim.row["file_id"] is not None and await self._stands(view, claim.row["file_id"]):
                revision = claim.row["file_revision"]
            elif drawing is not None:
                png = await draw_apart(drawing)
                await self._upload(claim, view, png, revision, picture_title(view, messages))
        except NotDrawn as error:
            # The ring stands in words on the card; a picture that cannot be drawn is not tried for ever.
            logger.warning("no picture of the ring of C-%s: %s", claim.key, error)
        except _TROUBLE as error:
            code, due_in_s, answered = _reading_of(error, claim.attempts)
            logger.warning("Slack did not take the picture of C-%s: %s", claim.key, code)
            async with self._room.engine.begin() as conn:
                await claims.finish(
                    conn,
                    claims.PICTURES,
                    claim,
                    # Where Slack refused, nothing stands in the thread; else it is looked for there first.
                    set_="last_error = :error" + (", file_id = NULL" if answered else ""),
                    due_in_s=max(due_in_s, 1.0 if answered else 5.0),
                    params={"error": code},
                )
            return True
        async with self._room.engine.begin() as conn:
            await claims.finish(
                conn,
                claims.PICTURES,
                claim,
                set_="""attempts = 0, posted_revision = :revision, file_id = NULL, last_error = NULL,
                        completed_at = clock_timestamp()""",
                # A ring that grows from minute to minute is not drawn for each newcomer.
                due_in_s=self._limits.picture_every_s,
                params={"revision": revision},
            )
        return True

    async def _stands(self, view: CaseView, file_id: str) -> bool:
        """Whether the thread has a picture whose answer we lost."""
        try:
            answer = await self._client.conversations_replies(
                channel=str(view.channel), ts=str(view.message_ts), limit=200
            )
        except _SLACK_TROUBLE as error:
            raise NotLookedUp(error) from error
        files = [f for m in answer.get("messages") or [] for f in m.get("files") or []]
        return any(file.get("id") == file_id for file in files)

    async def _upload(
        self, claim: Claim, view: CaseView, png: bytes, revision: int, title: str
    ) -> None:
        """Ask for an address, send the bytes, note the file, and only then show it."""
        async with _paced(self._post_pace):
            given = await self._client.files_getUploadURLExternal(
                filename=f"ring-{case_name(view.case_id)}.png",
                length=len(png),
                alt_txt=title[:1000],
            )
        timeout = aiohttp.ClientTimeout(total=LEASE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(str(given["upload_url"]), data=png) as answer,
        ):
            answer.raise_for_status()
        async with self._room.engine.begin() as conn:
            await conn.execute(
                text(
                    """UPDATE ledger.ring_pictures SET file_id = :file_id, file_revision = :revision
                        WHERE case_id = :case_id AND fence = :fence"""
                ),
                {
                    "file_id": given["file_id"],
                    "revision": revision,
                    "case_id": claim.key,
                    "fence": claim.fence,
                },
            )
        async with _paced(self._post_pace):
            await self._client.files_completeUploadExternal(
                files=[{"id": str(given["file_id"]), "title": title}],
                channel_id=view.channel,
                thread_ts=view.message_ts,
            )

    # ---- What all share

    async def _claim(
        self, queue: claims.Queue, also: str, *, lease_s: float = LEASE_S
    ) -> Claim | None:
        async with self._room.engine.begin() as conn:
            claimed = await claims.claim(
                conn, queue, owner=self._owner, lease_s=lease_s, limit=1, also=also
            )
        return claimed[0] if claimed else None

    async def _post_once(
        self,
        claim: Claim,
        queue: claims.Queue,
        *,
        channel: str,
        thread_ts: str | None,
        event: Mapping[str, Any],
        content: Mapping[str, Any],
    ) -> str:
        """Post, unless an earlier post whose answer we lost stands there already; returns its ts."""
        if claim.row["post_started_at"] is not None:
            try:
                found = await self._find(channel, thread_ts, event)
            except _SLACK_TROUBLE as error:
                raise NotLookedUp(error) from error
            if found is not None:
                return found
        async with self._room.engine.begin() as conn:
            await conn.execute(
                text(
                    f"""UPDATE {queue.table} SET post_started_at = clock_timestamp()
                         WHERE {queue.key} = :key"""  # noqa: S608 - only our own constants are put in
                ),
                {"key": claim.key},
            )
        async with _paced(self._post_pace):
            answer = await self._client.chat_postMessage(
                channel=channel,
                thread_ts=thread_ts,
                metadata=dict(event),
                unfurl_links=False,
                unfurl_media=False,
                **content,
            )
        return str(answer["ts"])

    async def _find(
        self, channel: str, thread_ts: str | None, event: Mapping[str, Any]
    ) -> str | None:
        """Our own message with this metadata, if Slack has it after all."""
        if thread_ts is None:
            answer = await self._client.conversations_history(
                channel=channel, include_all_metadata=True, limit=200
            )
        else:
            answer = await self._client.conversations_replies(
                channel=channel, ts=thread_ts, include_all_metadata=True, limit=200
            )
        for message in answer.get("messages") or []:
            metadata = message.get("metadata") or {}
            if (
                metadata.get("event_type") == event["event_type"]
                and metadata.get("event_payload") == event["event_payload"]
            ):
                return str(message["ts"])
        return None

    async def _put_off(self, claim: Claim, queue: claims.Queue, error: Exception) -> None:
        """Decide from Slack's answer when to try again, and whether the post may have happened."""
        code, due_in_s, answered = _reading_of(error, claim.attempts)
        # Without its digest a team can still decide: that alone makes nobody unready.
        if queue is claims.DIGESTS and code in _STUCK:
            logger.error("Slack refuses the digest in %s: %s.", claim.row["channel"], code)
        elif code in _STUCK and self.stuck != code:
            self.stuck = code
            logger.error(
                "Slack refuses to post to channel %s: %s. See `mimawari doctor`.",
                claim.row["channel"],
                code,
            )
        elif code in {"ratelimited", "not_yet"}:
            logger.info("Slack asks for %s s before the next call", due_in_s)
        elif code not in _STUCK:
            logger.warning("Slack did not take %s %s: %s", queue.table, claim.key, code)
        # A refusal means that nothing was posted; anything else that it may have been.
        forget = "post_started_at = NULL, " if answered else ""
        if code in _GONE and queue is claims.CARDS:
            forget += "message_ts = NULL, published_revision = 0, "
        elif code in _GONE and queue is claims.POSTS:
            forget += "message_ts = NULL, "
        async with self._room.engine.begin() as conn:
            await claims.finish(
                conn,
                queue,
                claim,
                set_=f"{forget}last_error = :error",
                due_in_s=due_in_s,
                params={"error": code},
            )


def _digest_entry(claim: Claim, ts: str) -> AuditEntry:
    return AuditEntry(
        actor="system",
        tag=AuditTag.DIGEST_POSTED,
        details={
            "digest": claim.key,
            "day": claim.row["day"].isoformat(),
            "channel": claim.row["channel"],
            "message_ts": ts,
            "audit_seq": claim.row["audit_seq"],
            "audit_hash": claim.row["audit_hash"],
        },
    )


async def links_to(client: AsyncWebClient, rows: Iterable[CaseRow]) -> dict[int, str]:
    """Where the cards of these cases stand; a case whose link Slack does not tell has none."""

    async def link(channel: str, ts: str) -> str | None:
        try:
            answer = await client.chat_getPermalink(channel=channel, message_ts=ts)
        except (SlackApiError, SlackRequestError, aiohttp.ClientError, TimeoutError):
            return None
        return str(answer["permalink"])

    standing = {
        row.case_id: (row.channel, row.message_ts)
        for row in rows
        if row.channel is not None and row.message_ts is not None
    }
    links = await asyncio.gather(*(link(channel, ts) for channel, ts in standing.values()))
    return {
        case_id: found for case_id, found in zip(standing, links, strict=True) if found is not None
    }


@asynccontextmanager
async def _paced(pace: Pace) -> AsyncIterator[None]:
    """Wait for a turn; if Slack still finds us too fast, let everybody wait as long as it says."""
    try:
        async with asyncio.timeout(LONGEST_WAIT_S):
            await pace.turn.acquire()
    except TimeoutError:
        raise NotYet(1.0) from None
    try:
        await pace.take()
        try:
            yield
        finally:
            pace.served()
    except SlackApiError as error:
        if error.response.status_code == 429:
            pace.hold(float(error.response.headers.get("Retry-After", 1)))
        raise
    finally:
        pace.turn.release()


def _reading_of(error: Exception, attempts: int) -> tuple[str, float, bool]:
    """Slack's code, the seconds to wait, and whether Slack surely did nothing."""
    if isinstance(error, NotLookedUp):
        code, due_in_s, _ = _reading_of(error.cause, attempts)
        # A refusal to look says nothing of the post, but that a thread is gone does.
        return code, due_in_s, code in _GONE
    if isinstance(error, NotYet):
        return "not_yet", error.seconds, True
    if isinstance(error, SlackApiError):
        response = error.response
        code = str(response.get("error") or f"http_{response.status_code}")
        if response.status_code == 429:
            return "ratelimited", float(response.headers.get("Retry-After", 1)), True
        if response.status_code >= 500:
            return code, claims.backoff_s(attempts, cap=30), False
        if code in _GONE:
            return code, 0.0, True
        return code, STUCK_RETRY_S if code in _STUCK else claims.backoff_s(attempts), True
    if isinstance(error, aiohttp.ClientConnectorError):
        return "unreachable", claims.backoff_s(attempts, cap=15), True
    return type(error).__name__, claims.backoff_s(attempts, cap=15), False
