"""Named queries that record findings and give them their cases, many in one statement."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import CaseState, MemberFacts
from bot.domain.findings import Finding, Severity
from bot.domain.story import Story
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger.values import to_json

Key = tuple[str, Subject, str]
"""What makes a finding this very one: detection, subject and window."""


def key_of(finding: Finding) -> Key:
    return (finding.detection, finding.subject, finding.window_key)


async def insert_findings(
    conn: AsyncConnection, found: Sequence[Finding], found_at: datetime
) -> dict[Key, int]:
    """Record findings; returns the ids of those that were not known already. No two may be the same."""
    rows = await conn.execute(
        text(
            # In the order of their key: of two who record the same at once, one waits for the other.
            """INSERT INTO ledger.findings (detection, subject_kind, subject_id, window_key, severity, mode,
                 amount, currency, occurred_at, body, found_at)
               SELECT detection, kind, id, window_key, severity, mode, amount, currency, occurred_at,
                      cast(body AS jsonb), cast(:found_at AS timestamptz)
                 FROM unnest(cast(:detections AS text[]), cast(:kinds AS text[]), cast(:ids AS text[]),
                             cast(:window_keys AS text[]), cast(:severities AS text[]), cast(:modes AS text[]),
                             cast(:amounts AS bigint[]), cast(:currencies AS text[]),
                             cast(:occurred AS timestamptz[]), cast(:bodies AS text[]))
                      AS f(detection, kind, id, window_key, severity, mode, amount, currency, occurred_at, body)
                ORDER BY detection, kind, id, window_key
               ON CONFLICT ON CONSTRAINT finding_once DO NOTHING
               RETURNING finding_id, detection, subject_kind, subject_id, window_key"""
        ),
        {
            "detections": [finding.detection for finding in found],
            "kinds": [finding.subject.kind.value for finding in found],
            "ids": [finding.subject.id for finding in found],
            "window_keys": [finding.window_key for finding in found],
            "severities": [finding.severity.value for finding in found],
            "modes": [finding.mode.value for finding in found],
            "amounts": [finding.amount for finding in found],
            "currencies": [finding.currency for finding in found],
            "occurred": [finding.occurred_at for finding in found],
            "bodies": [to_json(finding, Finding) for finding in found],
            "found_at": found_at,
        },
    )
    return {
        (
            row.detection,
            Subject(SubjectKind(row.subject_kind), row.subject_id),
            row.window_key,
        ): row.finding_id
        for row in rows
    }


async def standing_findings(
    conn: AsyncConnection, found: Sequence[tuple[int, Finding]], found_at: datetime
) -> dict[int, int]:
    """Which new findings add nothing to an earlier one of the same detection and subject, and to which:
    its case is open or closed less than 24 h ago, and neither amount nor severity rose.
    """
    rows = await conn.execute(
        text(
            """SELECT n.finding_id, earlier.finding_id AS by
                 FROM unnest(cast(:finding_ids AS bigint[]), cast(:detections AS text[]), cast(:kinds AS text[]),
                             cast(:ids AS text[]), cast(:amounts AS bigint[]), cast(:severities AS text[]))
                      AS n(finding_id, detection, kind, id, amount, severity),
                 LATERAL (SELECT f.finding_id FROM ledger.findings f JOIN ledger.cases c USING (case_id)
                           WHERE f.detection = n.detection AND f.subject_kind = n.kind AND f.subject_id = n.id
                             AND f.finding_id <> n.finding_id
                             AND (c.closed_at IS NULL
                                  OR c.closed_at > cast(:found_at AS timestamptz) - interval '24 hours')
                             AND coalesce(f.amount, 0) >= coalesce(n.amount, 0)
                             AND f.severity <= n.severity
                           ORDER BY f.finding_id DESC LIMIT 1) AS earlier"""
        ),
        {
            "finding_ids": [finding_id for finding_id, _ in found],
            "detections": [finding.detection for _, finding in found],
            "kinds": [finding.subject.kind.value for _, finding in found],
            "ids": [finding.subject.id for _, finding in found],
            "amounts": [finding.amount for _, finding in found],
            "severities": [finding.severity.value for _, finding in found],
            "found_at": found_at,
        },
    )
    return {row.finding_id: row.by for row in rows}


async def suppress_findings(conn: AsyncConnection, by: Mapping[int, int]) -> None:
    """Say of findings which earlier one each of them adds nothing to."""
    await conn.execute(
        text(
            """UPDATE ledger.findings f SET suppressed_by = s.by
                 FROM unnest(cast(:finding_ids AS bigint[]), cast(:bys AS bigint[])) AS s(finding_id, by)
                WHERE f.finding_id = s.finding_id"""
        ),
        {"finding_ids": list(by), "bys": list(by.values())},
    )


async def attach_findings(conn: AsyncConnection, case_ids: Mapping[int, int]) -> None:
    """Give each finding its case."""
    await conn.execute(
        text(
            """UPDATE ledger.findings f SET case_id = a.case_id
                 FROM unnest(cast(:finding_ids AS bigint[]), cast(:case_ids AS bigint[])) AS a(finding_id, case_id)
                WHERE f.finding_id = a.finding_id"""
        ),
        {"finding_ids": list(case_ids), "case_ids": list(case_ids.values())},
    )


async def told_by(conn: AsyncConnection, case_ids: Collection[int]) -> set[tuple[int, str]]:
    """Which detections have said something of which of these cases."""
    rows = await conn.execute(
        text("SELECT DISTINCT case_id, detection FROM ledger.findings WHERE case_id = ANY(:ids)"),
        {"ids": list(case_ids)},
    )
    return {(row.case_id, row.detection) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMember:
    """One open membership of a case, as it was when the case was locked."""

    case_id: int
    state: CaseState
    subject: Subject
    is_subject: bool


async def lock_open_cases_for(
    conn: AsyncConnection, subjects: Collection[Subject]
) -> list[OpenMember]:
    """The open cases that have any of these subjects, the oldest first, locked for this transaction."""
    rows = await conn.execute(
        text(
            """SELECT c.case_id, c.state, m.subject_kind, m.subject_id, m.is_subject
                 FROM unnest(cast(:kinds AS text[]), cast(:ids AS text[])) s(kind, id)
                 JOIN ledger.case_members m ON m.subject_kind = s.kind AND m.subject_id = s.id AND m.is_open
                 JOIN ledger.cases c ON c.case_id = m.case_id AND c.closed_at IS NULL
                ORDER BY c.case_id FOR UPDATE OF c"""
        ),
        {
            "kinds": [subject.kind.value for subject in subjects],
            "ids": [subject.id for subject in subjects],
        },
    )
    return [
        OpenMember(
            case_id=row.case_id,
            state=CaseState(row.state),
            subject=Subject(SubjectKind(row.subject_kind), row.subject_id),
            is_subject=row.is_subject,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """What a case that findings open is made of."""

    severity: Severity
    priority: int
    in_channel: bool


async def insert_cases(
    conn: AsyncConnection, new: Sequence[NewCase], *, opened_at: datetime, channel: str
) -> list[int]:
    """Open cases with their (yet unpublished) cards; returns their ids in the same order."""
    if not new:
        return []
    rows = await conn.execute(
        text(
            """INSERT INTO ledger.cases (severity, opened_at)
               SELECT severity, cast(:opened_at AS timestamptz)
                 FROM unnest(cast(:severities AS text[])) WITH ORDINALITY AS n(severity, place) ORDER BY place
               RETURNING case_id"""
        ),
        {"severities": [case.severity.value for case in new], "opened_at": opened_at},
    )
    case_ids = sorted(row.case_id for row in rows)
    await conn.execute(
        text(
            """INSERT INTO ledger.cards (case_id, channel, priority, in_channel)
               SELECT case_id, :channel, priority, in_channel
                 FROM unnest(cast(:case_ids AS bigint[]), cast(:priorities AS bigint[]),
                             cast(:in_channel AS boolean[])) AS k(case_id, priority, in_channel)"""
        ),
        {
            "case_ids": case_ids,
            "channel": channel,
            "priorities": [case.priority for case in new],
            "in_channel": [case.in_channel for case in new],
        },
    )
    return case_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """A subject that a finding brings into a case."""

    case_id: int
    subject: Subject
    is_subject: bool
    facts: MemberFacts


async def insert_members(
    conn: AsyncConnection, members: Sequence[NewMember], at: datetime
) -> set[tuple[int, Subject]]:
    """Add members that the cases have not; a subject that another open case has is left there.

    Of two entries about the same the first counts. Returns what is new.
    """
    rows = await conn.execute(
        text(
            # In the order of the subjects: of two who add the same at once, one waits for the other.
            """INSERT INTO ledger.case_members (case_id, subject_kind, subject_id, is_subject, facts, joined_at)
               SELECT case_id, kind, id, is_subject, cast(facts AS jsonb), cast(:at AS timestamptz)
                 FROM unnest(cast(:case_ids AS bigint[]), cast(:kinds AS text[]), cast(:ids AS text[]),
                             cast(:are_subjects AS boolean[]), cast(:facts AS text[]))
                      WITH ORDINALITY AS m(case_id, kind, id, is_subject, facts, place)
                ORDER BY kind, id, place
               ON CONFLICT DO NOTHING RETURNING case_id, subject_kind, subject_id"""
        ),
        {
            "case_ids": [member.case_id for member in members],
            "kinds": [member.subject.kind.value for member in members],
            "ids": [member.subject.id for member in members],
            "are_subjects": [member.is_subject for member in members],
            "facts": [to_json(member.facts, MemberFacts) for member in members],
            "at": at,
        },
    )
    return {(row.case_id, Subject(SubjectKind(row.subject_kind), row.subject_id)) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Widened:
    """What findings do to a case that was open before them."""

    case_id: int
    severity: Severity
    priority: int
    moves_version: bool
    shows_card: bool


async def widen_cases(conn: AsyncConnection, widened: Sequence[Widened]) -> None:
    """Let no case be less severe, nor its card less urgent, than its worst finding; their cards go stale."""
    await conn.execute(
        text(
            """WITH moved AS (
                 UPDATE ledger.cases c
                    SET severity = least(c.severity, w.severity), revision = c.revision + 1,
                        version = c.version + CASE WHEN w.moves THEN 1 ELSE 0 END,
                        updated_at = CASE WHEN w.moves THEN clock_timestamp() ELSE c.updated_at END,
                        updated_by = CASE WHEN w.moves THEN NULL ELSE c.updated_by END
                   FROM unnest(cast(:case_ids AS bigint[]), cast(:severities AS text[]), cast(:moves AS boolean[]))
                        AS w(case_id, severity, moves)
                  WHERE c.case_id = w.case_id RETURNING c.case_id, c.revision)
               UPDATE ledger.cards k
                  SET priority = greatest(k.priority, p.priority), wanted_revision = moved.revision
                 FROM moved JOIN unnest(cast(:case_ids AS bigint[]), cast(:priorities AS bigint[]))
                      AS p(case_id, priority) USING (case_id)
                WHERE k.case_id = moved.case_id"""
        ),
        {
            "case_ids": [case.case_id for case in widened],
            "severities": [case.severity.value for case in widened],
            "moves": [case.moves_version for case in widened],
            "priorities": [case.priority for case in widened],
        },
    )
    shown = [case.case_id for case in widened if case.shows_card]
    if shown:
        await conn.execute(
            text(
                """WITH shown AS (
                     UPDATE ledger.cards SET folded = false, in_channel = true
                      WHERE case_id = ANY(:case_ids) AND (folded OR NOT in_channel) RETURNING case_id)
                   UPDATE ledger.posts p SET due_at = clock_timestamp() FROM shown
                    WHERE p.case_id = shown.case_id AND p.state = 'queued' AND p.due_at = 'infinity'"""
            ),
            {"case_ids": shown},
        )


async def queue_stories(conn: AsyncConnection, stories: Iterable[tuple[int, int, Story]]) -> None:
    """Say in the threads of cases what findings told: case, finding and story each, once for a finding."""
    told = list(stories)
    await conn.execute(
        text(
            """INSERT INTO ledger.posts (post_id, case_id, channel, dedupe_key, story, due_at)
               SELECT s.post_id, k.case_id, k.channel, s.dedupe_key, cast(s.story AS jsonb),
                      CASE WHEN k.in_channel THEN clock_timestamp() ELSE 'infinity' END
                 FROM unnest(cast(:post_ids AS text[]), cast(:case_ids AS bigint[]), cast(:keys AS text[]),
                             cast(:stories AS text[]))
                      WITH ORDINALITY AS s(post_id, case_id, dedupe_key, story, place)
                 JOIN ledger.cards k ON k.case_id = s.case_id
                ORDER BY s.place
               ON CONFLICT (dedupe_key) DO NOTHING"""
        ),
        {
            "post_ids": [f"post_{uuid4().hex}" for _ in told],
            "case_ids": [case_id for case_id, _, _ in told],
            "keys": [f"finding:{finding_id}" for _, finding_id, _ in told],
            "stories": [to_json(story, Story) for _, _, story in told],
        },
    )
