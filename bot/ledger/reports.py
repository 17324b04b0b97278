"""Named queries for the security officer's report and for the evidence of one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.ledger.audit import WrittenEntry

QUICK_S = 5.0
"""An approval that came sooner cannot have read what it approved."""
PAIR_FROM = 5
"""So many approved requests of one person make a pair worth telling."""
PAIR_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalTimes:
    """How long requests were on the card before somebody approved them; seconds."""

    count: int
    p50_s: float | None
    p10_s: float | None
    quick: int
    """Sooner than QUICK_S."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One person's requests, and who approved them."""

    requester: str
    approver: str
    count: int
    of: int

    @property
    def is_fixed(self) -> bool:
        return self.of >= PAIR_FROM and self.count / self.of >= PAIR_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How often something was in the log: who, what and how many."""

    who: str
    what: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """A decision that one person let through alone."""

    decision_id: str
    case_id: int
    action: str
    by: str
    reason: str
    at: datetime | None
    reviewed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityReport:
    """Everything that the security officer looks at once a month."""

    since: datetime
    until: datetime
    decisions: int
    alone: int
    """Decided by one person, without anybody's approval."""
    approvals: ApprovalTimes
    pairs: tuple[Pair, ...]
    denials: tuple[Counted, ...]
    emergencies: tuple[Emergency, ...]
    acts: tuple[Counted, ...]
    """Pauses, changes of roles and policy, delegations, exports: by whom, which tag, how often."""
    unknown: int
    """Operations of which the outcome was unknown for a while."""
    drifts: int
    entries: int
    head: tuple[int, str]


ACTS = (
    "person:effects:%",
    "slack:roles:%",
    "policy:file:%",
    "person:proposal:%",
    "person:glass:%",
    "person:delegation:%",
    "cli:%",
)


async def read_security_report(
    conn: AsyncConnection, since: datetime, until: datetime
) -> SecurityReport:
    """The figures of a span of time by the database's clock."""
    span = {"since": since, "until": until}

    async def rows(query: str, **more: Any) -> Sequence[Any]:
        return (await conn.execute(text(query), {**span, **more})).all()

    (decided,) = await rows(
        """SELECT count(*) AS decisions, count(*) FILTER (WHERE approvals_needed = 0) AS alone
             FROM ledger.decisions WHERE requested_at >= :since AND requested_at < :until"""
    )
    (times,) = await rows(
        """SELECT count(*) AS count,
                  percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
                  percentile_cont(0.1) WITHIN GROUP (ORDER BY took) AS p10,
                  count(*) FILTER (WHERE took < :quick) AS quick
             FROM (SELECT extract(epoch FROM a.at - d.requested_at)::float AS took
                     FROM ledger.approvals a JOIN ledger.decisions d USING (decision_id)
                    WHERE a.at >= :since AND a.at < :until) approved""",
        quick=QUICK_S,
    )
    pairs = await rows(
        """SELECT d.requested_by, a.user_id, count(*) AS count,
                  sum(count(*)) OVER (PARTITION BY d.requested_by)::int AS of
             FROM ledger.approvals a JOIN ledger.decisions d USING (decision_id)
            WHERE a.at >= :since AND a.at < :until
            GROUP BY d.requested_by, a.user_id ORDER BY count DESC, 1, 2"""
    )
    denials = await rows(
        """SELECT actor, details ->> 'code' AS code, count(*) AS count FROM ledger.audit_entries
            WHERE tag = 'policy:decision:denied' AND at >= :since AND at < :until
            GROUP BY 1, 2 ORDER BY count DESC, 1, 2"""
    )
    emergencies = await rows(
        """SELECT d.decision_id, d.case_id, d.action, d.broken_glass_by, d.broken_glass_reason, d.decided_at,
                  EXISTS (SELECT FROM ledger.audit_entries e
                           WHERE e.tag = 'person:glass:reviewed' AND e.decision_id = d.decision_id) AS reviewed
             FROM ledger.decisions d
            WHERE d.broken_glass_by IS NOT NULL AND d.decided_at >= :since AND d.decided_at < :until
            ORDER BY d.decided_at"""
    )
    acts = await rows(
        """SELECT actor, tag, count(*) AS count FROM ledger.audit_entries
            WHERE tag LIKE ANY (cast(:acts AS text[])) AND at >= :since AND at < :until
            GROUP BY 1, 2 ORDER BY 2, count DESC, 1""",
        acts=list(ACTS),
    )
    (rest,) = await rows(
        """SELECT count(DISTINCT operation_id) FILTER (WHERE tag = 'executor:operation:unknown'
                    AND details ->> 'state' = 'unknown') AS unknown,
                  count(*) FILTER (WHERE tag = 'executor:operation:drifted') AS drifts,
                  count(*) AS entries, max(seq) AS seq,
                  (array_agg(hash ORDER BY seq DESC))[1] AS hash
             FROM ledger.audit_entries WHERE at >= :since AND at < :until"""
    )
    return SecurityReport(
        since=since,
        until=until,
        decisions=decided.decisions,
        alone=decided.alone,
        approvals=ApprovalTimes(
            count=times[0], p50_s=times.p50, p10_s=times.p10, quick=times.quick
        ),
        pairs=tuple(Pair(requester=r[0], approver=r[1], count=r[2], of=r[3]) for r in pairs),
        denials=tuple(Counted(who=r[0], what=r[1] or "", count=r[2]) for r in denials),
        emergencies=tuple(
            Emergency(
                decision_id=r[0],
                case_id=r[1],
                action=r[2],
                by=r[3],
                reason=r[4],
                at=r[5],
                reviewed=r[6],
            )
            for r in emergencies
        ),
        acts=tuple(Counted(who=r[0], what=r[1], count=r[2]) for r in acts),
        unknown=rest.unknown,
        drifts=rest.drifts,
        entries=rest.entries,
        head=(rest.seq or 0, rest.hash or ""),
    )


