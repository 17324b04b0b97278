"""Decide: compare the version, check the policy, and write decision, operations and audit as one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny, group_ids, know, stale
from bot.cases.targets import Target, params_of, targets_of
from bot.domain.actions import Action
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import (
    CaseState,
    CaseView,
    Decision,
    DecisionState,
    OperationState,
)
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.domain.verbs import OperationClass, Verb
from bot.ledger import audit, cases, operations, people, posts
from bot.ledger.values import canonical_hash

DISMISS = "dismiss"

_DECIDABLE = frozenset({CaseState.OPEN, CaseState.PARTLY_DONE})
_UNDOABLE = frozenset({CaseState.OPEN, CaseState.PARTLY_DONE, CaseState.DONE})
_UNDOING = frozenset({"reinstate", "release"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a press led to."""

    case_id: int
    decision_id: str | None
    awaiting_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person chose: an action on targets, as planned and shown, and why."""

    action: str
    targets: tuple[Target, ...]
    plans: tuple[Plan, ...]
    reason: str
    note: str | None = None


async def decide(room: Room, press: Press, choice: Choice) -> Decided | Refusal:
    """One decision on one case, in one transaction; a refusal changes nothing but the log.

    Refused, in this order: who is no person of this workspace; an unknown case; a stale version; a
    case that is closed, busy or waiting already; a role that is missing; a brake that is on; nothing
    to do; a plan that the marketplace refused. Then either the operations are queued, or, where the
    policy asks for more people, the request waits with the case.
    """
    action = registry()[choice.action]
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, press, action.name)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = _state_refusal(view, action.name)
        if refusal is not None:
            return refusal
        amounts = _amounts(view, choice.targets)
        permitted = rules.judge_request(
            room.policy, action.name, person, amounts, opened_by=view.opened_by
        )
        if isinstance(permitted, Refusal):
            return await deny(
                conn, press.user_id, permitted, action=action.name, case_id=view.case_id
            )
        refusal = await _brake(conn, action.name) or _target_refusal(view, action, choice)
        if refusal is not None:
            return refusal
        waits = permitted.approvals_needed > 0
        now = await _database_now(conn)
        decision = _decision(
            view,
            choice,
            requested_by=press.user_id,
            amounts=amounts,
            approvals_needed=permitted.approvals_needed,
            approver_roles=tuple(role.value for role in permitted.approver_roles),
            now=now,
            expires_at=now + timedelta(hours=room.policy.file.request_lifetime_hours)
            if waits
            else None,
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
            conn, decision, evidence=_evidence(view), policy_hash=room.policy.hash
        )
        if not waits:
            await _carry_out(conn, view, decision, action)
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
                approver_groups=await group_ids(
                    conn, room.policy.groups_of(permitted.approver_roles) if waits else ()
                ),
            ),
            dedupe_key=f"decision:{decision.decision_id}",
        )
        await audit.append(conn, _decision_entries(decision, press.user_id, waits=waits))
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision.decision_id, awaiting_approval=waits)


async def approve(room: Room, press: Press, decision_id: str) -> Decided | Refusal:
    """Approve a waiting request, bound to its frozen parameters; the last approval carries it out."""
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, press, "approve")
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        decision = view.decision
        refusal = await _waiting_refusal(conn, view, decision_id)
        if refusal is not None or decision is None:
            return refusal or Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
        refusal = rules.judge_approval(
            room.policy,
            decision.action,
            person,
            requested_by=decision.requested_by,
            opened_by=view.opened_by,
            approved_by=[approval.user_id for approval in decision.approvals],
        )
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action="approve", case_id=view.case_id)
        refusal = await _brake(conn, decision.action)
        if refusal is not None:
            return refusal
        if not await cases.insert_approval(conn, decision, press.user_id):
            return Refusal(code=RefusalCode.ALREADY_APPROVED, action=decision.action)
        complete = len(decision.approvals) + 1 >= decision.approvals_needed
        if complete:
            await cases.end_decision(conn, decision_id, DecisionState.APPROVED)
        await cases.move_case(
            conn,
            view.case_id,
            version=press.version,
            to=CaseState.EXECUTING if complete else CaseState.AWAITING_APPROVAL,
            by=press.user_id,
        )
        if complete:
            await _carry_out(conn, view, decision, registry()[decision.action])
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.APPROVED,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
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
                    details={"params_hash": decision.params_hash, "complete": complete},
                )
            ],
        )
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision_id, awaiting_approval=not complete)


async def reject(
    room: Room, press: Press, decision_id: str, *, reason: str, note: str | None = None
) -> Decided | Refusal:
    """Turn a waiting request down, or take back one's own; the case is open again."""
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, press, "reject")
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        decision = view.decision
        refusal = await _waiting_refusal(conn, view, decision_id)
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
        await cases.move_case(
            conn, view.case_id, version=press.version, to=CaseState.OPEN, by=press.user_id
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
                    details={"reason": reason},
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision_id)


