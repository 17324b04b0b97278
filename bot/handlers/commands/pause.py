"""/cre pause [ACTION] REASON: stop everything at once, or one action."""

from __future__ import annotations

from bot.actions import registry
from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.pausing import pause
from bot.domain.proposals import ALL
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    first, _, rest = argument.partition(" ")
    name, reason = (first.lower(), rest) if first.lower() in {ALL, *registry()} else (ALL, argument)
    if not reason.strip():
        return Refusal(code=RefusalCode.NO_REASON, count=1)
    paused = await pause(desk.room, call.user_id, name, reason)
    if isinstance(paused, Refusal):
        return paused
    return answers.paused(paused, messages=await desk.messages_of(call.user_id), tz=desk.tz)


COMMAND = Command(
    name="pause",
    argument="[ACTION] REASON",
    description=N_("Pause all operations, or those of one action"),
    run=run,
)