async def read_case_entries(conn: AsyncConnection, case_id: int) -> Sequence[WrittenEntry]:
    """Every entry of the log about a case, in order."""
    rows = await conn.execute(
        text("SELECT * FROM ledger.audit_entries WHERE case_id = :case_id ORDER BY seq"),
        {"case_id": case_id},
    )
    return [WrittenEntry(**row) for row in rows.mappings()]


async def read_case_private(
    conn: AsyncConnection, case_id: int
) -> Sequence[tuple[str, str, str, str]]:
    """What people wrote about a case, so far as it is not erased: commitment, name, salt and text."""
    rows = await conn.execute(
        text(
            """SELECT commitment, name, salt, value FROM ledger.audit_private
                WHERE case_id = :case_id ORDER BY commitment"""
        ),
        {"case_id": case_id},
    )
    return [(row.commitment, row.name, row.salt, row.value) for row in rows]


async def read_told_heads(conn: AsyncConnection, first: int) -> Sequence[tuple[int, str, str]]:
    """Heads that digests told in Slack: the last one before an entry, and all after it."""
    rows = await conn.execute(
        text(
            """SELECT audit_seq, audit_hash, day, channel, message_ts FROM ledger.digests
                WHERE state = 'sent' AND audit_seq >= coalesce((
                      SELECT max(audit_seq) FROM ledger.digests WHERE state = 'sent' AND audit_seq < :first), 0)
                ORDER BY audit_seq"""
        ),
        {"first": first},
    )
    return [
        (
            row.audit_seq,
            row.audit_hash,
            f"digest of {row.day}, message {row.message_ts} in {row.channel}",
        )
        for row in rows
    ]


async def read_links(
    conn: AsyncConnection, first: int, last: int
) -> Sequence[tuple[int, str, str]]:
    """Sequence number, previous hash and hash of each entry of a span, without what they say."""
    rows = await conn.execute(
        text(
            """SELECT seq, previous_hash, hash FROM ledger.audit_entries
                WHERE seq BETWEEN :first AND :last ORDER BY seq"""
        ),
        {"first": first, "last": last},
    )
    return [(row.seq, row.previous_hash, row.hash) for row in rows]
