"""/cre help: what can be asked."""

from __future__ import annotations

from bot.cards import answers
from bot.cards.answers import Answer
from bot.domain.refusals import Refusal
from bot.handlers import commands
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:  # noqa: ARG001
    return answers.help_answer(
        [(c.name, c.argument, c.description) for c in commands.commands().values()],
        messages=await desk.messages_of(call.user_id),
    )


COMMAND = Command(name="help", argument="", description=N_("Show this list"), run=run)
