"""Choosing among many members page by page: what is ticked stands in the ledger, a modal shows one page of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.gate import may_open_modal, needs_second_person
from bot.cases.room import Press, Room, know
from bot.domain.actions import Action
from bot.domain.cases import CaseView, Member, MemberFacts
from bot.domain.plans import Plan, Selection
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import posts, selections

PICK_FROM = 20
"""With more members than this whom it is for is chosen first, page by page; else in the action's own modal."""
PAGE = 50
"""Members on a page: five groups of ten checkboxes, Slack's most."""
NEXT, BACK, ALL, NONE, BELOW, ACCOUNT = (
    "pick_next",
    "pick_back",
    "pick_all",
    "pick_none",
    "pick_below",
    "pick_account",
)
STEPS = frozenset({NEXT, BACK, ALL, NONE, BELOW, ACCOUNT})
"""The buttons of the modal."""
_CURRENCY = re.compile("[A-Z]{3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picking:
    """What comes back from a page: which it was, whom it showed, and who of them is ticked."""

    plan_set_id: str
    action: str
    page: int
    shown: frozenset[Subject]
    ticked: frozenset[Subject]
    amount: str
    """What stands in the field of the amount, as typed."""
    account: str | None
    redrawn: bool
    """The modal stands in the place of a confirmation that was out of date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """The page to show now, or what the confirmation is about."""

    view: CaseView
    plans: tuple[Plan, ...]
    selection: Selection
    page: int
    second_person: bool = False


def choosable(plans: Sequence[Plan]) -> tuple[Subject, ...]:
    """Whom the marketplace allows it for, orders first, each kind in the order of the plans: dearest first."""
    subjects = dict.fromkeys(plan.subject for plan in plans if plan.allowed)
    kinds = list(SubjectKind)
    return tuple(sorted(subjects, key=lambda subject: kinds.index(subject.kind)))


def ticked_at_first(action: Action, view: CaseView, allowed: Sequence[Plan]) -> list[Plan]:
    """What stands ticked when the modal opens: of an optional verb only those whom a finding accuses.

    An account that merely came along, such as the other side of an order that somebody named, is never
    suspended by not looking.
    """
    optional = {use.verb for use in action.uses if use.optional}
    accused = {id_ for finding in view.findings for id_ in finding.account_ids}
    accused |= {member.subject.id for member in view.members if member.is_subject}
    return [p for p in allowed if p.verb not in optional or p.subject.id in accused]


def accounts_of(view: CaseView, subjects: Collection[Subject]) -> tuple[tuple[str, int], ...]:
    """Buyers and sellers of these orders with how many are theirs, the largest first."""
    counts: dict[str, int] = {}
    for member in _orders(view, subjects):
        for account in {member.facts.buyer_id, member.facts.seller_id} - {None}:
            counts[str(account)] = counts.get(str(account), 0) + 1
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def main_currency(view: CaseView, subjects: Collection[Subject]) -> str | None:
    """The currency of most of these orders: the one that an amount is typed in."""
    counts: dict[str, int] = {}
    for member in _orders(view, subjects):
        code = member.facts.currency or ""
        if _CURRENCY.fullmatch(code) and member.facts.amount is not None:
            counts[code] = counts.get(code, 0) + 1
    return max(sorted(counts), key=lambda code: counts[code], default=None)


def sums_of(view: CaseView, subjects: Collection[Subject]) -> tuple[tuple[int, str], ...]:
    """The money of these orders, one pair (amount, currency) a currency, never added up."""
    sums: dict[str, int] = {}
    for member in _orders(view, subjects):
        if member.facts.amount is not None:
            code = member.facts.currency or "?"
            sums[code] = sums.get(code, 0) + member.facts.amount
    return tuple(sorted(((amount, code) for code, amount in sums.items()), reverse=True))


async def begin(
    conn: AsyncConnection,
    view: CaseView,
    action: Action,
    plans: Sequence[Plan],
    plan_set_id: str,
    *,
    kept: Collection[Subject] | None = None,
) -> Selection | None:
    """A selection where there are too many for one modal; None where there are not.

    Args:
        kept: whom this person had chosen under plans that are out of date now.
    """
    allowed = choosable(plans)
    if action.name == "refund" or len(allowed) <= PICK_FROM:
        return None
    chosen = {plan.subject for plan in ticked_at_first(action, view, plans) if plan.allowed}
    if kept is not None:
        chosen = set(kept) & set(allowed)
    return await selections.insert(conn, plan_set_id, chosen)


async def chosen_of(room: Room, plan_set_id: str) -> Selection | None:
    """Who is chosen now."""
    async with room.engine.connect() as conn:
        return await selections.read(conn, plan_set_id)


async def turn(
    room: Room, press: Press, picking: Picking, step: str | None, *, least: int | None = None
) -> Picked | Refusal:
    """Keep what the page says, do what a button says with it, and give the page to show.

    Args:
        step: a button of the modal; None: go on to the confirmation.
        least: orders of the main currency below this are unticked, by the button for it.
    """
    view = await may_open_modal(room, press, picking.action)
    if isinstance(view, Refusal):
        return view
    async with room.engine.begin() as conn:
        plans = await posts.read_plan_set(
            conn, picking.plan_set_id, case_id=press.case_id, shown_to=press.user_id
        )
        selection = await selections.read(conn, picking.plan_set_id, lock=True)
        if plans is None or selection is None:
            return Refusal(code=RefusalCode.PLAN_CHANGED, case_id=press.case_id)
        allowed = choosable(plans)
        chosen = (selection.chosen - picking.shown) | (picking.ticked & picking.shown)
        chosen = _changed(step, chosen, allowed, view, least=least, account=picking.account)
        selection = await selections.store(conn, picking.plan_set_id, chosen & set(allowed))
        second_person = False
        if step is None:
            person = await know(conn, room, press.user_id)
            if isinstance(person, Refusal):
                return person
            mine = tuple(plan for plan in plans if plan.subject in selection.chosen)
            second_person = await needs_second_person(
                conn, room, person, view, picking.action, mine
            )
    last = max(0, (len(allowed) - 1) // PAGE)
    page = picking.page + (1 if step == NEXT else -1 if step == BACK else 0)
    return Picked(
        view=view,
        plans=plans,
        selection=selection,
        page=min(max(page, 0), last),
        second_person=second_person,
    )


def _changed(
    step: str | None,
    chosen: frozenset[Subject],
    allowed: tuple[Subject, ...],
    view: CaseView,
    *,
    least: int | None,
    account: str | None,
) -> frozenset[Subject]:
    """Who is chosen after a button."""
    if step == ALL:
        return frozenset(allowed)
    if step == NONE:
        return frozenset()
    if step == BELOW and least is not None:
        currency = main_currency(view, allowed)
        facts = {member.subject: member.facts for member in view.members}
        return frozenset(s for s in chosen if not _is_below(facts.get(s), least, currency))
    if step == ACCOUNT and account:
        theirs = {
            member.subject
            for member in _orders(view, chosen)
            if account in {member.facts.buyer_id, member.facts.seller_id}
        }
        return chosen - theirs - {Subject(SubjectKind.ACCOUNT, account)}
    return chosen


def _is_below(facts: MemberFacts | None, least: int, currency: str | None) -> bool:
    return (
        facts is not None
        and facts.amount is not None
        and facts.currency == currency
        and facts.amount < least
    )


def _orders(view: CaseView, subjects: Collection[Subject]) -> list[Member]:
    wanted = set(subjects)
    return [
        member
        for member in view.members
        if member.subject.kind is SubjectKind.ORDER and member.subject in wanted
    ]
