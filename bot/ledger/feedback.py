"""Named queries about what became of findings: chargebacks, overturned decisions, and how urgent that makes a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.findings import Severity
from bot.domain.modes import Chargebacks
from bot.ledger.cases import Amounts
from bot.ledger.values import from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Chargeback:
    """What the bank took back as fraud; times by the market's clock."""

    chargeback_id: str
    order_id: str
    amount: int | None
    currency: str | None
    received_at: datetime
    ordered_at: datetime | None


async def latest_chargeback(conn: AsyncConnection) -> datetime | None:
    at: datetime | None = await conn.scalar(text("SELECT max(received_at) FROM ledger.chargebacks"))
    return at


async def take_chargeback(conn: AsyncConnection, chargeback: Chargeback) -> bool:
    """Keep a chargeback and label what was found about its order as fraud. False where it is known already."""
    params = {
        "chargeback_id": chargeback.chargeback_id,
        "order_id": chargeback.order_id,
        "amount": chargeback.amount,
        "currency": chargeback.currency,
        "received_at": chargeback.received_at,
        "ordered_at": chargeback.ordered_at,
    }
    about = """(f.subject_kind = 'order' AND f.subject_id = :order_id
                OR f.body -> 'order_ids' @> to_jsonb(cast(:order_id AS text)))"""
    taken = await conn.execute(
        text(
            f"""INSERT INTO ledger.chargebacks (chargeback_id, order_id, amount, currency, received_at, warned_by,
                     counts)
                SELECT :chargeback_id, :order_id, :amount, :currency, :received_at,
                       ARRAY(SELECT DISTINCT f.detection FROM ledger.findings f
                              WHERE {about} AND f.mode <> 'baseline' AND f.found_at < :received_at ORDER BY 1),
                       coalesce(cast(:ordered_at AS timestamptz)
                                >= (SELECT min(found_at) FROM ledger.findings), false)
                ON CONFLICT DO NOTHING"""  # noqa: S608 - our own words
        ),
        params,
    )
    if taken.rowcount != 1:
        return False
    await conn.execute(
        text(
            f"""UPDATE ledger.findings f SET verdict = 'fraud', verdict_source = 'chargeback'
                 WHERE {about}"""  # noqa: S608 - our own words
        ),
        {"order_id": chargeback.order_id},
    )
    await conn.execute(
        text(
            """UPDATE ledger.case_members SET verdict = 'fraud'
                WHERE subject_kind = 'order' AND subject_id = :order_id"""
        ),
        {"order_id": chargeback.order_id},
    )
    return True


async def read_chargebacks(conn: AsyncConnection, since: datetime, until: datetime) -> Chargebacks:
    """Of the orders that came since something was detected here at all: what was warned of in time."""
    rows = await conn.execute(
        text(
            """SELECT cardinality(warned_by) AS warnings, warned_by FROM ledger.chargebacks
                WHERE counts AND received_at > :since AND received_at <= :until"""
        ),
        {"since": since, "until": until},
    )
    found = rows.all()
    warned: dict[str, int] = {}
    for row in found:
        for detection in row.warned_by:
            warned[detection] = warned.get(detection, 0) + 1
    return Chargebacks(
        count=len(found), missed=sum(not row.warnings for row in found), warned_by=warned
    )


async def read_overturned(conn: AsyncConnection, past: timedelta) -> Mapping[str, int]:
    """Overturned decisions of so long by the database's clock, by detection that had a finding in the case."""
    rows = await conn.execute(
        text(
            """SELECT f.detection, count(DISTINCT o.decision_id) AS overturned
                 FROM ledger.overturns o JOIN ledger.findings f USING (case_id)
                WHERE o.overturned_at > clock_timestamp() - cast(:past AS interval) GROUP BY f.detection"""
        ),
        {"past": past},
    )
    return {row.detection: row.overturned for row in rows}


async def insert_overturn(
    conn: AsyncConnection, *, decision_id: str, case_id: int, verdict: str, by: str
) -> bool:
    """False where the decision was overturned already."""
    made = await conn.execute(
        text(
            """INSERT INTO ledger.overturns (decision_id, case_id, verdict, overturned_by)
               VALUES (:decision_id, :case_id, :verdict, :by) ON CONFLICT DO NOTHING"""
        ),
        {
            "decision_id": decision_id,
            "case_id": case_id,
            "verdict": verdict,
            "by": by,
        },
    )
    return made.rowcount == 1


