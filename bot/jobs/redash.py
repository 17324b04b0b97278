"""Turn what Redash found into cases: after each webhook, and by asking again, since webhooks get lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.health import note_run
from bot.cases.modes import sort_findings
from bot.cases.room import POSTS, Room
from bot.detections.redash_map import MappedQuery
from bot.detections.redash_rows import Misfit, take_rows
from bot.domain.errors import SayableError
from bot.domain.findings import Finding, Mode
from bot.domain.modes import Run
from bot.domain.notices import Notice, NoticeKind
from bot.domain.redash import TRIGGERED
from bot.jobs.detect import open_found
from bot.jobs.ticker import Tick
from bot.ledger import claims, posts
from bot.ledger import redash as ledger
from bot.ledger.claims import Claim
from bot.market.reader import MarketReader, MarketUnreachableError
from bot.market.redash import (
    QueryInfo,
    RedashApi,
    RedashFault,
    RedashHasNone,
    RedashKeyRefused,
    Result,
)

logger = logging.getLogger(__name__)

LEASE_S = 300.0
BATCH = 100
LONGEST_WAIT_S = 300.0
GIVE_UP = 40
"""After so many attempts, some three hours, an event is left to the polls."""
STALE = 3
"""So many intervals without a result mean that a query does not run any more."""
AWAY_S = 600.0
"""People hear of a Redash that is away after so long: it restarts now and then."""
EVERYTHING = 0
"""In place of a query's id: all of Redash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedashDesk:
    """One Redash, the queries of it that are detections, and where what they name is looked up."""

    api: RedashApi
    queries: Mapping[int, MappedQuery]
    reader: MarketReader
    most_rows: int = 20_000


async def work_events(room: Room, desk: RedashDesk, _: Tick) -> None:
    """Work off the changes of alerts that nobody has looked into."""
    owner = f"redash-{uuid4().hex}"
    while True:
        async with room.engine.begin() as conn:
            claimed = await claims.claim(
                conn, ledger.EVENTS, owner=owner, lease_s=LEASE_S, limit=BATCH
            )
        if not claimed:
            return
        by_query: dict[int, list[Claim]] = {}
        for one in claimed:
            by_query.setdefault(one.row["query_id"], []).append(one)
        for query_id, events in by_query.items():
            await _work(room, desk, query_id, events)


async def _work(room: Room, desk: RedashDesk, query_id: int, events: Sequence[Claim]) -> None:
    """All events of one query at once: its latest rows are the answer to each."""
    mapped = desk.queries.get(query_id)
    done, outcome = True, "not triggered"
    if mapped is None:
        outcome = "not in the map"
        logger.warning("Redash told of query %d, which is not in REDASH_MAP", query_id)
    elif any(event.row["alert_state"] == TRIGGERED for event in events):
        try:
            outcome = f"{await take(room, desk, mapped)} findings"
        except (RedashFault, MarketUnreachableError, SayableError) as fault:
            done, outcome = False, str(fault)
            logger.warning("%s: %s", mapped.detection.name, outcome)
    async with room.engine.begin() as conn:
        for event in events:
            given_up = not done and event.attempts >= GIVE_UP
            if given_up:
                logger.error("an event of Redash's query %d was given up: %s", query_id, outcome)
            await claims.finish(
                conn,
                ledger.EVENTS,
                event,
                set_="state = :state, outcome = :outcome",
                params={
                    "state": "done" if done or given_up else "queued",
                    "outcome": outcome[:500],
                },
                due_in_s=0 if done else claims.backoff_s(event.attempts, cap=LONGEST_WAIT_S),
            )


async def take(
    room: Room, desk: RedashDesk, mapped: MappedQuery, result: Result | None = None
) -> int:
    """Make findings of a query's latest rows, once for each result; returns how many were not known.

    Raises:
        RedashFault, MarketUnreachableError: nothing was made of them; it can be tried again.
    """
    detection, query_id, now = mapped.detection, mapped.query_id, room.clock.now()
    started = time.monotonic()
    if result is None:
        result = await fetch(desk.api, mapped)
    took_ms = int((time.monotonic() - started) * 1000)
    async with room.engine.connect() as conn:
        seen = await ledger.read_query(conn, query_id)
    if seen is not None and seen.taken_id == result.result_id:
        return 0
    if len(result.rows) > desk.most_rows:
        words = (
            f"Redash's query {query_id} returned {len(result.rows):,} rows, and {desk.most_rows:,} is the most"
            " (DETECTION_ROWS): let it return fewer."
        )
        # It ran, and is no use: of a detection that fails people hear.
        await _note_seen(room, mapped, result)
        await note_run(room, detection, Run(took_ms=took_ms, error=words), now)
        raise RedashFault(words)
    taken = take_rows(mapped, result)
    found: Sequence[Finding] = await sort_findings(
        room, detection, taken.findings, first=seen is None or seen.taken_id is None, now=now
    )
    found = [_by_people(finding) for finding in found]
    fresh = await open_found(room, desk.reader, detection, found) if found else 0
    await note_run(room, detection, Run(took_ms=took_ms, rows=len(result.rows), fresh=fresh), now)
    async with room.engine.begin() as conn:
        await ledger.note_result(
            conn,
            query_id,
            result_id=result.result_id,
            retrieved_at=result.retrieved_at,
            taken=True,
        )
        await _judge_misfits(conn, room, mapped, taken.misfits)
    room.bell.ring(POSTS)
    return fresh


