"""What a subcommand is, and the step that those which act share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.gate import may_open_modal
from bot.cases.opening import open_by_hand
from bot.cases.planning import read_case
from bot.cases.room import Press
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject
from bot.handlers.buttons import show_modal
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.market.reader import MarketUnreachableError

Run = Callable[[Desk, CommandCall, str], Awaitable[Answer | Refusal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One subcommand; texts are English catalogue keys."""

    name: str
    argument: str
    """What follows the name, as in the usage hint; empty for none, in brackets where it may be left out."""
    description: str
    run: Run

    @property
    def needs_argument(self) -> bool:
        return bool(self.argument) and not self.argument.startswith("[")


async def act_on(desk: Desk, call: CommandCall, subject: Subject, action: str) -> Answer | Refusal:
    """Open (or find) the subject's case and the action's modal: the same as a button would."""
    try:
        if not await desk.reader.exists(subject):
            return Refusal(code=RefusalCode.SUBJECT_NOT_FOUND, detail=subject.id)
        linked = [other for other in await desk.reader.link(subject) if other != subject]
        facts = await desk.reader.facts([subject, *linked])
    except MarketUnreachableError:
        return Refusal(code=RefusalCode.MARKET_UNREACHABLE, action=action)
    opened = await open_by_hand(
        desk.room,
        user_id=call.user_id,
        action=action,
        subjects=[subject, *linked],
        facts=facts,
    )
    if isinstance(opened, Refusal):
        return opened
    view = await read_case(desk.room, opened)
    if view is None:
        return Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=opened)
    press = Press(user_id=call.user_id, case_id=opened, version=view.version)
    allowed = await may_open_modal(desk.room, press, action)
    if isinstance(allowed, Refusal):
        return allowed
    refusal = await show_modal(
        desk, press, action, view=allowed, trigger_id=call.trigger_id, only=subject
    )
    if refusal is not None:
        return refusal
    return answers.case_opened(opened, messages=await desk.messages_of(call.user_id))
