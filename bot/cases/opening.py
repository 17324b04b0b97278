"""Open cases: from what detections found, or by hand for a subject that a person names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.automatic import hold_automatically
from bot.cases.nights import hold_at_night
from bot.cases.placing import (
    NOTHING_SHARED,
    Facts,
    Place,
    Shared,
    place_findings,
    subjects_of,
)
from bot.cases.policy import judge_step, no_role
from bot.cases.room import CARDS, OPERATIONS, POSTS, Room, deny, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import MemberFacts
from bot.domain.findings import LEDGER_DRIFT, POSTED, Finding, Severity
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import audit, cases, posts
from bot.ledger import findings as ledger
from bot.ledger.findings import key_of

__all__ = ["Claimed", "Opened", "claim_case", "open_by_hand", "open_findings", "subjects_of"]

BATCH = 500
"""Findings in one transaction: so many that 10,000 are stored in seconds, so few that no decision waits for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What became of a batch of findings, by count."""

    new: int = 0
    opened: int = 0
    joined: int = 0
    suppressed: int = 0

    def plus(self, other: Opened) -> Opened:
        return Opened(
            new=self.new + other.new,
            opened=self.opened + other.opened,
            joined=self.joined + other.joined,
            suppressed=self.suppressed + other.suppressed,
        )


async def open_findings(
    room: Room, findings: Sequence[Finding], facts: Facts, shared: Shared = NOTHING_SHARED
) -> Opened:
    """Record findings and give every new one that people shall see a case, many in one transaction.

    A finding never alerts twice, and a new one is never swallowed because something is already open.
    `facts` holds what is known of every subject that the findings name; a subject that the
    marketplace does not know is a member without facts. `shared` is what was used in them, by which they
    join the case of their ring. One that the ledger refuses keeps none of
    the others out: it is raised when they are stored.
    """
    once = {key_of(finding): finding for finding in reversed(findings)}
    told = [once.pop(key) for finding in findings if (key := key_of(finding)) in once]
    total, refused = Opened(), None
    for batch in _batches(told):
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                async with room.engine.begin() as conn:
                    total = total.plus(await _open_batch(conn, room, part, facts, shared))
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise
                refused = error
                half = len(part) // 2
                waiting += [part[half:], part[:half]] if half else []
            else:
                room.bell.ring(OPERATIONS, CARDS, POSTS)
    if refused is not None:
        raise refused
    return total


def _batches(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    """Parts of a size that no lock is held for long; of one detection and subject at most one finding each."""
    waiting = [finding for finding in findings if finding.mode in POSTED]
    shadows = [finding for finding in findings if finding.mode not in POSTED]
    while waiting:
        later: list[Finding] = []
        batch: dict[tuple[str, Subject], Finding] = {}
        for finding in waiting:
            about = (finding.detection, finding.subject)
            if about in batch:
                later.append(finding)
            else:
                batch[about] = finding
            if len(batch) == BATCH:
                yield list(batch.values())
                batch = {}
        if batch:
            yield list(batch.values())
        waiting = later
    for start in range(0, len(shadows), BATCH):
        yield shadows[start : start + BATCH]


async def _open_batch(
    conn: AsyncConnection, room: Room, batch: Sequence[Finding], facts: Facts, shared: Shared
) -> Opened:
    now = room.clock.now()
    ids = await ledger.insert_findings(conn, batch, now)
    new = [(ids[key], finding) for finding in batch if (key := key_of(finding)) in ids]
    seen = [(id_, finding) for id_, finding in new if finding.mode in POSTED]
    if not seen:
        return Opened(new=len(new))
    # What we and the marketplace disagree on is news each time, also about a subject with an open case.
    known = [(id_, finding) for id_, finding in seen if finding.detection != LEDGER_DRIFT]
    standing = await ledger.standing_findings(conn, known, now)
    if standing:
        await ledger.suppress_findings(conn, standing)
    entries = [
        AuditEntry(
            actor=f"detection:{finding.detection}",
            tag=AuditTag.FINDING_SUPPRESSED,
            subject=finding.subject,
            details={"finding": id_, "by": standing[id_]},
        )
        for id_, finding in seen
        if id_ in standing
    ]
    placed = await place_findings(
        conn,
        room,
        [(id_, finding) for id_, finding in seen if id_ not in standing],
        facts,
        now,
        shared,
    )
    entries += [_entry(place) for place in placed]
    for place in placed:
        entries += await hold_automatically(conn, room, place.case_id, place.finding)
        entries += await hold_at_night(conn, room, place.case_id, place.finding)
    await audit.append(conn, entries)
    opened = sum(place.opens for place in placed)
    return Opened(
        new=len(new), opened=opened, joined=len(placed) - opened, suppressed=len(standing)
    )


def _entry(place: Place) -> AuditEntry:
    finding = place.finding
    return AuditEntry(
        actor=f"detection:{finding.detection}",
        tag=AuditTag.CASE_OPENED if place.opens else AuditTag.FINDING_JOINED,
        case_id=place.case_id,
        subject=finding.subject,
        details={
            "finding": place.finding_id,
            "severity": finding.severity.value,
            "detection_hash": finding.detection_hash,
            "members": [f"{subject.kind}:{subject.id}" for subject in place.joined],
        },
    )


async def open_by_hand(
    room: Room, *, user_id: str, action: str, subjects: Sequence[Subject], facts: Facts
) -> int | Refusal:
    """The open case of a subject that a person names, opened now if there is none.

    Args:
        action: what the person means to do; who may not request it may not open a case for it.
        subjects: the subject itself first, then those that come along with it.
    """
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        if isinstance(person, Refusal):
            return await deny(conn, user_id, person, action=action, case_id=None)
        await cases.lock_opening(conn)
        existing = await cases.open_case_of(conn, subjects[0])
        if existing is not None:
            return existing
        rule = room.policy.file.actions.get(action)
        if rule is None or not set(rule.request) & person.roles:
            refusal = no_role(room.policy, action, rule.request if rule else ())
            return await deny(conn, user_id, refusal, action=action, case_id=None)
        now = room.clock.now()
        members = [
            (subject, subject == subjects[0], facts.get(subject, MemberFacts()))
            for subject in dict.fromkeys(subjects)
        ]
        amounts = tuple(
            (known.amount, known.currency)
            for subject, _, known in members
            if subject.kind is SubjectKind.ORDER and known.amount and known.currency
        )
        case_id = await cases.insert_case(
            conn,
            severity=Severity.P2,
            opened_at=now,
            opened_by=user_id,
            channel=room.channel,
            priority=cases.case_priority(Severity.P2, amounts, room.policy.file.sort_rates),
        )
        await cases.add_members(conn, case_id, members, now)
        await posts.queue_story(
            conn,
            case_id,
            Story(
                kind=StoryKind.OPENED,
                by=user_id,
                by_name=person.display_name,
                orders=sum(1 for subject, _, _ in members if subject.kind is SubjectKind.ORDER),
                accounts=sum(1 for subject, _, _ in members if subject.kind is SubjectKind.ACCOUNT),
            ),
            dedupe_key=f"opened:{case_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=user_id,
                    tag=AuditTag.CASE_OPENED_BY_HAND,
                    case_id=case_id,
                    subject=subjects[0],
                    details={"action": action},
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return case_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Who looks after a case now: the one who pressed, or, as they gave it up, nobody."""

    case_id: int
    assignee: str | None