# ---- Ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Unranked:
    """An open case as its rank needs it."""

    case_id: int
    told_by: tuple[tuple[str, Severity], ...]
    """Its detections, each once, with the severity of its gravest finding."""
    amounts: tuple[tuple[int, str], ...]
    """What can still be stopped."""
    leaves_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    case_id: int
    probability: float
    expected_loss: int
    leaves_at: datetime | None


async def read_verdicts(
    conn: AsyncConnection, now: datetime, past: timedelta
) -> Mapping[str, tuple[int, int]]:
    """Decided cases of each detection as (fraud, good); a case counts once, whatever was found in it."""
    rows = await conn.execute(
        text(
            """SELECT detection, count(*) FILTER (WHERE fraud) AS fraud, count(*) FILTER (WHERE NOT fraud) AS good
                 FROM (SELECT detection, bool_or(verdict = 'fraud') AS fraud FROM ledger.findings
                        WHERE verdict IS NOT NULL AND found_at > :since
                        GROUP BY detection, coalesce(case_id, -finding_id)) AS decided
                GROUP BY detection"""
        ),
        {"since": now - past},
    )
    return {row.detection: (row.fraud, row.good) for row in rows}


async def read_unranked(conn: AsyncConnection) -> Sequence[Unranked]:
    """Every open case."""
    rows = await conn.execute(
        text(
            """SELECT c.case_id,
                      (SELECT jsonb_agg(jsonb_build_array(detection, severity))
                         FROM (SELECT detection, min(severity) AS severity FROM ledger.findings f
                                WHERE f.case_id = c.case_id GROUP BY detection ORDER BY detection) t) AS told_by,
                      (SELECT jsonb_agg(jsonb_build_array(total, currency))
                         FROM (SELECT sum((facts ->> 'amount')::bigint) AS total, facts ->> 'currency' AS currency
                                 FROM ledger.case_members m
                                WHERE m.case_id = c.case_id AND m.subject_kind = 'order'
                                  AND facts ->> 'amount' IS NOT NULL AND facts ->> 'currency' IS NOT NULL
                                  AND facts ->> 'canceled_at' IS NULL AND facts ->> 'shipped_at' IS NULL
                                GROUP BY facts ->> 'currency') s) AS amounts,
                      (SELECT min(at) FROM ledger.case_members m
                        CROSS JOIN LATERAL (VALUES
                          (CASE WHEN facts ->> 'shipped_at' IS NULL THEN (facts ->> 'ship_due_at')::timestamptz END),
                          ((facts ->> 'payout_at')::timestamptz)) AS moments(at)
                        WHERE m.case_id = c.case_id AND m.subject_kind = 'order' AND facts ->> 'canceled_at' IS NULL
                          AND facts ->> 'held_at' IS NULL) AS leaves_at
                 FROM ledger.cases c WHERE c.closed_at IS NULL"""
        )
    )
    return [
        Unranked(
            case_id=row.case_id,
            told_by=tuple((name, Severity(severity)) for name, severity in row.told_by or ()),
            amounts=from_json(row.amounts or "[]", Amounts),
            leaves_at=row.leaves_at,
        )
        for row in rows
    ]


async def store_ranks(conn: AsyncConnection, ranks: Sequence[Rank]) -> None:
    """Keep them; what has not changed is not written, and a case that somebody works on is left for the next time.

    A new rank locks its case. Who waits for one case while holding others stands in the way of those who take
    several, so this waits for none.
    """
    rows = await conn.execute(
        text(
            "SELECT case_id FROM ledger.cases WHERE case_id = ANY(:ids) FOR KEY SHARE SKIP LOCKED"
        ),
        {"ids": [rank.case_id for rank in ranks]},
    )
    free = {row.case_id for row in rows}
    if free:
        await conn.execute(
            text(
                """INSERT INTO ledger.case_ranks AS r (case_id, probability, expected_loss, leaves_at)
                   VALUES (:case_id, :probability, :expected_loss, :leaves_at)
                   ON CONFLICT (case_id) DO UPDATE
                      SET probability = excluded.probability, expected_loss = excluded.expected_loss,
                          leaves_at = excluded.leaves_at
                    WHERE (r.probability, r.expected_loss, r.leaves_at)
                          IS DISTINCT FROM (excluded.probability, excluded.expected_loss, excluded.leaves_at)"""
            ),
            [
                {
                    "case_id": rank.case_id,
                    "probability": rank.probability,
                    "expected_loss": rank.expected_loss,
                    "leaves_at": rank.leaves_at,
                }
                for rank in ranks
                if rank.case_id in free
            ],
        )
