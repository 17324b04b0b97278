"""Decide: compare the version, check the policy, and write decision, operations and audit as one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.caps import entries_of
from bot.cases.freezing import (
    Choice,
    amounts_of,
    carry_out,
    circumstances,
    decision_entries,
    evidence_of,
    freeze,
    queue_operations,
)
from bot.cases.gate import DISMISS, brake, database_now, enter, judge, state_refusal, undo_refusal
from bot.cases.hold_terms import holds_of_ours
from bot.cases.recording import settle
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny, group_ids, know, stale
from bot.cases.targets import Target, targets_of
from bot.domain.actions import Action
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.domain.verbs import Verb
from bot.ledger import audit, caps, cases, operations, posts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a press led to."""

    case_id: int
    decision_id: str | None
    awaiting_approval: bool = False
    starts_at: datetime | None = None
    """Until then it can be taken back."""


async def decide(room: Room, press: Press, choice: Choice) -> Decided | Refusal:
    """One decision on one case, in one transaction; a refusal changes nothing but the log.

    Refused, in this order: who is no person of this workspace; an unknown case; a stale version; a
    case that is closed, busy or waiting already; a role that is missing; a brake that is on; nothing
    to do; a plan that the marketplace refused. Then either the operations are queued, or, where the
    policy asks for more people, the request waits with the case.
    """
    action = registry()[choice.action]
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, action.name)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = state_refusal(view, action.name)
        if refusal is not None:
            return refusal
        if choice.everything:
            choice = replace(choice, targets=targets_of(action, view))
        amounts = amounts_of(view, choice.targets, choice.plans)
        entries = entries_of(view, choice.targets, choice.plans)
        permitted = await judge(conn, room, person, view, action.name, amounts, entries)
        if isinstance(permitted, Refusal):
            return await deny(
                conn, press.user_id, permitted, action=action.name, case_id=view.case_id
            )
        refusal = (
            await brake(conn, action.name)
            or _target_refusal(view, action, choice)
            or undo_refusal(view, choice.targets)
            or await refund_refusal(conn, choice.action, choice.targets, choice.plans)
        )
        if refusal is not None:
            return refusal
        waits = permitted.approvals_needed > 0
        now = await database_now(conn)
        starts_at = None if waits else begins_at(room, action, now)
        decision = freeze(
            view,
            choice,
            requested_by=press.user_id,
            amounts=amounts,
            slots=tuple(tuple(role.value for role in slot) for slot in permitted.slots),
            approver_roles=tuple(role.value for role in permitted.approver_roles),
            now=now,
            expires_at=room.calendar.add_hours(now, room.policy.file.request_lifetime_hours)
            if waits
            else None,
            starts_at=starts_at,
        )
        moved = await cases.move_case(
            conn,
            view.case_id,
            version=press.version,
            to=CaseState.AWAITING_APPROVAL if waits else CaseState.EXECUTING,
            by=press.user_id,
        )
        if not moved:  # the row is locked, so only a wrong version can be the reason
            return Refusal(code=RefusalCode.STALE, case_id=view.case_id)
        await cases.insert_decision(
            conn,
            decision,
            evidence=evidence_of(view),
            policy_hash=room.policy.hash,
            dry_run=room.dry_run,
        )
        await caps.take(conn, decision.decision_id, "request", press.user_id, action.name, entries)
        if not waits:
            await carry_out(conn, view, decision, action)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.REQUESTED if waits else StoryKind.DECIDED,
                by=press.user_id,
                by_name=person.display_name,
                action=action.name,
                reason=choice.reason,
                note=choice.note,
                expires_at=decision.expires_at,
                starts_at=starts_at,
                approver_groups=await group_ids(
                    conn, room.policy.groups_of(permitted.approver_roles) if waits else ()
                ),
            ),
            dedupe_key=f"decision:{decision.decision_id}",
        )
        told = decision_entries(
            decision, press.user_id, waits=waits, circumstances=circumstances(person, view)
        )
        await audit.append(conn, told)
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(
        case_id=view.case_id,
        decision_id=decision.decision_id,
        awaiting_approval=waits,
        starts_at=starts_at,
    )


def begins_at(room: Room, action: Action, now: datetime) -> datetime | None:
    """When a decision of this action, taken now, is carried out; None: at once."""
    if not action.dangerous or room.delay_s <= 0:
        return None
    return now + timedelta(seconds=room.delay_s)