SAME_PRESS_S = 3.0
"""A second claim so soon is a double click, not somebody who gives the case up again."""


async def claim_case(
    room: Room, *, user_id: str, case_id: int, same_press_s: float = SAME_PRESS_S
) -> Claimed | Refusal:
    """Make a person the one who looks after a case; claiming one's own case gives it up."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        if isinstance(person, Refusal):
            return await deny(conn, user_id, person, action="claim", case_id=case_id)
        refused = judge_step(room.policy, "claim", person)
        if refused is not None:
            return await deny(conn, user_id, refused, action="claim", case_id=case_id)
        await cases.lock_case(conn, case_id)
        view = await cases.read_view(conn, case_id)
        if view is None:
            return Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=case_id)
        if view.closed_at is not None:
            return Refusal(code=RefusalCode.CASE_CLOSED, case_id=case_id)
        if await audit.has_just_done(
            conn, user_id, AuditTag.CASE_CLAIMED, case_id=case_id, within_s=same_press_s
        ):
            return Claimed(case_id=case_id, assignee=view.assignee)
        assignee = None if view.assignee == user_id else user_id
        await cases.assign_case(conn, case_id, assignee)
        await cases.touch_case(conn, case_id)
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=user_id,
                    tag=AuditTag.CASE_CLAIMED,
                    case_id=case_id,
                    details={"assignee": assignee},
                )
            ],
        )
    room.bell.ring(CARDS)
    return Claimed(case_id=case_id, assignee=assignee)