async def dismiss(
    room: Room, press: Press, *, reason: str, note: str | None = None
) -> Decided | Refusal:
    """Judge a case not to be fraud; the holds that we made are released with it."""
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, press, DISMISS)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = _state_refusal(view, DISMISS)
        if refusal is not None:
            return refusal
        refusal = rules.judge_step(room.policy, DISMISS, person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=DISMISS, case_id=view.case_id)
        held = tuple((Verb.RELEASE, subject) for subject in holds_of_ours(view))
        if held:
            refusal = await _brake(conn, "release")
            if refusal is not None:
                return refusal
        choice = Choice(action=DISMISS, targets=held, plans=(), reason=reason, note=note)
        decision = _decision(
            view,
            choice,
            requested_by=press.user_id,
            amounts=(),
            approvals_needed=0,
            now=await _database_now(conn),
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
            conn, decision, evidence=_evidence(view), policy_hash=room.policy.hash
        )
        await cases.set_verdicts(conn, view.case_id, "good", None)
        if held:
            await _queue_operations(conn, view, decision, registry()["release"])
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
                    details={"reason": reason, "releases": [subject.id for _, subject in held]},
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
                    details={"count": stopped},
                )
            ],
        )
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=press.case_id, decision_id=None)


def holds_of_ours(view: CaseView) -> tuple[Subject, ...]:
    """Orders that are held now because a decision of this case held them."""
    ours = {
        operation.subject
        for operation in view.operations
        if operation.verb is Verb.HOLD and operation.state is OperationState.SUCCEEDED
    }
    return tuple(
        member.subject
        for member in view.members
        if member.subject in ours and member.facts.held_at is not None
    )


async def may_open_modal(room: Room, press: Press, action: str) -> CaseView | Refusal:
    """Whether it makes sense to show this person the modal of an action; decides nothing.

    A refusal is written to the log as at a decision, so that the answer comes at the press.
    """
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, press, action)
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
                refusal = rules.judge_approval(
                    room.policy,
                    decision.action,
                    person,
                    requested_by=decision.requested_by,
                    opened_by=view.opened_by,
                    approved_by=[approval.user_id for approval in decision.approvals],
                )
            elif person.user_id == decision.requested_by or (
                rule is not None and set(rule.approve) & person.roles
            ):
                refusal = None
            else:
                refusal = rules.no_role(room.policy, "approve", rule.approve if rule else ())
        else:
            stopped = _state_refusal(view, action) or await _brake(conn, action)
            if stopped is not None:
                return stopped
            refusal = rules.judge_step(room.policy, action, person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=action, case_id=view.case_id)
        return view


def needs_second_person(room: Room, person: Person, view: CaseView, action: str) -> bool:
    """What the modal says of a second person, for all of the action's targets; the decision has the last word."""
    targets = targets_of(registry()[action], view)
    permitted = rules.judge_request(
        room.policy, action, person, _amounts(view, targets), opened_by=view.opened_by
    )
    return not isinstance(permitted, Refusal) and permitted.approvals_needed > 0


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
            await cases.move_case(
                conn, case_id, version=head.version, to=CaseState.OPEN, by="system"
            )
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


# ---- Steps of a decision


async def _enter(
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


def _state_refusal(view: CaseView, action: str) -> Refusal | None:
    if view.state in (_UNDOABLE if action in _UNDOING else _DECIDABLE):
        return None
    match view.state:
        case CaseState.AWAITING_APPROVAL:
            return Refusal(code=RefusalCode.ALREADY_WAITING, case_id=view.case_id)
        case CaseState.EXECUTING:
            return Refusal(code=RefusalCode.BUSY, case_id=view.case_id)
        case CaseState.DONE | CaseState.DISMISSED | CaseState.OPEN | CaseState.PARTLY_DONE:
            return Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)


async def _brake(conn: AsyncConnection, action: str) -> Refusal | None:
    pause = await people.read_pause(conn, action)
    if pause is None:
        return None
    return Refusal(code=RefusalCode.PAUSED, by=pause.by, at=pause.at, reason=pause.reason)


def _target_refusal(view: CaseView, action: Action, choice: Choice) -> Refusal | None:
    """Only what the action could act on now, and what the marketplace said it would do."""
    if any(use.verb not in view.offered for use in action.uses if not use.optional):
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


async def _waiting_refusal(
    conn: AsyncConnection, view: CaseView, decision_id: str
) -> Refusal | None:
    decision = view.decision
    if decision is None or decision.decision_id != decision_id:
        return Refusal(code=RefusalCode.STALE, case_id=view.case_id, at=view.updated_at)
    if decision.state is not DecisionState.AWAITING_APPROVAL:
        return Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
    now = await _database_now(conn)
    if decision.expires_at is not None and decision.expires_at <= now:
        return Refusal(code=RefusalCode.EXPIRED, case_id=view.case_id, at=decision.expires_at)
    return None


async def _database_now(conn: AsyncConnection) -> datetime:
    """The database's clock, which lifetimes of requests run by."""
    now: datetime = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return now


