"""Named queries that count: what a day brought, what waits for too long, what is out of order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import CaseState
from bot.domain.findings import Severity
from bot.ledger.digests import DIGEST_TICK, Day
from bot.ledger.values import from_json

DISMISS = "dismiss"

_DAYS = """unnest(cast(:days AS date[]), cast(:starts AS timestamptz[]), cast(:ends AS timestamptz[]))
           AS d(day, starts, ends)"""


def _market(days: Sequence[Day]) -> dict[str, Any]:
    """Parameters for what carries the market's time."""
    return {
        "days": [day.day for day in days],
        "starts": [day.starts for day in days],
        "ends": [day.ends for day in days],
    }


def _wall(days: Sequence[Day]) -> dict[str, Any]:
    """Parameters for what carries the database's time."""
    return {
        "days": [day.day for day in days],
        "starts": [day.wall_starts for day in days],
        "ends": [day.wall_ends for day in days],
    }


# ---- What a day brought


async def first_case_at(conn: AsyncConnection) -> datetime | None:
    """When the first case was opened, by the market's clock."""
    at: datetime | None = await conn.scalar(text("SELECT min(opened_at) FROM ledger.cases"))
    return at


async def count_opened(conn: AsyncConnection, days: Sequence[Day]) -> dict[date, int]:
    """Cases opened, by day."""
    rows = await conn.execute(
        text(
            f"""SELECT d.day, count(*) AS cases
                  FROM {_DAYS} JOIN ledger.cases c ON c.opened_at >= d.starts AND c.opened_at < d.ends
                 GROUP BY d.day"""  # noqa: S608 - only our own constants are put in
        ),
        _market(days),
    )
    return {row.day: row.cases for row in rows}


