"""Whose a hold is and when it ends: what follows from operations, before anybody says anything about it."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.gate import database_now
from bot.cases.room import Room
from bot.cases.targets import can_take, still_ours
from bot.domain.cases import CaseView, Decision, OperationState
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import holds

SYSTEM = "system"
DRY_RUN = "dry_run"


def holds_of_ours(view: CaseView) -> tuple[Subject, ...]:
    """Orders that are held now because a decision of this case held them."""
    ours = {
        operation.subject
        for operation in view.operations
        if operation.verb is Verb.HOLD
        and operation.state is OperationState.SUCCEEDED
        and operation.resolved_by != "dry_run"
    }
    return tuple(
        member.subject
        for member in view.members
        if member.subject in ours
        and member.facts.held_at is not None
        # One that a colleague put on since is theirs to end.
        and still_ours(view, Verb.HOLD, member.subject)
    )


def is_person(user_id: str) -> bool:
    """Whether a decision was a person's; a detection's or the clock's belongs to the whole team."""
    return user_id != SYSTEM and not user_id.startswith("detection:")


def standing_holds(view: CaseView) -> tuple[Subject, ...]:
    """Orders that this case holds now and that could be released."""
    facts = {member.subject: member.facts for member in view.members}
    return tuple(
        subject for subject in holds_of_ours(view) if can_take(Verb.RELEASE, facts[subject])
    )


async def begin(conn: AsyncConnection, room: Room, case_id: int, decision_id: str) -> None:
    """A hold took effect: it is now somebody's, and it ends. What else of the decision is held later joins it."""
    requester = await holds.requester_of(conn, decision_id)
    owner = requester if is_person(requester) else None
    until = room.calendar.add_hours(await database_now(conn), room.policy.file.hold_hours)
    await holds.begin_hold(conn, case_id, decision_id, owner=owner, until=until)


async def after_decision(
    conn: AsyncConnection, room: Room, view: CaseView, decision: Decision
) -> None:
    """All operations of a decision have ended: a hold has begun, or nothing is held any more."""
    if decision.action != "hold":
        if view.hold is not None and not standing_holds(view):
            await holds.end_hold(conn, view.case_id)
    elif any(
        operation.verb is Verb.HOLD
        and operation.state is OperationState.SUCCEEDED
        and operation.resolved_by != DRY_RUN
        for operation in view.operations
        if operation.decision_id == decision.decision_id
    ):
        await begin(conn, room, view.case_id, decision.decision_id)


async def keep_after_expiry(conn: AsyncConnection, room: Room, case_id: int) -> None:
    """A request that nobody answered keeps the hold, and its owner is reminded once more."""
    hours = warning_hours(room)
    until = room.calendar.add_hours(await database_now(conn), hours)
    await holds.keep_hold(conn, case_id, until=until)


def warning_hours(room: Room) -> float:
    """How long before its end its owner is reminded; never more than half of the hold itself."""
    file = room.policy.file
    return min(file.hold_warning_hours, file.hold_hours / 2)
