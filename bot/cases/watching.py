"""Watch members of open cases for changes that somebody else made in the marketplace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from bot.cases.gate import database_now
from bot.cases.room import CARDS, POSTS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, MemberFacts
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.ledger import audit, cases, posts


def what_matters(facts: MemberFacts) -> tuple[object, ...]:
    """What of a member decides which actions are possible and how much is at stake."""
    return (
        facts.status,
        facts.amount,
        facts.currency,
        facts.held_at,
        facts.shipped_at,
        facts.canceled_at,
        facts.suspended_at,
    )


async def members_to_watch(room: Room) -> tuple[datetime, dict[int, list[Subject]]]:
    """The moment by the database's clock, and the members of every open case, by case."""
    async with room.engine.connect() as conn:
        return await database_now(conn), await cases.open_members(conn)


async def note_changes(
    room: Room,
    case_id: int,
    subjects: Sequence[Subject],
    facts: Mapping[Subject, MemberFacts],
    *,
    asked_at: datetime | None = None,
) -> int:
    """Take over what has changed; a change that matters moves the version. Returns how many did.

    Nothing moves while operations run: what they change is ours. Nor where one has ended since it was
    asked for (`asked_at`, by the database's clock): what was read is older than what we know.
    """
    async with room.engine.begin() as conn:
        head = await cases.lock_case(conn, case_id)
        if head is None or head.state not in {
            CaseState.OPEN,
            CaseState.AWAITING_APPROVAL,
            CaseState.PARTLY_DONE,
        }:
            return 0
        view = await cases.read_view(conn, case_id)
        if (
            asked_at is not None
            and view is not None
            and any(
                operation.ended_at is not None and operation.ended_at >= asked_at
                for operation in view.operations
            )
        ):
            return 0
        known = {member.subject: member.facts for member in view.members} if view else {}
        changed: list[tuple[Subject, MemberFacts]] = []
        for subject in subjects:
            before, after = known.get(subject), facts.get(subject)
            if before is None or after is None:
                continue
            if replace(before, read_at=None) != replace(after, read_at=None):
                await cases.store_facts(conn, case_id, subject, after)
                if what_matters(before) != what_matters(after):
                    changed.append((subject, after))
        if not changed:
            return 0
        await cases.touch_case(conn, case_id, moves_version=True)
        await posts.queue_story(
            conn,
            case_id,
            Story(
                kind=StoryKind.MARKET_CHANGED,
                subject_ids=tuple(subject.id for subject, _ in changed[:10]),
                count=len(changed),
                detail=changed[0][1].status,
            ),
            dedupe_key=f"changed:{case_id}:{head.version}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor="system",
                    tag=AuditTag.MEMBER_CHANGED,
                    case_id=case_id,
                    subject=subject,
                    details={"status": after.status},
                )
                for subject, after in changed
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return len(changed)
