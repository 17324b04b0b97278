"""/cre case ID: one case, whole, in a modal."""

from __future__ import annotations

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.gate import may_open_modal
from bot.cases.planning import read_case
from bot.cases.room import Press
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.buttons import show_modal
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    digits = argument.upper().removeprefix("C-")
    view = (
        await read_case(desk.room, int(digits))
        if digits.isascii() and digits.isdigit() and len(digits) < 19
        else None
    )
    if view is None:
        return Refusal(code=RefusalCode.CASE_NOT_FOUND, detail=argument)
    press = Press(user_id=call.user_id, case_id=view.case_id, version=view.version)
    allowed = await may_open_modal(desk.room, press, "details")
    if isinstance(allowed, Refusal):
        return allowed
    refusal = await show_modal(desk, press, "details", view=allowed, trigger_id=call.trigger_id)
    if refusal is not None:
        return refusal
    return answers.case_opened(view.case_id, messages=await desk.messages_of(call.user_id))


COMMAND = Command(name="case", argument="ID", description=N_("Show one case"), run=run)
