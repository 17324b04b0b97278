"""Remind those who must answer a request, ever more seldom, and call others in when nobody does."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.gate import database_now
from bot.cases.room import CARDS, POSTS, Room, group_ids
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, Decision
from bot.domain.roles import Role
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, cases, posts, reminders
from bot.ledger.reminders import Waiting


async def remind(room: Room) -> int:
    """Say once more in the thread of each request that has waited too long; only while somebody is there.

    However many processes there are, each reminder is said once: the request is read again under the
    lock of its case. Returns how many were said.
    """
    async with room.engine.connect() as conn:
        now = await database_now(conn)
        if not room.calendar.is_staffed(now):
            return 0
        waiting = await reminders.read_waiting(conn)
    said = 0
    for request in waiting:
        if not (_reminder_due(room, request, now) or _escalation_due(room, request, now)):
            continue
        async with room.engine.begin() as conn:
            said += await _remind_of(conn, room, request)
    if said:
        room.bell.ring(CARDS, POSTS)
    return said


async def _remind_of(conn: AsyncConnection, room: Room, request: Waiting) -> int:
    head = await cases.lock_case(conn, request.case_id)
    again = await reminders.reread_waiting(conn, request.decision_id)
    if head is None or head.state is not CaseState.AWAITING_APPROVAL or again is None:
        return 0
    decisions = await cases.read_decisions(conn, request.case_id)
    decision = next(one for one in decisions if one.decision_id == request.decision_id)
    now = await database_now(conn)
    entries: list[AuditEntry] = []
    if _reminder_due(room, again, now):
        number = again.reminders + 1
        await reminders.note_reminder(conn, decision.decision_id)
        await posts.queue_story(
            conn,
            request.case_id,
            Story(
                kind=StoryKind.REMINDED,
                action=decision.action,
                count=number,
                expires_at=decision.expires_at,
                approver_groups=await group_ids(conn, room.policy.groups_of(missing(decision))),
            ),
            dedupe_key=f"reminder:{decision.decision_id}:{number}",
        )
        entries.append(_entry(decision, AuditTag.REQUEST_REMINDED, number=number))
    if _escalation_due(room, again, now):
        roles = room.policy.file.escalate_to
        await reminders.note_escalation(conn, decision.decision_id)
        await posts.queue_story(
            conn,
            request.case_id,
            Story(
                kind=StoryKind.CALLED_IN,
                action=decision.action,
                hours=room.policy.file.escalate_after_hours,
                expires_at=decision.expires_at,
                approver_groups=await group_ids(conn, room.policy.groups_of(roles)),
            ),
            dedupe_key=f"called_in:{decision.decision_id}",
        )
        entries.append(
            _entry(decision, AuditTag.REQUEST_ESCALATED, roles=[role.value for role in roles])
        )
    if entries:
        await audit.append(conn, entries)
    return len(entries)


def missing(decision: Decision) -> tuple[Role, ...]:
    """The roles of those whom a request still waits for; roles that others have filled are let be."""
    left = [slot for slot in decision.slots if not _filled(slot, decision)] or decision.slots
    named = [role for slot in left for role in slot] or decision.approver_roles
    return tuple(Role(role) for role in dict.fromkeys(named))


def _filled(slot: tuple[str, ...], decision: Decision) -> bool:
    return any(set(slot) & set(approval.roles) for approval in decision.approvals)


def _entry(decision: Decision, tag: AuditTag, **details: object) -> AuditEntry:
    return AuditEntry(
        actor="system",
        tag=tag,
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        details=details,
    )


def _reminder_due(room: Room, request: Waiting, now: datetime) -> bool:
    rule = room.policy.file.reminders
    if request.reminders >= rule.at_most:
        return False
    hours = rule.after_minutes / 60 * 2**request.reminders
    return _passed(room, request.reminded_at or request.requested_at, hours, now)


def _escalation_due(room: Room, request: Waiting, now: datetime) -> bool:
    file = room.policy.file
    if request.escalated_at is not None or not file.escalate_to:
        return False
    return _passed(room, request.requested_at, file.escalate_after_hours, now)


def _passed(room: Room, since: datetime, hours: float, now: datetime) -> bool:
    """Whether so many business hours have passed, and somebody is there."""
    calendar = room.calendar
    return calendar.add_hours(since, hours) <= now and calendar.is_staffed(now)
