"""The desk: what every handler works with, and how it answers the person who pressed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.cards import answers
from bot.cards.refusals import refusal_sentence
from bot.cases.deciding import Decided
from bot.cases.room import Room, find_person, repaint
from bot.detections.detection import Detection
from bot.domain.clock import WallClock
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.errands import Errands
from bot.locale import Messages, messages_for
from bot.market.marketplace import Marketplace
from bot.market.reader import MarketReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything a handler may touch; it opens no transaction of its own."""

    room: Room
    api: Marketplace
    reader: MarketReader
    client: AsyncWebClient
    session: aiohttp.ClientSession
    errands: Errands
    tz: tzinfo
    default_locale: str
    detections: Mapping[str, Detection]
    """By name, for what they advise."""
    resync: Callable[[], Awaitable[bool]]
    """Sync people and roles now, as after an event of a user group."""

    def for_one_press(self) -> Desk:
        """The same under the policy of this moment: a press is judged by one policy from its beginning to its
        end, also where another one is adopted in between.
        """
        return replace(self, room=replace(self.room))

    async def messages_of(self, user_id: str) -> Messages:
        """The catalogue in this person's language."""
        person = await find_person(self.room, user_id)
        return messages_for(person.locale if person else self.default_locale)

    async def sentence(self, user_id: str, refusal: Refusal) -> str:
        """The refusal as the person reads it."""
        messages = await self.messages_of(user_id)
        # The times in refusals are the database's, not the market's.
        return refusal_sentence(refusal, messages, self.tz, now=WallClock().now())

    def tell(
        self,
        *,
        user_id: str,
        channel: str | None,
        response_url: str | None,
        text: str,
        blocks: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Say something to one person, after the acknowledgement."""
        self.errands.start(self._tell(user_id, channel, response_url, text, blocks))

    async def told(
        self,
        decided: Decided,
        *,
        name: str,
        user_id: str,
        channel: str | None = None,
        response_url: str | None = None,
    ) -> None:
        """Say what a press led to, and offer the next case."""
        self.errands.start(self._told(decided, name, user_id, channel, response_url))

    async def _told(
        self,
        decided: Decided,
        name: str,
        user_id: str,
        channel: str | None,
        response_url: str | None,
    ) -> None:
        answer = answers.pressed(
            name,
            decided.case_id,
            waits=decided.awaiting_approval,
            starts_at=decided.starts_at,
            messages=await self.messages_of(user_id),
            tz=self.tz,
        )
        await self._tell(
            user_id, channel or self.room.channel, response_url, answer.text, answer.blocks
        )

    async def refuse(
        self, refusal: Refusal, *, user_id: str, channel: str | None, response_url: str | None
    ) -> None:
        """Answer a refused press; a stale card is drawn anew with it."""
        self.errands.start(self._refused(refusal, user_id, channel, response_url))
        self.mend(refusal)

    async def _refused(
        self, refusal: Refusal, user_id: str, channel: str | None, response_url: str | None
    ) -> None:
        text = await self.sentence(user_id, refusal)
        await self._tell(user_id, channel or self.room.channel, response_url, text)

    def mend(self, refusal: Refusal) -> None:
        """Do something about what a press was refused for: a card or roles that are out of date."""
        if refusal.code in _REPAINTED and refusal.case_id is not None:
            self.errands.start(repaint(self.room, refusal.case_id))
        if refusal.code in {RefusalCode.UNKNOWN_PERSON, RefusalCode.ROLES_TOO_OLD}:
            self.errands.start(self._resync())

    async def update_view(self, view_id: str, view: Mapping[str, Any]) -> None:
        """Fill in a modal that was opened before the acknowledgement."""
        try:
            await self.client.views_update(view_id=view_id, view=dict(view))
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            # The person closed it meanwhile, or Slack is away; nothing was decided.
            logger.info("a modal could not be filled in: %s", slack_code(error))

    async def _tell(
        self,
        user_id: str,
        channel: str | None,
        response_url: str | None,
        text: str,
        blocks: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        drawn = [dict(block) for block in blocks] or None
        if response_url:
            try:
                async with self.session.post(
                    response_url,
                    json={
                        "response_type": "ephemeral",
                        "replace_original": False,
                        "text": text,
                        **({"blocks": drawn} if drawn else {}),
                    },
                ) as answer:
                    if answer.ok:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.info("a response_url did not answer: %s", type(error).__name__)
        if channel:
            try:
                await self.client.chat_postEphemeral(
                    channel=channel, user=user_id, text=text, blocks=drawn
                )
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("an answer could not be given: %s", slack_code(error))

    async def _resync(self) -> None:
        await self.resync()


_REPAINTED = frozenset(
    {
        RefusalCode.STALE,
        RefusalCode.CASE_CLOSED,
        RefusalCode.ALREADY_WAITING,
        RefusalCode.BUSY,
        RefusalCode.TOO_LATE,
        RefusalCode.EXPIRED,
        RefusalCode.ALREADY_APPROVED,
        RefusalCode.NOTHING_TO_DO,
        RefusalCode.PLAN_CHANGED,
        RefusalCode.UNKNOWN_BUTTON,
        RefusalCode.CONFLICT,
    }
)


def slack_code(error: Exception) -> str:
    """Slack's own word for an error, or the error's kind; never its text, which may hold a body."""
    if isinstance(error, SlackApiError):
        return str(error.response.get("error"))
    return type(error).__name__
