"""The gate: who is there, which case, and whether it can be decided now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.caps import caps_left, earlier_alone, entries_of, leeway_for
from bot.cases.delegating import stand_in
from bot.cases.freezing import amounts_of
from bot.cases.room import Press, Room, deny, know, stale
from bot.cases.targets import UNDOES, Target, still_ours, targets_of
from bot.domain.cases import Approval, CaseState, CaseView, Decision, DecisionState, MemberFacts
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.ledger import cases, switches
from bot.ledger.caps import CapEntry, lock_caps

DISMISS = "dismiss"
DETAILS = "details"
BY_HAND = "by_hand"
BREAK_GLASS = "break_glass"
EXTEND_HOLD = "extend_hold"
KEEP = "keep"
OVERTURN = "overturn"

_DECIDABLE = frozenset({CaseState.OPEN, CaseState.PARTLY_DONE})
_UNDOABLE = frozenset({CaseState.OPEN, CaseState.PARTLY_DONE, CaseState.DONE})
UNDOING = frozenset({"reinstate", "release", "restore", "restore_posts"})


async def enter(
    conn: AsyncConnection, room: Room, press: Press, action: str
) -> tuple[Person, CaseView] | Refusal:
    """The person and the locked case, if the person saw its present version."""
    person = await know(conn, room, press.user_id)
    if isinstance(person, Refusal):
        return await deny(conn, press.user_id, person, action=action, case_id=press.case_id)
    head = await cases.lock_case(conn, press.case_id)
    if head is None:
        return Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=press.case_id)
    if head.version != press.version:
        return await stale(conn, head)
    view = await cases.read_view(conn, press.case_id)
    if view is None:
        return Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=press.case_id)
    return person, view


def state_refusal(view: CaseView, action: str) -> Refusal | None:
    if view.state in (_UNDOABLE if action in UNDOING else _DECIDABLE):
        return None
    match view.state:
        case CaseState.AWAITING_APPROVAL:
            return Refusal(code=RefusalCode.ALREADY_WAITING, case_id=view.case_id)
        case CaseState.EXECUTING:
            return Refusal(code=RefusalCode.BUSY, case_id=view.case_id)
        case CaseState.DONE | CaseState.DISMISSED | CaseState.OPEN | CaseState.PARTLY_DONE:
            return Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)


def undo_refusal(view: CaseView, targets: Collection[Target]) -> Refusal | None:
    """Refuse to undo what somebody else has changed since: it would be theirs that we undo."""
    for verb, subject in targets:
        undone = UNDOES.get(verb)
        if undone is not None and not still_ours(view, undone, subject):
            facts = next((m.facts for m in view.members if m.subject == subject), MemberFacts())
            return Refusal(
                code=RefusalCode.CHANGED_SINCE,
                case_id=view.case_id,
                detail=subject.id,
                reason=facts.status,
                at=facts.suspended_at or facts.held_at,
            )
    return None


async def brake(conn: AsyncConnection, action: str) -> Refusal | None:
    pause = await switches.read_pause(conn, action)
    if pause is None:
        return None
    return Refusal(
        code=RefusalCode.PAUSED, action=pause.name, by=pause.by, at=pause.at, reason=pause.reason
    )


async def may_open_modal(room: Room, press: Press, action: str) -> CaseView | Refusal:
    """Whether it makes sense to show this person the modal of an action; decides nothing.

    A refusal is written to the log as at a decision, so that the answer comes at the press.
    """
    if action == DETAILS:
        return await _may_look(room, press)
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, action)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal: Refusal | None
        if action in {"approve", "reject"}:
            decision = view.decision
            if decision is None or decision.state is not DecisionState.AWAITING_APPROVAL:
                return Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
            rule = room.policy.file.actions.get(decision.action)
            if action == "approve":
                given = await approval_of(conn, room, person, view, decision)
                refusal = given if isinstance(given, Refusal) else None
            elif person.user_id == decision.requested_by or (
                rule is not None and set(rule.approve) & person.roles
            ):
                refusal = None
            else:
                refusal = rules.no_role(room.policy, "reject", rule.approve if rule else ())
        elif action == BREAK_GLASS:
            decision = view.decision
            if decision is None or decision.state is not DecisionState.AWAITING_APPROVAL:
                return Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
            refusal = rules.judge_step(room.policy, action, person)
            stopped = None if refusal else await brake(conn, decision.action)
            if stopped is not None:
                return stopped
        elif action == EXTEND_HOLD:
            busy = state_refusal(view, "release")
            if busy is not None:
                return busy
            if view.hold is None:
                return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
            refusal = rules.judge_step(room.policy, action, person)
        elif action == OVERTURN:
            if view.state not in {CaseState.DONE, CaseState.DISMISSED}:
                return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
            refusal = rules.judge_step(room.policy, action, person)
        elif action == BY_HAND:
            if view.state not in {CaseState.EXECUTING, CaseState.PARTLY_DONE}:
                return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
            refusal = rules.judge_step(room.policy, action, person)
        else:
            stopped = (
                state_refusal(view, action)
                or await brake(conn, action)
                or undo_refusal(
                    view, targets_of(registry()[action], view) if action in UNDOING else ()
                )
            )
            if stopped is not None:
                return stopped
            refusal = rules.judge_step(room.policy, action, person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=action, case_id=view.case_id)
        if action == "approve" and view.decision is not None:
            left = await caps_left(conn, room.policy, [view.decision.action], press.user_id)
            view = replace(view, caps_left=left)
        return view


async def _may_look(room: Room, press: Press) -> CaseView | Refusal:
    """Whoever may see cases sees them as they are now, whatever state they saw before."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, press.user_id)
        refusal = (
            person
            if isinstance(person, Refusal)
            else rules.judge_step(room.policy, DETAILS, person)
        )
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=DETAILS, case_id=press.case_id)
        view = await cases.read_view(conn, press.case_id)
    return view or Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=press.case_id)


