"""Record what came of operations, and settle a case when the last of them has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import hold_terms
from bot.cases.gate import UNDOING
from bot.cases.room import CARDS, POSTS, Room
from bot.cases.targets import targets_of
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import (
    CaseState,
    CaseView,
    Decision,
    DecisionState,
    MemberFacts,
    Operation,
    OperationState,
)
from bot.domain.outcomes import Outcome
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.ledger import audit, cases, operations, posts
from bot.ledger.operations import ClaimedOperation
from bot.ledger.values import from_json

# A removed post has left what can be read of the marketplace.
_STATUS_OF_POSTS = {Verb.REMOVE_POST: "removed", Verb.RESTORE_POST: "active"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an attempt led to: the operation's new state and how we know."""

    state: OperationState
    outcome: Outcome | None = None
    resolved_by: str | None = None
    code: str | None = None
    message: str | None = None
    due_in_s: float = 0
    """When to look at it again, for states that have not ended."""
    attempt: str | None = None
    """What the attempt itself came to, where that is not the state: `not_done` for a send that surely did nothing."""


async def record(room: Room, operation: ClaimedOperation, what: str, result: Result) -> bool:
    """Write back an attempt's result, fenced; the card, the thread and the log in the same transaction.

    False, and nothing written, where another worker has taken the operation over.
    """
    async with room.engine.begin() as conn:
        head = await cases.lock_case(conn, operation.case_id)
        if head is None:
            raise RuntimeError(f"operation {operation.operation_id} has no case")
        written = await operations.write_back(
            conn,
            operation.claim,
            result.state,
            outcome=result.outcome,
            resolved_by=result.resolved_by,
            failure_code=result.code,
            failure_message=result.message,
            due_in_s=result.due_in_s,
        )
        if not written:
            return False
        if what:
            await operations.end_attempt(
                conn, operation.claim, what, result.attempt or result.state.value
            )
        entries = [_entry(operation, result)]
        if (
            operation.verb is Verb.HOLD
            and result.state is OperationState.SUCCEEDED
            and result.resolved_by != hold_terms.DRY_RUN
        ):
            await hold_terms.begin(conn, room, operation.case_id, operation.decision_id)
        if result.state is OperationState.SUCCEEDED and result.outcome is not None:
            await _store_after(conn, operation, result.outcome.after)
        await _tell(conn, operation, result)
        settled = await settle(conn, room, operation.case_id, head.version, head.state)
        if settled is None:
            await cases.touch_case(conn, operation.case_id)
        else:
            entries.append(settled)
        await audit.append(conn, entries)
    room.bell.ring(CARDS, POSTS)
    return True


def _entry(operation: ClaimedOperation, result: Result) -> AuditEntry:
    ended = result.state in {
        OperationState.SUCCEEDED,
        OperationState.FAILED,
        OperationState.NEEDS_HUMAN,
    }
    tag = AuditTag.OPERATION_ENDED if ended else AuditTag.OPERATION_UNKNOWN
    return AuditEntry(
        actor="system",
        tag=tag,
        case_id=operation.case_id,
        decision_id=operation.decision_id,
        operation_id=operation.operation_id,
        subject=operation.subject,
        details={
            "verb": operation.verb.value,
            "state": result.state.value,
            "resolved_by": result.resolved_by,
            "code": result.code,
        },
    )


async def _store_after(
    conn: AsyncConnection, operation: ClaimedOperation, after: Mapping[str, object]
) -> None:
    """Put what the marketplace says that it changed on the member, so that the card need not wait."""
    known: dict[str, Any] = {
        name: after[name]
        for name in ("status", "held_at", "canceled_at", "suspended_at", "shipped_at")
        if name in after
    }
    if operation.verb in _STATUS_OF_POSTS:
        known["status"] = _STATUS_OF_POSTS[operation.verb]
    facts = await cases.read_facts(conn, operation.case_id, operation.subject) if known else None
    if facts is not None:
        parsed = from_json(known, MemberFacts)
        facts = replace(facts, **{name: getattr(parsed, name) for name in known})
        await cases.store_facts(conn, operation.case_id, operation.subject, facts)


async def _tell(conn: AsyncConnection, operation: ClaimedOperation, result: Result) -> None:
    match result.state:
        case OperationState.FAILED | OperationState.NEEDS_HUMAN:
            kind = StoryKind.OPERATION_FAILED
        case OperationState.UNKNOWN:
            kind = StoryKind.OPERATION_UNKNOWN
        case _:
            return
    await posts.queue_story(
        conn,
        operation.case_id,
        Story(
            kind=kind,
            verb=operation.verb.value,
            subject_ids=(operation.subject.id,),
            code=result.code,
            detail=result.message,
        ),
        dedupe_key=f"operation:{operation.operation_id}:{kind}",
    )


