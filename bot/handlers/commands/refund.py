"""/cre refund ORDER: the same case, modal, policy and card as the button's."""

from __future__ import annotations

from bot.cards.answers import Answer
from bot.domain.refusals import Refusal
from bot.domain.subjects import Subject, SubjectKind
from bot.handlers.commands._kit import Command, act_on
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    return await act_on(desk, call, Subject(SubjectKind.ORDER, argument), "refund")


COMMAND = Command(
    name="refund",
    argument="ORDER",
    description=N_("Give back money of an order (asks before it does anything)"),
    run=run,
)