async def judge(
    conn: AsyncConnection,
    room: Room,
    person: Person,
    view: CaseView,
    action: str,
    amounts: Collection[tuple[int, str]],
    entries: Sequence[CapEntry],
) -> rules.Permitted | Refusal:
    """The policy's word on a decision, caps included; the caps stay locked until the transaction ends."""
    await lock_caps(conn)
    leeway = await leeway_for(conn, room.policy, action, person.user_id, entries)
    permitted = rules.judge_request(
        room.policy,
        action,
        person,
        amounts,
        opened_by=view.opened_by,
        earlier=await earlier_alone(conn, action, entries) if amounts else None,
        cap_reached=leeway.own is not None,
    )
    if isinstance(permitted, Refusal):
        return permitted
    if leeway.refusal is not None:
        return leeway.refusal
    # Where nobody approves there is no other person to lift it.
    return permitted if permitted.slots or leeway.own is None else leeway.own


async def approval_of(
    conn: AsyncConnection, room: Room, person: Person, view: CaseView, decision: Decision
) -> Approval | Refusal:
    """What this person's approval of a waiting request would be, their own caps included."""
    given = Approval(
        user_id=person.user_id,
        at=view.updated_at,
        roles=tuple(sorted(role.value for role in person.roles)),
    )
    refusal = rules.judge_waiting(room.policy, decision, person, opened_by=view.opened_by)
    if refusal is not None:
        # Their own roles do not suffice: somebody who is away may have lent them theirs.
        lent = await stand_in(conn, room, person, view, decision)
        if lent is None:
            return refusal
        given = lent
    await lock_caps(conn)
    leeway = await leeway_for(
        conn,
        room.policy,
        decision.action,
        person.user_id,
        entries_of(view, decision.targets, decision.plans),
        own_only=True,
    )
    return leeway.own or given


async def needs_second_person(
    conn: AsyncConnection,
    room: Room,
    person: Person,
    view: CaseView,
    action: str,
    plans: Collection[Plan],
) -> bool:
    """What the modal says of a second person, for all of the action's targets; the decision has the last word."""
    targets = targets_of(registry()[action], view)
    amounts = amounts_of(view, targets, plans)
    entries = entries_of(view, targets, plans)
    if action == "refund":
        # One order at a time, so the dearest tells.
        amounts = (max(amounts),) if amounts else ()
        entries = (max(entries, key=lambda entry: entry.amount),) if entries else ()
    permitted = await judge(conn, room, person, view, action, amounts, entries)
    return not isinstance(permitted, Refusal) and permitted.approvals_needed > 0


async def database_now(conn: AsyncConnection) -> datetime:
    """The database's clock, which lifetimes of requests run by."""
    now: datetime = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return now
