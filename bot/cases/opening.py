"""Open cases: from what detections found, or by hand for a subject that a person names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.nights import hold_at_night
from bot.cases.policy import judge_step, no_role
from bot.cases.room import CARDS, OPERATIONS, POSTS, Room, deny, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import MemberFacts
from bot.domain.findings import LEDGER_DRIFT, Finding, Mode, Severity
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import audit, cases, posts

Facts = Mapping[Subject, MemberFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What became of a batch of findings, by count."""

    new: int = 0
    opened: int = 0
    joined: int = 0
    suppressed: int = 0


def subjects_of(finding: Finding) -> tuple[Subject, ...]:
    """Everything that a finding names: its subject first, then what it accuses along with it."""
    named = (
        finding.subject,
        *(Subject(SubjectKind.ORDER, id_) for id_ in finding.order_ids),
        *(Subject(SubjectKind.ACCOUNT, id_) for id_ in finding.account_ids),
        *(Subject(SubjectKind.LISTING, id_) for id_ in finding.listing_ids),
        *(Subject(SubjectKind.POST, id_) for id_ in finding.post_ids),
    )
    return tuple(dict.fromkeys(named))


async def open_findings(room: Room, findings: Sequence[Finding], facts: Facts) -> Opened:
    """Record findings, each in a transaction of its own, and give every new one a case.

    A finding never alerts twice, and a new one is never swallowed because something is already open.
    `facts` holds what is known of every subject that the findings name; a subject that the
    marketplace does not know is a member without facts.
    """
    total = Opened()
    for finding in findings:
        async with room.engine.begin() as conn:
            one = await _open_finding(conn, room, finding, facts)
        total = Opened(
            new=total.new + one.new,
            opened=total.opened + one.opened,
            joined=total.joined + one.joined,
            suppressed=total.suppressed + one.suppressed,
        )
    if total.new:
        room.bell.ring(OPERATIONS, CARDS, POSTS)
    return total


async def _open_finding(
    conn: AsyncConnection, room: Room, finding: Finding, facts: Facts
) -> Opened:
    now = room.clock.now()
    finding_id = await cases.insert_finding(conn, finding, now)
    if finding_id is None:
        return Opened()
    if finding.mode is Mode.SHADOW:
        return Opened(new=1)
    actor = f"detection:{finding.detection}"
    # What we and the marketplace disagree on is news each time, also about a subject with an open case.
    each = finding.detection == LEDGER_DRIFT
    standing = None if each else await cases.standing_finding(conn, finding, finding_id, now)
    if standing is not None:
        await cases.suppress_finding(conn, finding_id, standing)
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=actor,
                    tag=AuditTag.FINDING_SUPPRESSED,
                    subject=finding.subject,
                    details={"finding": finding_id, "by": standing},
                )
            ],
        )
        return Opened(new=1, suppressed=1)
    subjects = subjects_of(finding)
    members = [
        (subject, _is_subject(finding, subject), facts.get(subject, MemberFacts()))
        for subject in subjects
    ]
    priority = cases.case_priority(finding.severity, _amounts(finding, facts))
    await cases.lock_opening(conn)
    found = await cases.lock_open_case_for(conn, subjects)
    if found is None:
        case_id = await cases.insert_case(
            conn,
            severity=finding.severity,
            opened_at=now,
            opened_by=None,
            channel=room.channel,
            priority=priority,
            in_channel=finding.severity in room.policy.file.cards_for,
        )
        await cases.add_members(conn, case_id, members, now)
        await cases.attach_finding(conn, finding_id, case_id)
        kind, tag, joined = StoryKind.OPENED, AuditTag.CASE_OPENED, members
        again = False
    else:
        case_id, state = found
        added = await cases.add_members(conn, case_id, members, now)
        await cases.attach_finding(conn, finding_id, case_id)
        await cases.raise_severity(conn, case_id, finding.severity, priority)
        if finding.severity in room.policy.file.cards_for:
            await cases.show_card(conn, case_id)
        # While a request waits or runs, what is being decided on does not change with a newcomer.
        await cases.touch_case(
            conn, case_id, moves_version=bool(added) and state.value in {"open", "partly_done"}
        )
        kind, tag = StoryKind.FINDING_JOINED, AuditTag.FINDING_JOINED
        joined = [member for member in members if member[0] in added]
        again = not each and await cases.told_before(conn, case_id, finding_id)
    # What a detection says of a case again is no news, but for what it adds; the log has all of it.
    if joined or not again:
        await _tell(conn, case_id, finding, finding_id, kind, joined, evidence=not again)
    at_night = await hold_at_night(conn, room, case_id, finding)
    await audit.append(
        conn,
        [
            AuditEntry(
                actor=actor,
                tag=tag,
                case_id=case_id,
                subject=finding.subject,
                details={
                    "finding": finding_id,
                    "severity": finding.severity.value,
                    "detection_hash": finding.detection_hash,
                    "members": [f"{subject.kind}:{subject.id}" for subject, _, _ in joined],
                },
            ),
            *at_night,
        ],
    )
    if found is None:
        return Opened(new=1, opened=1)
    return Opened(new=1, joined=1)


async def _tell(
    conn: AsyncConnection,
    case_id: int,
    finding: Finding,
    finding_id: int,
    kind: StoryKind,
    joined: Sequence[tuple[Subject, bool, MemberFacts]],
    *,
    evidence: bool,
) -> None:
    """Say in the thread what came."""
    await posts.queue_story(
        conn,
        case_id,
        Story(
            kind=kind,
            title_ja=finding.title_ja,
            title_en=finding.title_en,
            evidence=finding.evidence if evidence else (),
            orders=sum(1 for subject, _, _ in joined if subject.kind is SubjectKind.ORDER),
            accounts=sum(1 for subject, _, _ in joined if subject.kind is SubjectKind.ACCOUNT),
        ),
        dedupe_key=f"finding:{finding_id}",
    )


def _is_subject(finding: Finding, subject: Subject) -> bool:
    """Orders and posts that a finding names are judged with it; accounts beside the subject came along."""
    return subject == finding.subject or subject.kind in {SubjectKind.ORDER, SubjectKind.POST}


def _amounts(finding: Finding, facts: Facts) -> tuple[tuple[int, str], ...]:
    sums: dict[str, int] = {}
    for subject in subjects_of(finding):
        known = facts.get(subject)
        if subject.kind is SubjectKind.ORDER and known and known.amount and known.currency:
            sums[known.currency] = sums.get(known.currency, 0) + known.amount
    if not sums and finding.amount and finding.currency:
        sums[finding.currency] = finding.amount
    return tuple((amount, currency) for currency, amount in sums.items())


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
            priority=cases.case_priority(Severity.P2, amounts),
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