def _by_people(finding: Finding) -> Finding:
    """A query in Redash is changed by whoever may edit it there, and nobody approves it: it acts on nothing."""
    return replace(finding, mode=Mode.REVIEW) if finding.mode is Mode.AUTOMATIC else finding


async def fetch(api: RedashApi, mapped: MappedQuery) -> Result:
    """The latest rows of a query; of one that Redash does not run by itself, run now. Raises RedashFault."""
    if mapped.runs:
        return await api.run(mapped.query_id, mapped.parameters, mapped.max_age)
    return await api.result(mapped.query_id)


async def poll(room: Room, desk: RedashDesk, _: Tick) -> None:
    """Find what a lost webhook would have told, what is new while an alert stays triggered, and what went quiet."""
    try:
        triggered = await _poll_alerts(room, desk)
        for mapped in desk.queries.values():
            await _look_if_allowed(room, desk, mapped, triggered)
    except RedashFault as fault:
        is_key = isinstance(fault, RedashKeyRefused)
        async with room.engine.begin() as conn:
            age_s = await ledger.begin_trouble(conn, EVERYTHING, "away")
            if is_key or age_s >= AWAY_S:
                await _tell(conn, room, None, "away", "key" if is_key else "away")
        room.bell.ring(POSTS)
        raise SayableError(str(fault)) from fault
    except MarketUnreachableError as error:
        raise SayableError(str(error)) from error
    async with room.engine.begin() as conn:
        await _recover(conn, room, None, "away")
        await ledger.prune_events(conn)
    room.bell.ring(POSTS)


async def _poll_alerts(room: Room, desk: RedashDesk) -> frozenset[int]:
    """The queries with a triggered alert; what no webhook told of is stored as if one had."""
    if not desk.api.sees_alerts:
        async with room.engine.connect() as conn:
            return frozenset([id_ for id_ in desk.queries if await ledger.is_triggered(conn, id_)])
    alerts = [
        alert
        for alert in await desk.api.alerts()
        if alert.query_id in desk.queries and not alert.muted
    ]
    async with room.engine.begin() as conn:
        for alert in alerts:
            new = await ledger.insert_event(conn, alert, via="poll")
            if new and alert.state == TRIGGERED:
                logger.info(
                    "alert %d of Redash is triggered, and no webhook has told of it", alert.alert_id
                )
    return frozenset(alert.query_id for alert in alerts if alert.state == TRIGGERED)


async def _look_if_allowed(
    room: Room, desk: RedashDesk, mapped: MappedQuery, triggered: frozenset[int]
) -> None:
    """A query that the key may not see keeps no other from being looked at."""
    try:
        await _look(room, desk, mapped, triggered)
    except RedashKeyRefused as fault:
        logger.warning("%s: %s", mapped.detection.name, fault)
        async with room.engine.begin() as conn:
            await ledger.begin_trouble(conn, mapped.query_id, "hidden")
            await _tell(conn, room, mapped, "hidden", "hidden")
    else:
        async with room.engine.begin() as conn:
            await _recover(conn, room, mapped, "hidden")


async def _look(
    room: Room, desk: RedashDesk, mapped: MappedQuery, triggered: frozenset[int]
) -> None:
    """Take a new result of a query, if its rows count now, and judge whether it still runs."""
    query_id = mapped.query_id
    try:
        info = await desk.api.query(query_id)
    except RedashHasNone:
        await _judge_idle(room, mapped, idle=True)
        return
    await _judge_idle(room, mapped, idle=is_idle(mapped, info))
    async with room.engine.connect() as conn:
        seen = await ledger.read_query(conn, query_id)
    counts = mapped.always or query_id in triggered
    is_due = mapped.runs or info.latest_result_id is not None
    new = mapped.runs or seen is None or info.latest_result_id != seen.result_id
    untaken = counts and (seen is None or seen.taken_id != info.latest_result_id)
    if is_due and (new or untaken):
        try:
            result = await fetch(desk.api, mapped)
            if counts:
                await take(room, desk, mapped, result)
            else:
                await _note_seen(room, mapped, result)
        except RedashKeyRefused:
            raise
        except RedashFault as fault:
            # One query that fails keeps no other from being looked at; that it does shows in its age.
            logger.warning("%s: %s", mapped.detection.name, fault)
    await _judge_age(room, mapped, info)


