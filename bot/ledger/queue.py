"""Named queries about the queue: what is open, what comes next, and what an hour brought."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import CaseState, QueueEntry, RollUp
from bot.domain.findings import Severity
from bot.ledger.cases import Amounts
from bot.ledger.values import from_json, to_json

# Money and the next shipping deadline of a case's orders.
_MONEY = """
    SELECT jsonb_agg(jsonb_build_array(total, currency) ORDER BY total DESC) AS amounts, min(deadline) AS deadline
      FROM (SELECT sum((facts ->> 'amount')::bigint) AS total, facts ->> 'currency' AS currency,
                   min((facts ->> 'ship_due_at')::timestamptz)
                     FILTER (WHERE facts ->> 'shipped_at' IS NULL) AS deadline
              FROM ledger.case_members m
             WHERE m.case_id = c.case_id AND m.subject_kind = 'order' AND facts ->> 'amount' IS NOT NULL
             GROUP BY facts ->> 'currency') s"""
SOON = timedelta(hours=2)
"""What leaves (is shipped, or paid out) within this comes before what is dearer and can wait."""
# Severity is what was promised; within it what leaves soon, then the dearest by how likely it is fraud. A case
# that came within the last half minute has no rank yet and counts as even.
_ORDER = f"""c.severity, coalesce(r.leaves_at <= :soon, false) DESC,
             coalesce(r.expected_loss, (k.priority % {10**15}) / 2) DESC, c.case_id"""
# Open, nobody's, and waiting for nobody.
_FREE = "c.state IN ('open', 'partly_done') AND c.assignee IS NULL AND c.wait_kind IS NULL"


async def read_queue(
    conn: AsyncConnection, limit: int, *, now: datetime, free: bool = False
) -> Sequence[QueueEntry]:
    """Open cases, the most urgent first (`_ORDER`), those that wait for an answer last.

    Args:
        now: by the market's clock.
        free: only what nobody has taken and what waits for nobody.
    """
    rows = await conn.execute(
        text(
            f"""SELECT c.case_id, c.severity, c.state, c.opened_at, c.assignee,
                      c.wait_kind IS NOT NULL AS waits,
                      f.body ->> 'title_ja' AS title_ja, f.body ->> 'title_en' AS title_en,
                      coalesce(m.amounts, '[]') AS amounts, m.deadline, r.probability
                 FROM ledger.cases c JOIN ledger.cards k USING (case_id)
                 LEFT JOIN ledger.case_ranks r USING (case_id)
                 LEFT JOIN LATERAL (SELECT body FROM ledger.findings f WHERE f.case_id = c.case_id
                                     ORDER BY severity, finding_id LIMIT 1) f ON true
                 LEFT JOIN LATERAL ({_MONEY}) m ON true
                WHERE c.closed_at IS NULL AND ({_FREE if free else "true"})
                ORDER BY c.wait_kind IS NOT NULL, {_ORDER}
                LIMIT :limit"""  # noqa: S608 - only our own constants are put in
        ),
        {"limit": limit, "soon": now + SOON},
    )
    return [
        QueueEntry(
            case_id=row.case_id,
            severity=Severity(row.severity),
            state=CaseState(row.state),
            opened_at=row.opened_at,
            assignee=row.assignee,
            title_ja=row.title_ja or "",
            title_en=row.title_en or "",
            amounts=from_json(row.amounts, Amounts),
            deadline=row.deadline,
            waits=row.waits,
            probability=row.probability,
        )
        for row in rows
    ]


async def take_next(conn: AsyncConnection, user_id: str, *, now: datetime) -> int | None:
    """Make a person the one who looks after the most urgent free case (`_ORDER`); None if there is none.

    Two people who ask at once get two cases.
    """
    case_id: int | None = await conn.scalar(
        text(
            f"""WITH next AS (
                 SELECT c.case_id FROM ledger.cases c JOIN ledger.cards k USING (case_id)
                   LEFT JOIN ledger.case_ranks r USING (case_id)
                  WHERE c.closed_at IS NULL AND {_FREE}
                  ORDER BY {_ORDER} LIMIT 1 FOR UPDATE OF c SKIP LOCKED)
               UPDATE ledger.cases c SET assignee = :user_id FROM next WHERE c.case_id = next.case_id
               RETURNING c.case_id"""  # noqa: S608 - only our own constants are put in
        ),
        {"user_id": user_id, "soon": now + SOON},
    )
    return case_id


async def read_roll_up(
    conn: AsyncConnection,
    *,
    since: datetime,
    until: datetime,
    severities: Collection[Severity],
    lines: int,
) -> RollUp:
    """What came to the queue between two moments of the market's clock, and what is left there to take."""
    params = {
        "since": since,
        "until": until,
        "severities": [severity.value for severity in severities],
    }
    new = await conn.execute(
        text(
            """SELECT severity, count(*) AS cases FROM ledger.cases c
                WHERE opened_at > :since AND opened_at <= :until AND opened_by IS NULL
                  AND severity = ANY(:severities) GROUP BY severity ORDER BY severity"""
        ),
        params,
    )
    left = await conn.execute(
        text(
            f"""SELECT severity, count(*) AS cases, min(opened_at) AS oldest_at
                  FROM ledger.cases c WHERE c.closed_at IS NULL AND {_FREE}
                 GROUP BY severity ORDER BY severity"""  # noqa: S608 - only our own constants are put in
        )
    )
    remaining = left.all()
    amounts = await conn.execute(
        text(
            f"""SELECT sum((m.facts ->> 'amount')::bigint) AS total, m.facts ->> 'currency' AS currency
                  FROM ledger.cases c JOIN ledger.case_members m USING (case_id)
                 WHERE c.closed_at IS NULL AND {_FREE} AND m.subject_kind = 'order'
                   AND m.facts ->> 'amount' IS NOT NULL
                 GROUP BY 2 ORDER BY 1 DESC"""  # noqa: S608 - only our own constants are put in
        )
    )
    return RollUp(
        since=since,
        until=until,
        new=tuple((Severity(row.severity), row.cases) for row in new),
        left=tuple((Severity(row.severity), row.cases) for row in remaining),
        amounts=tuple((int(row.total), row.currency) for row in amounts),
        oldest_at=min((row.oldest_at for row in remaining), default=None),
        first=tuple(await read_queue(conn, lines, now=until, free=True)),
    )


async def queue_roll_up(
    conn: AsyncConnection, roll_up: RollUp, *, post_id: str, channel: str, dedupe_key: str
) -> bool:
    """Say it in the channel, once for this key; False if that was done already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.posts (post_id, kind, channel, dedupe_key, story)
               VALUES (:post_id, 'roll_up', :channel, :dedupe_key, cast(:story AS jsonb))
               ON CONFLICT (dedupe_key) DO NOTHING"""
        ),
        {
            "post_id": post_id,
            "channel": channel,
            "dedupe_key": dedupe_key,
            "story": to_json(roll_up, RollUp),
        },
    )
    return result.rowcount == 1
