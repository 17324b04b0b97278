"""/cre digest [DATE]: today so far, or a past day, for the one who asks."""

from __future__ import annotations

import asyncio
import logging
from datetime import date, datetime

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cards.digest_card import digest_card
from bot.domain.refusals import Refusal
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.jobs.digest import digest_for
from bot.locale import N_
from bot.publisher import links_to

logger = logging.getLogger(__name__)

AT_ONCE_S = 1.5
"""Slack waits three seconds for the acknowledgement; what takes longer is told after it."""


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    messages = await desk.messages_of(call.user_id)
    day: date | None = None
    if argument:
        try:
            day = datetime.strptime(argument, "%Y-%m-%d").replace(tzinfo=desk.tz).date()
        except ValueError:
            return answers.no_such_day(argument, messages=messages)
        if day > desk.room.clock.now().astimezone(desk.tz).date():
            return answers.no_such_day(argument, messages=messages)
    making = asyncio.ensure_future(_answer(desk, call, day))
    done, _ = await asyncio.wait({making}, timeout=AT_ONCE_S)
    if done:
        return making.result()
    desk.errands.start(_tell_later(desk, call, making))
    return Answer(text=messages.t("The digest is being made; it follows here."))


async def _answer(desk: Desk, call: CommandCall, day: date | None) -> Answer | Refusal:
    digest = await digest_for(desk.room, desk.reader, call.user_id, day, desk.tz)
    if isinstance(digest, Refusal):
        return digest
    rows = [row for part in digest.parts for row in part.rows]
    drawn = digest_card(
        digest,
        tz=desk.tz,
        messages=await desk.messages_of(call.user_id),
        links=await links_to(desk.client, rows),
    )
    return Answer(text=drawn.text, blocks=drawn.blocks)


async def _tell_later(
    desk: Desk, call: CommandCall, making: asyncio.Future[Answer | Refusal]
) -> None:
    answer = await making
    if isinstance(answer, Refusal):
        answer = Answer(text=await desk.sentence(call.user_id, answer))
    desk.tell(
        user_id=call.user_id,
        channel=call.channel,
        response_url=call.response_url,
        text=answer.text,
        blocks=answer.blocks,
    )


COMMAND = Command(
    name="digest",
    argument="[DATE]",
    description=N_("The digest of today so far, or of a past day"),
    run=run,
)
