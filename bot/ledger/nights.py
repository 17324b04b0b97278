"""Named queries about what detections held while nobody was there, and what of it was told to the next shift."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class NightOrder:
    """One order that a listed detection found; `why_not` None: it was put on hold."""

    subject: Subject
    amount: int
    currency: str
    why_not: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What of a night's caps is used up."""

    count: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldOrder:
    """One order as the shift hears of it."""

    case_id: int
    amount: int
    currency: str
    why_not: str | None
    state: str | None
    """Of the operation that was to hold it."""


async def held_in(conn: AsyncConnection, opens_at: datetime) -> Held:
    """What was held in the night that ends so; call it under `lock_caps`."""
    rows = (
        await conn.execute(
            text(
                """SELECT currency, count(*) AS orders, sum(amount)::bigint AS amount FROM ledger.night_holds
                    WHERE opens_at = :opens_at AND decision_id IS NOT NULL GROUP BY currency"""
            ),
            {"opens_at": opens_at},
        )
    ).all()
    return Held(
        count=sum(row.orders for row in rows), amounts={row.currency: row.amount for row in rows}
    )


async def known_orders(conn: AsyncConnection, case_id: int) -> set[str]:
    """The orders of a case that were seen to at night already."""
    rows = await conn.execute(
        text("SELECT subject_id FROM ledger.night_holds WHERE case_id = :case_id"),
        {"case_id": case_id},
    )
    return {row.subject_id for row in rows}


async def open_cases_of(conn: AsyncConnection, opens_at: datetime) -> Sequence[int]:
    """Open cases of which something was seen to in the night that ends so, and that nothing runs for."""
    rows = await conn.execute(
        text(
            """SELECT DISTINCT case_id FROM ledger.night_holds JOIN ledger.cases USING (case_id)
                WHERE opens_at = :opens_at AND state = 'open' ORDER BY case_id LIMIT 100"""
        ),
        {"opens_at": opens_at},
    )
    return [row.case_id for row in rows]


async def insert_night_orders(
    conn: AsyncConnection,
    case_id: int,
    orders: Collection[NightOrder],
    *,
    detection: str,
    opens_at: datetime,
    decision_id: str | None,
) -> None:
    await conn.execute(
        text(
            """INSERT INTO ledger.night_holds
                 (case_id, subject_id, detection, opens_at, decision_id, why_not, amount, currency)
               VALUES (:case_id, :subject_id, :detection, :opens_at, :decision_id, :why_not, :amount, :currency)"""
        ),
        [
            {
                "case_id": case_id,
                "subject_id": order.subject.id,
                "detection": detection,
                "opens_at": opens_at,
                "decision_id": None if order.why_not else decision_id,
                "why_not": order.why_not,
                "amount": order.amount,
                "currency": order.currency,
            }
            for order in orders
        ],
    )


async def take_untold(conn: AsyncConnection) -> tuple[datetime, Sequence[ToldOrder]] | None:
    """Everything that no shift has heard of, told from now on; None where there is nothing.

    Of two processes the second waits for the first one's rows, and then finds none. With it comes the
    end of the first of these nights, which names the summary.
    """
    rows = (
        await conn.execute(
            text(
                """WITH told AS (
                     UPDATE ledger.night_holds SET told_at = clock_timestamp() WHERE told_at IS NULL
                     RETURNING case_id, subject_id, decision_id, why_not, amount, currency, opens_at)
                   SELECT told.*, CASE WHEN o.resolved_by = 'dry_run' THEN 'dry_run' ELSE o.state END AS state
                     FROM told
                     LEFT JOIN ledger.operations o ON o.decision_id = told.decision_id
                       AND o.subject_id = told.subject_id AND o.subject_kind = 'order'
                    ORDER BY told.amount DESC, told.case_id, told.subject_id"""
            )
        )
    ).all()
    if not rows:
        return None
    return min(row.opens_at for row in rows), [
        ToldOrder(
            case_id=row.case_id,
            amount=row.amount,
            currency=row.currency,
            why_not=row.why_not,
            state=row.state,
        )
        for row in rows
    ]
