"""Gives a batch of findings their cases, as if one had come after the other, in few statements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.room import Room
from bot.domain.cases import CaseState, MemberFacts
from bot.domain.findings import LEDGER_DRIFT, Finding
from bot.domain.rings import Value
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import cases, findings, rings

Facts = Mapping[Subject, MemberFacts]
Shared = Mapping[Subject, Collection[Value]]
"""Evidence that orders and accounts have used, by which a finding joins the case of its ring."""
NOTHING_SHARED: Shared = MappingProxyType({})
Rung = Mapping[Value, Sequence[tuple[int, CaseState]]]
"""The open cases whose accounts have used something."""
NOTHING_RUNG: Rung = MappingProxyType({})
# While a request waits or runs, what is being decided on does not change with a newcomer.
MOVABLE = frozenset({CaseState.OPEN, CaseState.PARTLY_DONE})


@dataclass(slots=True, kw_only=True)
class Place:
    """Where a finding went: the case that it opened or joined, and whom it brought along."""

    finding_id: int
    finding: Finding
    case_id: int
    opens: bool
    again: bool
    """The case has another finding of the same detection."""
    joined: list[Subject] = field(default_factory=list)


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


async def place_findings(
    conn: AsyncConnection,
    room: Room,
    found: Sequence[tuple[int, Finding]],
    facts: Facts,
    now: datetime,
    shared: Shared = NOTHING_SHARED,
) -> list[Place]:
    """Let each finding join the oldest open case that has one of its subjects or of what was used there, or
    open one.
    """
    if not found:
        return []
    await cases.lock_opening(conn)
    there = await findings.lock_open_cases_for(
        conn, list(dict.fromkeys(s for _, finding in found for s in subjects_of(finding)))
    )
    states = {member.case_id: member.state for member in there}
    rung = await rings.cases_with(
        conn, {value for _, finding in found for value in _used(finding, shared)}, lock=True
    )
    states.update(case for cases_with in rung.values() for case in cases_with)
    told = await findings.told_by(conn, states)
    seats = seat_findings([finding for _, finding in found], there, rung, shared)
    new = await _open(
        conn, room, [(f, s) for (_, f), s in zip(found, seats, strict=True)], facts, now
    )
    places: list[Place] = []
    opened: set[int] = set()
    for (finding_id, finding), seat in zip(found, seats, strict=True):
        case_id = new[seat]
        about = (case_id, finding.detection)
        places.append(
            Place(
                finding_id=finding_id,
                finding=finding,
                case_id=case_id,
                opens=case_id not in states and case_id not in opened,
                again=finding.detection != LEDGER_DRIFT and about in told,
            )
        )
        opened.add(case_id)
        told.add(about)
    await _add_members(conn, places, facts, now)
    await findings.attach_findings(conn, {place.finding_id: place.case_id for place in places})
    await _widen(conn, room, [place for place in places if place.case_id in states], states, facts)
    await findings.queue_stories(
        conn,
        # What a detection says of a case again is no news, but for what it adds; the log has all of it.
        [
            (place.case_id, place.finding_id, _story(place))
            for place in places
            if place.joined or not place.again
        ],
    )
    return places


def _used(finding: Finding, shared: Shared) -> list[Value]:
    """What was used in the orders that a finding accuses, or by the account that it is about."""
    accused = [subject for subject in subjects_of(finding) if is_subject(finding, subject)]
    return [value for subject in accused for value in shared.get(subject, ())]


def seat_findings(
    found: Sequence[Finding],
    there: Iterable[findings.OpenMember],
    rung: Rung = NOTHING_RUNG,
    shared: Shared = NOTHING_SHARED,
) -> list[int]:
    """The case of each finding, in turn; cases to be opened have numbers below zero, -1 the first."""
    cases_of: dict[Subject | Value, set[int]] = {
        value: {case_id for case_id, _ in open_cases} for value, open_cases in rung.items()
    }
    # One open case a subject: who is accused in one is not in another (one_open_case_per_subject).
    accused: dict[Subject, int] = {}

    def sit(subject: Subject, case_id: int, *, is_subject: bool) -> None:
        if is_subject and accused.setdefault(subject, case_id) != case_id:
            return
        cases_of.setdefault(subject, set()).add(case_id)

    for member in there:
        sit(member.subject, member.case_id, is_subject=member.is_subject)
    seats: list[int] = []
    opened = 0
    for finding in found:
        named = subjects_of(finding)
        used = _used(finding, shared)
        keys: list[Subject | Value] = [*named, *used]
        candidates = {case_id for key in keys for case_id in cases_of.get(key, ())}
        if candidates:
            # The oldest: what was there before, then what opened first.
            seat = min(candidates, key=lambda case_id: (case_id < 0, abs(case_id)))
        else:
            opened += 1
            seat = -opened
        for subject in named:
            sit(subject, seat, is_subject=is_subject(finding, subject))
        for value in used:
            cases_of.setdefault(value, set()).add(seat)
        seats.append(seat)
    return seats


async def _open(
    conn: AsyncConnection,
    room: Room,
    seated: Sequence[tuple[Finding, int]],
    facts: Facts,
    now: datetime,
) -> dict[int, int]:
    """The real number of every case that was seated in, those to be opened opened."""
    together: dict[int, list[Finding]] = {}
    for finding, seat in seated:
        together.setdefault(seat, []).append(finding)
    opening = {seat: own for seat, own in together.items() if seat < 0}
    case_ids = await findings.insert_cases(
        conn,
        [
            findings.NewCase(
                severity=min(finding.severity for finding in own),
                priority=max(_priority(room, finding, facts) for finding in own),
                in_channel=any(_in_channel(room, finding) for finding in own),
            )
            for own in opening.values()
        ],
        opened_at=now,
        channel=room.channel,
    )
    return {seat: seat for seat in together} | dict(zip(opening, case_ids, strict=True))


async def _add_members(
    conn: AsyncConnection, places: Sequence[Place], facts: Facts, now: datetime
) -> None:
    added = await findings.insert_members(
        conn,
        [
            findings.NewMember(
                case_id=place.case_id,
                subject=subject,
                is_subject=is_subject(place.finding, subject),
                facts=facts.get(subject, MemberFacts()),
            )
            for place in places
            for subject in subjects_of(place.finding)
        ],
        now,
    )
    for place in places:
        for subject in subjects_of(place.finding):
            # The first who named it brought it.
            if (place.case_id, subject) in added:
                added.remove((place.case_id, subject))
                place.joined.append(subject)


async def _widen(
    conn: AsyncConnection,
    room: Room,
    places: Sequence[Place],
    states: Mapping[int, CaseState],
    facts: Facts,
) -> None:
    joining: dict[int, list[Place]] = {}
    for place in places:
        joining.setdefault(place.case_id, []).append(place)
    if joining:
        await findings.widen_cases(
            conn,
            [
                findings.Widened(
                    case_id=case_id,
                    severity=min(place.finding.severity for place in own),
                    priority=max(_priority(room, place.finding, facts) for place in own),
                    moves_version=any(place.joined for place in own) and states[case_id] in MOVABLE,
                    shows_card=any(_in_channel(room, place.finding) for place in own),
                )
                for case_id, own in joining.items()
            ],
        )


def _story(place: Place) -> Story:
    """What the thread says of a finding."""
    finding = place.finding
    kinds = [subject.kind for subject in place.joined]
    return Story(
        kind=StoryKind.OPENED if place.opens else StoryKind.FINDING_JOINED,
        title_ja=finding.title_ja,
        title_en=finding.title_en,
        evidence=() if place.again else finding.evidence,
        orders=kinds.count(SubjectKind.ORDER),
        accounts=kinds.count(SubjectKind.ACCOUNT),
    )


def is_subject(finding: Finding, subject: Subject) -> bool:
    """Orders and posts that a finding names are judged with it; accounts beside the subject came along."""
    return subject == finding.subject or subject.kind in {SubjectKind.ORDER, SubjectKind.POST}


def _in_channel(room: Room, finding: Finding) -> bool:
    return finding.severity in room.policy.file.cards_for


def _priority(room: Room, finding: Finding, facts: Facts) -> int:
    rates = room.policy.file.sort_rates
    return cases.case_priority(finding.severity, _amounts(finding, facts), rates)


def _amounts(finding: Finding, facts: Facts) -> tuple[tuple[int, str], ...]:
    sums: dict[str, int] = {}
    for subject in subjects_of(finding):
        known = facts.get(subject)
        if subject.kind is SubjectKind.ORDER and known and known.amount and known.currency:
            sums[known.currency] = sums.get(known.currency, 0) + known.amount
    if not sums and finding.amount and finding.currency:
        sums[finding.currency] = finding.amount
    return tuple((amount, currency) for currency, amount in sums.items())
