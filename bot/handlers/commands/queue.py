"""/cre queue: the open cases, the most urgent and dearest first."""

from __future__ import annotations

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.reading import names_of, queue_for
from bot.domain.refusals import Refusal
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:  # noqa: ARG001
    entries = await queue_for(desk.room, call.user_id)
    if isinstance(entries, Refusal):
        return entries
    return answers.queue_answer(
        entries,
        now=desk.room.clock.now(),
        messages=await desk.messages_of(call.user_id),
        names=await names_of(desk.room, [entry.assignee for entry in entries]),
    )


COMMAND = Command(
    name="queue", argument="", description=N_("Open cases, the most urgent first"), run=run
)