async def _note_seen(room: Room, mapped: MappedQuery, result: Result) -> None:
    async with room.engine.begin() as conn:
        await ledger.note_result(
            conn,
            mapped.query_id,
            result_id=result.result_id,
            retrieved_at=result.retrieved_at,
            taken=False,
        )


def is_idle(mapped: MappedQuery, info: QueryInfo) -> bool:
    """Whether nobody ever runs the query."""
    return info.is_archived or (info.every is None and not mapped.runs)


async def _judge_idle(room: Room, mapped: MappedQuery, *, idle: bool) -> None:
    async with room.engine.begin() as conn:
        if idle:
            await ledger.begin_trouble(conn, mapped.query_id, "idle")
            await _tell(conn, room, mapped, "idle", "idle")
        else:
            await _recover(conn, room, mapped, "idle")


async def _judge_age(room: Room, mapped: MappedQuery, info: QueryInfo) -> None:
    """A query that fails is never evaluated by Redash again, and no alert says so: only its age does."""
    every = mapped.refresh if mapped.runs else info.every
    if every is None:
        return
    most_s = STALE * every.total_seconds()
    async with room.engine.begin() as conn:
        seen = await ledger.read_query(conn, mapped.query_id)
        if seen is not None:
            age_s = await ledger.seconds_since(conn, seen.retrieved_at)
        else:
            # It never ran: since when, we know only from when we began to look.
            age_s = await ledger.begin_trouble(conn, mapped.query_id, "stale")
        if age_s > most_s:
            await ledger.begin_trouble(conn, mapped.query_id, "stale")
            at = seen.retrieved_at if seen is not None else None
            await _tell(conn, room, mapped, "stale", "stale", at=at)
        elif seen is not None:
            await _recover(conn, room, mapped, "stale")


async def _judge_misfits(
    conn: AsyncConnection,
    room: Room,
    mapped: MappedQuery,
    misfits: Sequence[tuple[Misfit, int]],
) -> None:
    if not misfits:
        await _recover(conn, room, mapped, "misfit")
        return
    for misfit, count in misfits:
        logger.warning(
            "%s: the column %r of query %d does not fit (%s) in %d rows",
            mapped.detection.name,
            misfit.column,
            mapped.query_id,
            misfit.problem,
            count,
        )
    await ledger.begin_trouble(conn, mapped.query_id, "misfit")
    counts = tuple((f"{misfit.problem}:{misfit.column}", count) for misfit, count in misfits)
    await _tell(conn, room, mapped, "misfit", "misfit", counts=counts)


async def _tell(
    conn: AsyncConnection,
    room: Room,
    mapped: MappedQuery | None,
    trouble: str,
    detail: str,
    *,
    at: datetime | None = None,
    counts: tuple[tuple[str, int], ...] = (),
) -> None:
    """Say in the channel what has begun to be wrong, once."""
    query_id = mapped.query_id if mapped else EVERYTHING
    since = await ledger.tell_trouble(conn, query_id, trouble)
    if since is not None:
        notice = replace(_about(mapped, detail), at=at or since, counts=counts)
        await _queue(conn, room, notice, f"redash:{query_id}:{trouble}:{since.isoformat()}")


async def _recover(
    conn: AsyncConnection, room: Room, mapped: MappedQuery | None, trouble: str
) -> None:
    """Say once that it is over, where it had been told."""
    query_id = mapped.query_id if mapped else EVERYTHING
    since = await ledger.end_trouble(conn, query_id, trouble)
    if since is not None:
        notice = replace(_about(mapped, f"{trouble}_over"), at=since)
        await _queue(conn, room, notice, f"redash:{query_id}:{trouble}_over:{since.isoformat()}")


def _about(mapped: MappedQuery | None, detail: str) -> Notice:
    if mapped is None:
        return Notice(kind=NoticeKind.REDASH, detail=detail)
    return Notice(
        kind=NoticeKind.REDASH,
        detail=detail,
        by=f"detection:{mapped.detection.name}",
        title_ja=mapped.detection.title.ja,
        title_en=mapped.detection.title.en,
        subject_ids=(str(mapped.query_id),),
    )


async def _queue(conn: AsyncConnection, room: Room, notice: Notice, key: str) -> None:
    await posts.queue_notice(conn, notice, channel=room.channel, dedupe_key=key)