async def settle(
    conn: AsyncConnection, room: Room, case_id: int, version: int, state: CaseState
) -> AuditEntry | None:
    """Move a case on when none of its operations is open any more; None if it is not time.

    Returns the entry for the log, which the caller appends last.
    """
    again = state is CaseState.PARTLY_DONE
    if not again and state is not CaseState.EXECUTING:
        return None
    if await operations.count_open(conn, case_id) > 0:
        return None
    view = await cases.read_view(conn, case_id)
    if view is None or view.decision is None:
        return None
    decision = view.decision
    mine = [o for o in view.operations if o.decision_id == decision.decision_id]
    to = settled_state(view, decision, mine)
    await hold_terms.after_decision(conn, room, view, decision)
    if again and to is CaseState.PARTLY_DONE:
        return None
    closed = to in {CaseState.DONE, CaseState.DISMISSED}
    now: datetime = room.clock.now()
    await cases.move_case(
        conn,
        case_id,
        version=version,
        to=to,
        by=decision.requested_by,
        closed_at=now if closed else None,
        dismiss_reason=decision.reason if to is CaseState.DISMISSED else None,
    )
    if decision.action != "dismiss":
        await posts.queue_story(
            conn,
            case_id,
            _completed(decision, mine),
            dedupe_key=f"completed:{decision.decision_id}{':again' if again else ''}",
        )
    return AuditEntry(
        actor="system",
        tag=AuditTag.CASE_SETTLED,
        case_id=case_id,
        decision_id=decision.decision_id,
        details={"state": to.value},
    )


def settled_state(view: CaseView, decision: Decision, mine: list[Operation]) -> CaseState:
    """Where a case goes when all operations of its present decision have ended."""
    if any(operation.state is not OperationState.SUCCEEDED for operation in mine):
        return CaseState.PARTLY_DONE
    if any(operation.state is OperationState.NEEDS_HUMAN for operation in view.operations):
        # Of an earlier decision: until somebody says what became of it, nothing is complete.
        return CaseState.PARTLY_DONE
    if decision.action == "dismiss":
        return CaseState.DISMISSED
    action = registry()[decision.action]
    if action.name == "refund":
        # A case that was opened for the refund alone ends with it.
        return CaseState.OPEN if view.findings else CaseState.DONE
    if action.name == "release" and decision.requested_by == hold_terms.SYSTEM:
        # A hold that ran out says nothing of what was decided before.
        return CaseState.DONE if _was_done(view, decision) else CaseState.OPEN
    if not action.closes_case and (action.name not in UNDOING or action.name == "release"):
        return CaseState.OPEN
    return CaseState.OPEN if _left_to_decide(view) else CaseState.DONE


def state_before(view: CaseView, decision: Decision) -> CaseState:
    """Where a case stood before a decision that came to nothing, from the decisions that stand."""
    earlier = [
        one
        for one in view.decisions
        if one.state is DecisionState.APPROVED and one.decision_id != decision.decision_id
    ]
    if not earlier or earlier[-1].action not in registry():
        return CaseState.OPEN
    mine = [o for o in view.operations if o.decision_id == earlier[-1].decision_id]
    return settled_state(view, earlier[-1], mine) if mine else CaseState.OPEN


def verdict_before(view: CaseView, decision: Decision, subject: Subject) -> str | None:
    """How a subject was judged by the decisions that stand, without this one."""
    verdict: str | None = None
    for one in view.decisions:
        if one.state is not DecisionState.APPROVED or one.decision_id == decision.decision_id:
            continue
        if one.action == "dismiss":
            verdict = verdict or "good"
        elif one.action in registry() and subject in {target for _, target in one.targets}:
            action = registry()[one.action]
            if action.closes_case:
                verdict = "fraud"
            elif action.undo is not None and registry()[action.undo].closes_case:
                verdict = "good"
    return verdict


def _was_done(view: CaseView, last: Decision) -> bool:
    """Whether the decision before this one had ended the case."""
    earlier = [d for d in view.decisions if d.decision_id != last.decision_id]
    if not earlier or earlier[-1].action not in registry():
        return False
    before = earlier[-1]
    mine = [o for o in view.operations if o.decision_id == before.decision_id]
    return settled_state(view, before, mine) is CaseState.DONE if mine else False


def _left_to_decide(view: CaseView) -> bool:
    """Whether a closing action could still act on a judged subject that none was carried out on."""
    closing = {
        decision.decision_id
        for decision in view.decisions
        if decision.state is DecisionState.APPROVED
        and decision.action in registry()
        and registry()[decision.action].closes_case
    }
    decided = {
        operation.subject
        for operation in view.operations
        if operation.decision_id in closing and operation.state is OperationState.SUCCEEDED
    }
    subjects = {member.subject for member in view.members if member.is_subject} - decided
    return any(
        subject in subjects
        for action in registry().values()
        if action.closes_case
        for _, subject in targets_of(action, view)
    )


def _completed(decision: Decision, mine: list[Operation]) -> Story:
    done = [o.subject.kind for o in mine if o.state is OperationState.SUCCEEDED]
    return Story(
        kind=StoryKind.COMPLETED,
        action=decision.action,
        orders=done.count(SubjectKind.ORDER),
        accounts=done.count(SubjectKind.ACCOUNT),
        listings=done.count(SubjectKind.LISTING),
        posts=done.count(SubjectKind.POST),
        count=len(mine) - len(done),
        detail="dry_run" if any(o.resolved_by == "dry_run" for o in mine) else None,
    )