async def count_decided(
    conn: AsyncConnection, days: Sequence[Day], closing: Collection[str]
) -> dict[date, tuple[int, int]]:
    """Cases judged fraud and judged not fraud, by day; a case counts once a day, as last decided.

    Args:
        closing: the actions that end a case; a hold decides nothing yet.
    """
    rows = await conn.execute(
        text(
            f"""SELECT day, count(*) FILTER (WHERE action <> :dismiss) AS fraud,
                       count(*) FILTER (WHERE action = :dismiss) AS good
                  FROM (SELECT DISTINCT ON (d.day, c.case_id) d.day, c.case_id, c.action
                          FROM {_DAYS} JOIN ledger.decisions c
                            ON c.decided_at >= d.starts AND c.decided_at < d.ends
                         WHERE c.state = 'approved' AND c.action = ANY(:decisive)
                         ORDER BY d.day, c.case_id, c.decided_at DESC) AS last
                 GROUP BY day"""  # noqa: S608 - only our own constants are put in
        ),
        {**_wall(days), "dismiss": DISMISS, "decisive": [*closing, DISMISS]},
    )
    return {row.day: (row.fraud, row.good) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How many orders a verb was carried out on in a day, and their money in one currency."""

    day: date
    verb: str
    currency: str | None
    orders: int
    amount: int


async def sum_effects(
    conn: AsyncConnection, days: Sequence[Day], verbs: Collection[str]
) -> Sequence[Effect]:
    """What was carried out on orders; one order counts once a day and verb."""
    rows = await conn.execute(
        text(
            f"""SELECT day, verb, currency, count(*) AS orders, coalesce(sum(amount), 0)::bigint AS amount
                  FROM (SELECT DISTINCT ON (d.day, o.verb, o.subject_id)
                               d.day, o.verb, o.currency, o.amount
                          FROM {_DAYS} JOIN ledger.operations o
                            ON o.ended_at >= d.starts AND o.ended_at < d.ends
                         WHERE o.state = 'succeeded' AND o.subject_kind = 'order' AND o.verb = ANY(:verbs)
                           AND o.resolved_by IS DISTINCT FROM 'dry_run'
                         ORDER BY d.day, o.verb, o.subject_id, o.ended_at DESC) AS once
                 GROUP BY day, verb, currency ORDER BY day, verb, currency"""  # noqa: S608
        ),
        {**_wall(days), "verbs": list(verbs)},
    )
    return [
        Effect(
            day=row.day,
            verb=row.verb,
            currency=row.currency,
            orders=row.orders,
            amount=row.amount,
        )
        for row in rows
    ]


async def confirmed_orders(
    conn: AsyncConnection,
    *,
    since: datetime,
    also: Collection[str],
    closing: Collection[str],
) -> dict[str, datetime]:
    """Orders that stand judged as fraud, with when they were first judged so.

    Those judged since then, and of `also` those that ever were. Where several cases judged an order,
    the last one counts.
    """
    rows = await conn.execute(
        text(
            """SELECT m.subject_id, m.verdict, max(d.decided_at) AS last_at,
                      coalesce(min(d.decided_at) FILTER (WHERE d.action = ANY(:closing) AND EXISTS (
                          SELECT FROM jsonb_array_elements(d.targets) t(target)
                           WHERE t.target -> 1 ->> 'kind' = 'order'
                             AND t.target -> 1 ->> 'id' = m.subject_id)),
                        min(d.decided_at)) AS first_at
                 FROM ledger.case_members m JOIN ledger.decisions d USING (case_id)
                WHERE m.subject_kind = 'order' AND m.verdict IS NOT NULL
                  AND d.state = 'approved' AND d.action = ANY(:decisive)
                  AND (m.subject_id = ANY(:also) OR m.subject_id IN (
                        SELECT o.subject_id FROM ledger.case_members o JOIN ledger.decisions e USING (case_id)
                         WHERE o.subject_kind = 'order' AND e.decided_at >= :since))
                GROUP BY m.case_id, m.subject_id, m.verdict
                ORDER BY max(d.decided_at)"""
        ),
        {
            "since": since,
            "also": list(also),
            "closing": list(closing),
            "decisive": [*closing, DISMISS],
        },
    )
    confirmed: dict[str, datetime] = {}
    for row in rows:
        if row.verdict == "fraud":
            confirmed[row.subject_id] = min(
                row.first_at, confirmed.get(row.subject_id, row.first_at)
            )
        else:
            confirmed.pop(row.subject_id, None)
    return confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class HitRate:
    """In how many cases a detection was right, was wrong, and waits for a verdict."""

    detection: str
    title_ja: str
    title_en: str
    confirmed: int
    decided: int
    undecided: int


async def hit_rates(
    conn: AsyncConnection, *, since: datetime, until: datetime
) -> Sequence[HitRate]:
    """Every detection that found something; a case counts once, whatever was found in it."""
    rows = await conn.execute(
        text(
            """WITH judged AS (
                 SELECT detection, case_id, bool_or(verdict = 'fraud') AS fraud,
                        bool_or(verdict IS NOT NULL) AS decided
                   FROM ledger.findings
                  WHERE case_id IS NOT NULL AND found_at > :since AND found_at <= :until
                  GROUP BY detection, case_id)
               SELECT j.detection, f.body ->> 'title_ja' AS title_ja, f.body ->> 'title_en' AS title_en,
                      count(*) FILTER (WHERE j.fraud) AS confirmed,
                      count(*) FILTER (WHERE j.decided) AS decided,
                      count(*) FILTER (WHERE NOT j.decided) AS undecided
                 FROM judged j
                 CROSS JOIN LATERAL (SELECT body FROM ledger.findings f WHERE f.detection = j.detection
                                      ORDER BY finding_id DESC LIMIT 1) f
                GROUP BY j.detection, f.body ORDER BY count(*) DESC, j.detection"""
        ),
        {"since": since, "until": until},
    )
    return [
        HitRate(
            detection=row.detection,
            title_ja=row.title_ja or row.detection,
            title_en=row.title_en or row.detection,
            confirmed=row.confirmed,
            decided=row.decided,
            undecided=row.undecided,
        )
        for row in rows
    ]


# ---- What waits for too long


@dataclass(frozen=True, slots=True, kw_only=True)
class AgedCase:
    """A case that waits; `since` by the market's clock."""

    case_id: int
    version: int
    severity: Severity
    state: CaseState
    title_ja: str
    title_en: str
    assignee: str | None
    since: datetime
    orders: int
    amounts: tuple[tuple[int, str], ...]
    channel: str | None
    message_ts: str | None


_AGED = """
    SELECT c.case_id, c.version, c.severity, c.state, a.since, a.orders, p.display_name AS assignee,
           f.body ->> 'title_ja' AS title_ja, f.body ->> 'title_en' AS title_en,
           k.channel, k.message_ts, count(*) OVER () AS total,
           coalesce((SELECT jsonb_agg(jsonb_build_array(s.total, s.currency) ORDER BY s.total DESC)
                       FROM (SELECT sum((m.facts ->> 'amount')::bigint) AS total,
                                    m.facts ->> 'currency' AS currency
                               FROM ledger.case_members m
                              WHERE m.case_id = c.case_id AND m.subject_kind = 'order'
                                AND m.facts ->> 'amount' IS NOT NULL
                                AND m.subject_id = ANY(a.order_ids)
                              GROUP BY m.facts ->> 'currency') s), '[]') AS amounts
      FROM aged a JOIN ledger.cases c USING (case_id)
      LEFT JOIN ledger.cards k USING (case_id)
      LEFT JOIN ledger.people p ON p.user_id = c.assignee
      LEFT JOIN LATERAL (SELECT body FROM ledger.findings f WHERE f.case_id = c.case_id
                          ORDER BY severity, finding_id LIMIT 1) f ON true
"""


# Orders that a decision of ours holds, with since when by the market's clock.
_HELD = """
    SELECT m.case_id, m.subject_id,
           coalesce((m.facts ->> 'held_at')::timestamptz, max(o.ended_at)) AS since
      FROM ledger.case_members m
      JOIN ledger.operations o ON o.case_id = m.case_id AND o.subject_kind = m.subject_kind
       AND o.subject_id = m.subject_id AND o.verb = 'hold' AND o.state = 'succeeded'
       AND o.resolved_by IS DISTINCT FROM 'dry_run'
      JOIN ledger.cases c ON c.case_id = m.case_id
     WHERE m.subject_kind = 'order' AND c.closed_at IS NULL
       AND m.facts ->> 'held_at' IS NOT NULL AND m.facts ->> 'canceled_at' IS NULL
     GROUP BY m.case_id, m.subject_id, m.facts
"""


async def oldest_holds(
    conn: AsyncConnection, *, before: datetime, limit: int
) -> tuple[Sequence[AgedCase], int]:
    """Cases whose orders we hold since before a moment, the oldest first, and how many there are."""
    rows = await conn.execute(
        text(
            f"""WITH held AS ({_HELD}),
               aged AS (
                 SELECT case_id, min(since) AS since, count(*) AS orders, array_agg(subject_id) AS order_ids
                   FROM held WHERE since <= :before GROUP BY case_id)
               {_AGED} ORDER BY a.since, c.case_id LIMIT :limit"""  # noqa: S608 - our own constant
        ),
        {"before": before, "limit": limit},
    )
    return _aged(rows.mappings().all())


async def oldest_cases(
    conn: AsyncConnection,
    *,
    before: Mapping[Severity, datetime],
    held_before: datetime,
    limit: int,
) -> tuple[Sequence[AgedCase], int]:
    """Open cases of each severity from before a moment, the most urgent and oldest first, and how many.

    Those that wait for an answer come back by themselves; those held since before `held_before` are told
    with the holds.
    """
    rows = await conn.execute(
        text(
            f"""WITH held AS ({_HELD}),
               aged AS (
                 SELECT c.case_id, c.opened_at AS since, count(m.subject_id) AS orders,
                        array_agg(m.subject_id) AS order_ids
                   FROM ledger.cases c
                   JOIN unnest(cast(:severities AS text[]), cast(:moments AS timestamptz[]))
                        AS b(severity, moment) ON b.severity = c.severity AND c.opened_at <= b.moment
                   LEFT JOIN ledger.case_members m ON m.case_id = c.case_id AND m.subject_kind = 'order'
                  WHERE c.closed_at IS NULL AND c.wait_kind IS NULL
                    AND NOT EXISTS (SELECT FROM held h WHERE h.case_id = c.case_id AND h.since <= :held_before)
                  GROUP BY c.case_id)
               {_AGED} ORDER BY c.severity, a.since, c.case_id LIMIT :limit"""  # noqa: S608 - our own constant
        ),
        {
            "severities": [severity.value for severity in before],
            "moments": list(before.values()),
            "held_before": held_before,
            "limit": limit,
        },
    )
    return _aged(rows.mappings().all())


def _aged(rows: Sequence[RowMapping]) -> tuple[Sequence[AgedCase], int]:
    found = [
        AgedCase(
            case_id=row["case_id"],
            version=row["version"],
            severity=Severity(row["severity"]),
            state=CaseState(row["state"]),
            title_ja=row["title_ja"] or "",
            title_en=row["title_en"] or "",
            assignee=row["assignee"],
            since=row["since"],
            orders=row["orders"],
            amounts=from_json(row["amounts"], tuple[tuple[int, str], ...]),
            channel=row["channel"],
            message_ts=row["message_ts"],
        )
        for row in rows
    ]
    return found, (rows[0]["total"] if rows else 0)


# ---- What is out of order; ages in seconds by the database's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is out of order, and for how long."""

    what: str
    """Its name or id."""
    age_s: float
    detail: str = ""
    case_id: int | None = None
    count: int = 1


async def failing_ticks(conn: AsyncConnection) -> Sequence[Trouble]:
    """Detections and jobs whose last run failed; one that is gone for a day was taken away."""
    rows = await conn.execute(
        text(
            """SELECT name, last_error,
                      extract(epoch FROM clock_timestamp() - last_run_at)::float AS age_s
                 FROM ledger.ticks
                WHERE last_error IS NOT NULL
                  AND last_run_at > (SELECT max(last_run_at) FROM ledger.ticks) - interval '1 day'
                ORDER BY name"""
        )
    )
    return [Trouble(what=row.name, age_s=row.age_s, detail=row.last_error) for row in rows]


async def silent_ticks(conn: AsyncConnection) -> Sequence[Trouble]:
    """Detections and jobs that did not run while the digest's own tick did.

    One that is gone for a day was taken away, not forgotten.
    """
    rows = await conn.execute(
        text(
            """SELECT t.name, extract(epoch FROM clock_timestamp() - t.last_run_at)::float AS age_s
                 FROM ledger.ticks t JOIN ledger.ticks mine ON mine.name = :mine
                WHERE t.last_run_at < mine.last_run_at - make_interval(secs => greatest(3 * t.every_s, 300))
                  AND t.last_run_at > mine.last_run_at - interval '1 day' ORDER BY t.name"""
        ),
        {"mine": DIGEST_TICK},
    )
    return [Trouble(what=row.name, age_s=row.age_s) for row in rows]


async def stopped_for_s(conn: AsyncConnection) -> float | None:
    """How long ago the digest's tick last ran; None if it never did."""
    age_s: float | None = await conn.scalar(
        text(
            """SELECT extract(epoch FROM clock_timestamp() - last_run_at)::float
                 FROM ledger.ticks WHERE name = :mine"""
        ),
        {"mine": DIGEST_TICK},
    )
    return age_s


async def unknown_operations(
    conn: AsyncConnection, limit: int
) -> tuple[Sequence[tuple[str, Trouble]], int]:
    """Operations whose answer was lost, with their verb, the oldest first, and how many there are."""
    rows = (
        await conn.execute(
            text(
                """SELECT verb, subject_id, case_id, count(*) OVER () AS total,
                          extract(epoch FROM clock_timestamp() - unknown_since)::float AS age_s
                     FROM ledger.operations WHERE state = 'unknown'
                    ORDER BY unknown_since, operation_id LIMIT :limit"""
            ),
            {"limit": limit},
        )
    ).all()
    found = [
        (row.verb, Trouble(what=row.subject_id, age_s=row.age_s, case_id=row.case_id))
        for row in rows
    ]
    return found, (rows[0].total if rows else 0)


async def waiting_for_people(conn: AsyncConnection) -> Trouble | None:
    """Operations that only a person can settle, of cases that are not closed."""
    row = (
        await conn.execute(
            text(
                """SELECT count(*) AS operations,
                          extract(epoch FROM clock_timestamp() - min(o.ended_at))::float AS age_s
                     FROM ledger.operations o JOIN ledger.cases c USING (case_id)
                    WHERE o.state = 'needs_human' AND c.closed_at IS NULL"""
            )
        )
    ).one()
    return Trouble(what="", age_s=row.age_s, count=row.operations) if row.operations else None


async def unsent_messages(conn: AsyncConnection, *, older_than_s: float) -> Trouble | None:
    """Cards, thread posts and digests that Slack has not taken for so long."""
    row = (
        await conn.execute(
            text(
                """WITH waiting AS (
                     SELECT c.updated_at AS since, k.last_error FROM ledger.cards k
                       JOIN ledger.cases c USING (case_id)
                      WHERE k.stale AND (k.in_channel OR k.message_ts IS NOT NULL)
                      UNION ALL
                     SELECT created_at, last_error FROM ledger.posts
                      WHERE state = 'queued' AND due_at < 'infinity'
                      UNION ALL
                     SELECT created_at, last_error FROM ledger.digests WHERE state = 'queued')
                   SELECT count(*) AS messages, max(last_error) AS last_error,
                          extract(epoch FROM clock_timestamp() - min(since))::float AS age_s
                     FROM waiting
                    WHERE since < clock_timestamp() - make_interval(secs => :older_than_s)"""
            ),
            {"older_than_s": older_than_s},
        )
    ).one()
    if not row.messages:
        return None
    return Trouble(what="", age_s=row.age_s, detail=row.last_error or "", count=row.messages)


async def roles_age_s(conn: AsyncConnection) -> float | None:
    """Seconds since roles were last synced; None if they never were."""
    age_s: float | None = await conn.scalar(
        text(
            "SELECT extract(epoch FROM clock_timestamp() - max(synced_at))::float FROM ledger.people"
        )
    )
    return age_s


async def open_reviews(conn: AsyncConnection) -> Sequence[tuple[str, Trouble]]:
    """What one person let through alone and nobody else has looked at, with who it was, oldest first."""
    rows = await conn.execute(
        text(
            """SELECT coalesce(e.display_name, p.proposed_by) AS by, (p.body ->> 'case')::bigint AS case_id,
                      extract(epoch FROM clock_timestamp() - p.proposed_at)::float AS age_s
                 FROM ledger.proposals p LEFT JOIN ledger.people e ON e.user_id = p.proposed_by
                WHERE p.kind = 'review' AND p.state = 'open' ORDER BY p.proposed_at"""
        )
    )
    return [(row.by, Trouble(what="", age_s=row.age_s, case_id=row.case_id)) for row in rows]


async def pulled_brakes(conn: AsyncConnection) -> Sequence[tuple[str, Trouble]]:
    """What is paused, with who paused it."""
    rows = await conn.execute(
        text(
            """SELECT s.name, s.reason, coalesce(p.display_name, s.paused_by, '') AS by,
                      extract(epoch FROM clock_timestamp() - s.paused_at)::float AS age_s
                 FROM ledger.switches s LEFT JOIN ledger.people p ON p.user_id = s.paused_by
                WHERE s.paused_at IS NOT NULL ORDER BY s.paused_at"""
        )
    )
    return [(row.by, Trouble(what=row.name, age_s=row.age_s, detail=row.reason)) for row in rows]
