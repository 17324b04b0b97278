"""/cre next: the most urgent and dearest case that nobody has."""

from __future__ import annotations

from bot.cards.answers import Answer
from bot.domain.refusals import Refusal
from bot.handlers.buttons import next_case
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:  # noqa: ARG001
    return await next_case(desk, call.user_id)


COMMAND = Command(
    name="next",
    argument="",
    description=N_("Take the next case: the most urgent and dearest that nobody has"),
    run=run,
)
