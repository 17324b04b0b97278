"""/cre resume [ACTION]: ask for what is paused to go on, or agree with who asked before."""

from __future__ import annotations

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.pausing import propose_resume
from bot.domain.proposals import ALL
from bot.domain.refusals import Refusal
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    asked = await propose_resume(desk.room, call.user_id, argument.lower() or ALL)
    if isinstance(asked, Refusal):
        return asked
    messages = await desk.messages_of(call.user_id)
    return Answer(text=answers.proposal_answered(asked.proposal, asked.missing, messages=messages))


COMMAND = Command(
    name="resume",
    argument="[ACTION]",
    description=N_("Ask for what is paused to be resumed, or agree to it"),
    run=run,
)