async def dismiss(
    room: Room, press: Press, *, reason: str, note: str | None = None
) -> Decided | Refusal:
    """Judge a case not to be fraud; the holds that we made are released with it."""
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, DISMISS)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = state_refusal(view, DISMISS)
        if refusal is not None:
            return refusal
        refusal = rules.judge_step(room.policy, DISMISS, person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=DISMISS, case_id=view.case_id)
        held = tuple((Verb.RELEASE, subject) for subject in holds_of_ours(view))
        if held:
            refusal = await brake(conn, "release")
            if refusal is not None:
                return refusal
        choice = Choice(action=DISMISS, targets=held, plans=(), reason=reason, note=note)
        decision = freeze(
            view,
            choice,
            requested_by=press.user_id,
            amounts=(),
            now=await database_now(conn),
        )
        await cases.move_case(
            conn,
            view.case_id,
            version=press.version,
            to=CaseState.EXECUTING if held else CaseState.DISMISSED,
            by=press.user_id,
            closed_at=None if held else room.clock.now(),
            dismiss_reason=reason,
        )
        await cases.insert_decision(
            conn,
            decision,
            evidence=evidence_of(view),
            policy_hash=room.policy.hash,
            dry_run=room.dry_run,
        )
        # What was judged and carried out before stays judged: only the rest is not fraud.
        await cases.set_verdicts(conn, view.case_id, "good", None, only_unset=True)
        if held:
            await queue_operations(conn, view, decision, registry()["release"])
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.DISMISSED,
                by=press.user_id,
                by_name=person.display_name,
                reason=reason,
                note=note,
                orders=len(held),
            ),
            dedupe_key=f"decision:{decision.decision_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.CASE_DISMISSED,
                    case_id=view.case_id,
                    decision_id=decision.decision_id,
                    details={
                        **circumstances(person, view),
                        "reason": reason,
                        "releases": [subject.id for _, subject in held],
                    },
                    private={"note": note or ""},
                )
            ],
        )
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision.decision_id)


async def stop_rest(room: Room, press: Press) -> Decided | Refusal:
    """Stop what of the present decision was not sent yet; what is under way finishes."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, press.user_id)
        refusal = (
            person
            if isinstance(person, Refusal)
            else rules.judge_step(room.policy, "stop_rest", person)
        )
        if refusal is not None or isinstance(person, Refusal):
            return await deny(
                conn,
                press.user_id,
                refusal or Refusal(code=RefusalCode.UNKNOWN_PERSON),
                action="stop_rest",
                case_id=press.case_id,
            )
        head = await cases.lock_case(conn, press.case_id)
        if head is None:
            return Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=press.case_id)
        if head.state is not CaseState.EXECUTING:
            return await stale(conn, head)
        decisions = await cases.read_decisions(conn, press.case_id)
        stopped = await operations.stop_queued(conn, decisions[-1].decision_id)
        if stopped == 0:
            return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=press.case_id)
        await cases.touch_case(conn, press.case_id)
        if await operations.nothing_sent(conn, decisions[-1].decision_id):
            await caps.give_back(conn, decisions[-1].decision_id)
        settled = await settle(conn, room, press.case_id, head.version, head.state)
        await posts.queue_story(
            conn,
            press.case_id,
            Story(
                kind=StoryKind.STOPPED,
                by=press.user_id,
                by_name=person.display_name,
                count=stopped,
            ),
            dedupe_key=f"stopped:{decisions[-1].decision_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.OPERATIONS_STOPPED,
                    case_id=press.case_id,
                    decision_id=decisions[-1].decision_id,
                    details={
                        "roles": sorted(role.value for role in person.roles),
                        "case_version": head.version,
                        "count": stopped,
                    },
                ),
                *([settled] if settled is not None else []),
            ],
        )
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=press.case_id, decision_id=None)


async def refund_refusal(
    conn: AsyncConnection, action: str, targets: Collection[Target], plans: Collection[Plan]
) -> Refusal | None:
    """A refund is of one order, the way it was paid, and never to a suspect."""
    refunds = [
        plan for plan in plans if plan.verb is Verb.REFUND and (plan.verb, plan.subject) in targets
    ]
    if not refunds:
        return None
    if len(refunds) > 1 or refunds[0].refund_amount <= 0:
        return Refusal(
            code=RefusalCode.NEEDS_BANK_TRANSFER
            if refunds[0].refund_route == "bank_transfer"
            else RefusalCode.NOTHING_TO_DO,
            action=action,
        )
    (plan,) = refunds
    if plan.refund_route == "bank_transfer":
        return Refusal(code=RefusalCode.NEEDS_BANK_TRANSFER, action=action)
    if plan.refund_route != "card" and await cases.is_judged_fraud(conn, plan.subject):
        return Refusal(code=RefusalCode.JUDGED_FRAUD, action=action, detail=plan.subject.id)
    return None


def _target_refusal(view: CaseView, action: Action, choice: Choice) -> Refusal | None:
    """Only what the action could act on now, and what the marketplace said it would do."""
    if not any(use.verb in view.offered for use in action.uses if not use.optional):
        return Refusal(code=RefusalCode.NOT_OFFERED, action=action.name)
    if not choice.targets:
        return Refusal(code=RefusalCode.NOTHING_TO_DO, action=action.name)
    if not set(choice.targets) <= set(targets_of(action, view)):
        return Refusal(code=RefusalCode.PLAN_CHANGED, action=action.name, case_id=view.case_id)
    if not action.dangerous:
        return None
    planned = {(plan.verb, plan.subject): plan for plan in choice.plans}
    for target in choice.targets:
        plan = planned.get(target)
        if plan is None:
            return Refusal(code=RefusalCode.PLAN_CHANGED, action=action.name, case_id=view.case_id)
        if not plan.allowed:
            return Refusal(
                code=RefusalCode.PLAN_REFUSED, action=action.name, detail=plan.refusal_code
            )
    return None
