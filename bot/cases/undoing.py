"""Look, at the press, whether what is to be undone is still as we left it: by the marketplace's word of now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from bot.actions import registry
from bot.cases.gate import UNDOING, may_open_modal, undo_refusal
from bot.cases.room import CARDS, Press, Room
from bot.cases.targets import targets_of
from bot.cases.watching import note_changes
from bot.domain.cases import CaseState, CaseView, MemberFacts
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject
from bot.ledger import cases
from bot.market.reader import MarketUnreachableError

READ_TIMEOUT_S = 1.2
"""Slack waits three seconds for all of a press."""

FactsOf = Callable[[Sequence[Subject]], Awaitable[Mapping[Subject, MemberFacts]]]


async def refuse_if_changed(
    room: Room, facts_of: FactsOf, press: Press, action_name: str
) -> Refusal | None:
    """Why an undoing action must not go on; None for every other action, and where nothing has changed.

    Where it cannot be read, it is not undone: what a colleague did meanwhile would be lost unseen.
    """
    if action_name not in UNDOING:
        return None
    view = await may_open_modal(room, press, action_name)
    if isinstance(view, Refusal):
        return view
    targets = targets_of(registry()[action_name], view)
    subjects = list(dict.fromkeys(subject for _, subject in targets))
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            facts = await facts_of(subjects)
    except (MarketUnreachableError, TimeoutError):
        return Refusal(code=RefusalCode.MARKET_UNREACHABLE, action=action_name)
    members = tuple(replace(m, facts=facts.get(m.subject, m.facts)) for m in view.members)
    refusal = undo_refusal(replace(view, members=members), targets)
    if refusal is not None:
        await _take_over(room, view, facts)
    return refusal


async def _take_over(room: Room, view: CaseView, facts: Mapping[Subject, MemberFacts]) -> None:
    """Show what it is now, also on a case that is closed and no longer watched."""
    if await note_changes(room, view.case_id, list(facts), facts):
        return
    async with room.engine.begin() as conn:
        head = await cases.lock_case(conn, view.case_id)
        if head is None or head.state is not CaseState.DONE:
            return
        for subject, now in facts.items():
            await cases.store_facts(conn, view.case_id, subject, now)
        await cases.touch_case(conn, view.case_id)
    room.bell.ring(CARDS)
