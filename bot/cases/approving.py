"""Approve, reject or let expire what waits for a second person."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.caps import entries_of
from bot.cases.deciding import Decided, begins_at, refund_refusal
from bot.cases.freezing import (
    carry_out,
    circumstances,
)
from bot.cases.gate import approval_of, brake, database_now, enter
from bot.cases.hold_terms import keep_after_expiry
from bot.cases.policy import needs_step_up
from bot.cases.recording import state_before
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny
from bot.cases.stepping_up import judge_step_up
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView, DecisionState
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, caps, cases, posts


async def approve(
    room: Room, press: Press, decision_id: str, *, step_up: str | None = None
) -> Decided | Refusal:
    """Approve a waiting request, bound to its frozen parameters; the last approval carries it out.

    Args:
        step_up: the sign-in that the approval is given by, where the policy asks for one.
    """
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, "approve")
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        decision = view.decision
        refusal = await waiting_refusal(conn, view, decision_id)
        if refusal is not None or decision is None:
            return refusal or Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
        given = await approval_of(conn, room, person, view, decision)
        if isinstance(given, Refusal):
            return await deny(conn, press.user_id, given, action="approve", case_id=view.case_id)
        refusal = await brake(conn, decision.action) or await refund_refusal(
            conn, decision.action, decision.targets, decision.plans
        )
        if refusal is not None:
            return refusal
        # The last gate, so that nobody signs in for what would be refused anyway.
        refusal = await judge_step_up(conn, room, press.user_id, view, decision, step_up)
        if refusal is not None:
            return refusal
        if needs_step_up(room.policy, decision.amounts):
            given = replace(given, step_up_id=step_up)
        if not await cases.insert_approval(conn, decision, given):
            return Refusal(code=RefusalCode.ALREADY_APPROVED, action=decision.action)
        await caps.take(
            conn,
            decision_id,
            "approval",
            press.user_id,
            decision.action,
            entries_of(view, decision.targets, decision.plans),
        )
        complete = len(decision.approvals) + 1 >= decision.approvals_needed
        action = registry()[decision.action]
        if complete:
            decision = replace(
                decision, starts_at=begins_at(room, action, await database_now(conn))
            )
            await cases.end_decision(
                conn, decision_id, DecisionState.APPROVED, starts_at=decision.starts_at
            )
        await cases.move_case(
            conn,
            view.case_id,
            version=press.version,
            to=CaseState.EXECUTING if complete else CaseState.AWAITING_APPROVAL,
            by=press.user_id,
        )
        if complete:
            await carry_out(conn, view, decision, action)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.APPROVED,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
                starts_at=decision.starts_at,
                on_behalf_of_name=await _name_of(conn, given.on_behalf_of),
            ),
            dedupe_key=f"approval:{decision_id}:{press.user_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.DECISION_APPROVED,
                    case_id=view.case_id,
                    decision_id=decision_id,
                    details={
                        **circumstances(person, view),
                        "params_hash": decision.params_hash,
                        "complete": complete,
                        **({"on_behalf_of": given.on_behalf_of} if given.on_behalf_of else {}),
                        **({"step_up": given.step_up_id} if given.step_up_id else {}),
                    },
                )
            ],
        )
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(
        case_id=view.case_id,
        decision_id=decision_id,
        awaiting_approval=not complete,
        starts_at=decision.starts_at,
    )


async def _name_of(conn: AsyncConnection, user_id: str | None) -> str | None:
    if user_id is None:
        return None
    return (await cases.read_names(conn, [user_id])).get(user_id, user_id)


async def reject(
    room: Room, press: Press, decision_id: str, *, reason: str, note: str | None = None
) -> Decided | Refusal:
    """Turn a waiting request down, or take back one's own; the case is open again."""
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, "reject")
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        decision = view.decision
        refusal = await waiting_refusal(conn, view, decision_id)
        if refusal is not None or decision is None:
            return refusal or Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
        rule = room.policy.file.actions.get(decision.action)
        may_reject = rule is not None and bool(set(rule.approve) & person.roles)
        if person.user_id != decision.requested_by and not may_reject:
            refusal = rules.no_role(room.policy, "approve", rule.approve if rule else ())
            return await deny(conn, press.user_id, refusal, action="reject", case_id=view.case_id)
        await cases.end_decision(
            conn,
            decision_id,
            DecisionState.REJECTED,
            rejected_by=press.user_id,
            rejected_reason=reason,
        )
        await caps.give_back(conn, decision_id)
        to = state_before(view, decision)
        await cases.move_case(
            conn,
            view.case_id,
            version=press.version,
            to=to,
            by=press.user_id,
            closed_at=room.clock.now() if to is CaseState.DONE else None,
        )
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.REJECTED,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
                reason=reason,
                note=note,
            ),
            dedupe_key=f"rejected:{decision_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.DECISION_REJECTED,
                    case_id=view.case_id,
                    decision_id=decision_id,
                    details={**circumstances(person, view), "reason": reason},
                    private={"note": note or ""},
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision_id)


async def expire_requests(room: Room) -> int:
    """Let requests whose time has run out end; their cases are open again. Returns how many."""
    async with room.engine.connect() as conn:
        overdue = await cases.expired_decisions(conn)
    for case_id, decision_id in overdue:
        async with room.engine.begin() as conn:
            head = await cases.lock_case(conn, case_id)
            if head is None or head.state is not CaseState.AWAITING_APPROVAL:
                continue
            if not await cases.end_decision(conn, decision_id, DecisionState.EXPIRED):
                continue
            await caps.give_back(conn, decision_id)
            view = await cases.read_view(conn, case_id)
            ended = (
                next((d for d in view.decisions if d.decision_id == decision_id), None)
                if view
                else None
            )
            to = state_before(view, ended) if view and ended else CaseState.OPEN
            await cases.move_case(
                conn,
                case_id,
                version=head.version,
                to=to,
                by="system",
                closed_at=room.clock.now() if to is CaseState.DONE else None,
            )
            await keep_after_expiry(conn, room, case_id)
            await posts.queue_story(
                conn, case_id, Story(kind=StoryKind.EXPIRED), dedupe_key=f"expired:{decision_id}"
            )
            await audit.append(
                conn,
                [
                    AuditEntry(
                        actor="system",
                        tag=AuditTag.DECISION_EXPIRED,
                        case_id=case_id,
                        decision_id=decision_id,
                    )
                ],
            )
    if overdue:
        room.bell.ring(CARDS, POSTS)
    return len(overdue)


async def waiting_refusal(
    conn: AsyncConnection, view: CaseView, decision_id: str
) -> Refusal | None:
    """Why this request cannot be answered now: it is another one, or it waits no more."""
    decision = view.decision
    if decision is None or decision.decision_id != decision_id:
        return Refusal(code=RefusalCode.STALE, case_id=view.case_id, at=view.updated_at)
    if decision.state is not DecisionState.AWAITING_APPROVAL:
        return Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
    now = await database_now(conn)
    if decision.expires_at is not None and decision.expires_at <= now:
        return Refusal(code=RefusalCode.EXPIRED, case_id=view.case_id, at=decision.expires_at)
    return None
