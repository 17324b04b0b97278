"""/cre audit SUBJECT: what happened to an order, an account or a case, and by whom."""

from __future__ import annotations

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.reading import names_of, trail_of
from bot.domain.refusals import Refusal
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    trail = await trail_of(desk.room, call.user_id, argument)
    if isinstance(trail, Refusal):
        return trail
    return answers.audit_answer(
        argument,
        trail,
        messages=await desk.messages_of(call.user_id),
        tz=desk.tz,
        names=await names_of(desk.room, [entry.actor for entry in trail]),
    )


COMMAND = Command(
    name="audit",
    argument="SUBJECT",
    description=N_("What happened to an order, an account or a case"),
    run=run,
)