def _amounts(view: CaseView, targets: Collection[Target]) -> tuple[tuple[int, str], ...]:
    """The money that these targets move, gross, one pair (amount, currency) a currency."""
    moved = {subject for verb, subject in targets if verb in {Verb.CANCEL, Verb.REFUND}}
    sums: dict[str, int] = {}
    for member in view.members:
        facts = member.facts
        if member.subject in moved and facts.amount is not None:
            # An order without a currency counts as one that no limit covers.
            currency = facts.currency or "?"
            sums[currency] = sums.get(currency, 0) + facts.amount
    return tuple(sorted(((amount, currency) for currency, amount in sums.items()), reverse=True))


def _decision(
    view: CaseView,
    choice: Choice,
    *,
    requested_by: str,
    amounts: tuple[tuple[int, str], ...],
    approvals_needed: int,
    now: datetime,
    approver_roles: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> Decision:
    chosen = set(choice.targets)
    plans = tuple(plan for plan in choice.plans if (plan.verb, plan.subject) in chosen)
    waits = approvals_needed > 0
    return Decision(
        decision_id=f"dec_{uuid4().hex}",
        case_id=view.case_id,
        case_version=view.version,
        action=choice.action,
        state=DecisionState.AWAITING_APPROVAL if waits else DecisionState.APPROVED,
        requested_by=requested_by,
        requested_at=now,
        reason=choice.reason,
        note=choice.note,
        targets=choice.targets,
        plans=plans,
        params_hash=params_hash(view.case_id, choice, plans, amounts),
        amounts=amounts,
        approvals_needed=approvals_needed,
        approver_roles=approver_roles,
        expires_at=expires_at,
        decided_at=None if waits else now,
    )


def params_hash(
    case_id: int,
    choice: Choice,
    plans: Sequence[Plan],
    amounts: Sequence[tuple[int, str]],
) -> str:
    """What an approval is bound to: any amendment of these changes it."""
    return canonical_hash(
        {
            "case": case_id,
            "action": choice.action,
            "targets": sorted(
                [verb.value, subject.kind.value, subject.id] for verb, subject in choice.targets
            ),
            "tokens": sorted([plan.verb.value, plan.subject.id, plan.token] for plan in plans),
            "amounts": sorted([amount, currency] for amount, currency in amounts),
        }
    )


def _evidence(view: CaseView) -> dict[str, object]:
    """What the person saw when they decided, by id and revision."""
    return {
        "revision": view.revision,
        "findings": [finding.finding_id for finding in view.findings],
        "members": [f"{member.subject.kind}:{member.subject.id}" for member in view.members],
    }


async def _carry_out(
    conn: AsyncConnection, view: CaseView, decision: Decision, action: Action
) -> None:
    """Queue the operations of a decision that nothing stands against any more, and label its members."""
    await _queue_operations(conn, view, decision, action)
    subjects = {subject for _, subject in decision.targets}
    if action.closes_case:
        await cases.set_verdicts(conn, view.case_id, "fraud", subjects)
    elif action.name == "reinstate":
        await cases.set_verdicts(conn, view.case_id, "good", subjects)


async def _queue_operations(
    conn: AsyncConnection, view: CaseView, decision: Decision, action: Action
) -> None:
    plans = {(plan.verb, plan.subject): plan for plan in decision.plans}
    facts = {member.subject: member.facts for member in view.members}
    classes = await people.read_capabilities(conn)
    for verb, subject in decision.targets:
        plan = plans.get((verb, subject))
        body: dict[str, object] = {
            "reason": decision.reason,
            "actor": decision.requested_by,
            **params_of(action, verb),
        }
        if decision.note:
            body["note"] = decision.note
        if plan is not None:
            body["plan_token"] = plan.token
        capability = classes.get(verb)
        await operations.insert_operation(
            conn,
            operations.NewOperation(
                operation_id=f"op_{uuid4().hex}",
                decision_id=decision.decision_id,
                case_id=view.case_id,
                verb=verb,
                subject=subject,
                body=body,
                plan_token=plan.token if plan else None,
                # A verb that was never declared is trusted least.
                operation_class=capability.operation_class if capability else OperationClass.NONE,
                amount=facts[subject].amount if subject in facts else None,
                currency=facts[subject].currency if subject in facts else None,
            ),
        )


def _decision_entries(decision: Decision, user_id: str, *, waits: bool) -> list[AuditEntry]:
    details: dict[str, object] = {
        "action": decision.action,
        "reason": decision.reason,
        "params_hash": decision.params_hash,
        "amounts": [list(pair) for pair in decision.amounts],
        "targets": [f"{verb}:{subject.kind}:{subject.id}" for verb, subject in decision.targets],
        "approvals_needed": decision.approvals_needed,
    }
    requested = AuditEntry(
        actor=user_id,
        tag=AuditTag.DECISION_REQUESTED,
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        details=details,
    )
    if waits:
        return [requested]
    approved = AuditEntry(
        actor=user_id,
        tag=AuditTag.DECISION_APPROVED,
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        details={"params_hash": decision.params_hash, "complete": True, "alone": True},
    )
    return [requested, approved]
