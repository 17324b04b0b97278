"""Named queries about what detections do by themselves: orders held, and the final step that follows unless kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.ledger.nights import Held, NightOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The final step of a detection in a case."""

    case_id: int
    detection: str
    action: str
    due_at: datetime
    state: str
    """waiting, done, asked (people are), kept, dropped (there was nothing left to do)."""


async def held_lately(conn: AsyncConnection) -> Held:
    """What of the caps of 24 hours is used up; call it under `lock_caps`."""
    rows = (
        await conn.execute(
            text(
                """SELECT currency, count(*) AS orders, sum(amount)::bigint AS amount FROM ledger.automatic_orders
                    WHERE at > clock_timestamp() - interval '24 hours' AND decision_id IS NOT NULL
                    GROUP BY currency"""
            )
        )
    ).all()
    return Held(
        count=sum(row.orders for row in rows), amounts={row.currency: row.amount for row in rows}
    )


async def known_orders(conn: AsyncConnection, case_id: int) -> set[str]:
    """The orders of a case that a detection in automatic has seen to already."""
    rows = await conn.execute(
        text("SELECT subject_id FROM ledger.automatic_orders WHERE case_id = :case_id"),
        {"case_id": case_id},
    )
    return {row.subject_id for row in rows}


async def insert_orders(
    conn: AsyncConnection,
    case_id: int,
    orders: Collection[NightOrder],
    *,
    detection: str,
    decision_id: str | None,
) -> None:
    await conn.execute(
        text(
            """INSERT INTO ledger.automatic_orders
                 (case_id, subject_id, detection, decision_id, why_not, amount, currency)
               VALUES (:case_id, :subject_id, :detection, :decision_id, :why_not, :amount, :currency)"""
        ),
        [
            {
                "case_id": case_id,
                "subject_id": order.subject.id,
                "detection": detection,
                "decision_id": None if order.why_not else decision_id,
                "why_not": order.why_not,
                "amount": order.amount,
                "currency": order.currency,
            }
            for order in orders
        ],
    )


async def cases_with_newcomers(conn: AsyncConnection) -> Sequence[int]:
    """Open cases with an automatic finding of which an order was not seen to; nothing runs for them."""
    rows = await conn.execute(
        text(
            # The latest first: an old case of which nothing can be held any more keeps no new one waiting.
            """SELECT m.case_id FROM ledger.case_members m
                 JOIN ledger.cases c ON c.case_id = m.case_id AND c.state = 'open'
                WHERE m.subject_kind = 'order' AND m.is_subject AND m.is_open AND m.verdict IS NULL
                  AND m.facts ->> 'held_at' IS NULL
                  AND EXISTS (SELECT FROM ledger.findings f WHERE f.case_id = m.case_id AND f.mode = 'automatic'
                                 AND f.body -> 'actions' ? 'hold'
                                 AND ((f.subject_kind = 'order' AND f.subject_id = m.subject_id)
                                      OR f.body -> 'order_ids' ? m.subject_id))
                  AND NOT EXISTS (SELECT FROM ledger.automatic_orders a
                                   WHERE a.case_id = m.case_id AND a.subject_id = m.subject_id)
                GROUP BY m.case_id ORDER BY max(m.joined_at) DESC, m.case_id DESC LIMIT 100"""
        )
    )
    return [row.case_id for row in rows]


async def plan_step(
    conn: AsyncConnection, case_id: int, *, detection: str, action: str, delay_s: float
) -> datetime | None:
    """Let the final step wait for objections, from now on anew where it waits already; None: it has ended."""
    row = (
        await conn.execute(
            text(
                """INSERT INTO ledger.automatic_steps (case_id, detection, action, due_at)
                   VALUES (:case_id, :detection, :action, clock_timestamp() + make_interval(secs => :delay_s))
                   ON CONFLICT (case_id) DO UPDATE SET due_at = excluded.due_at
                     WHERE ledger.automatic_steps.state = 'waiting'
                   RETURNING due_at"""
            ),
            {"case_id": case_id, "detection": detection, "action": action, "delay_s": delay_s},
        )
    ).one_or_none()
    return row.due_at if row is not None else None


async def due_steps(conn: AsyncConnection) -> Sequence[int]:
    """Cases whose objection window has passed."""
    rows = await conn.execute(
        text(
            # In any order: those that wait for a cap or a pause keep no other waiting.
            """SELECT case_id FROM ledger.automatic_steps
                WHERE state = 'waiting' AND due_at <= clock_timestamp() ORDER BY random() LIMIT 100"""
        )
    )
    return [row.case_id for row in rows]


async def read_step(conn: AsyncConnection, case_id: int) -> Step | None:
    row = (
        await conn.execute(
            text("SELECT * FROM ledger.automatic_steps WHERE case_id = :case_id"),
            {"case_id": case_id},
        )
    ).one_or_none()
    if row is None:
        return None
    return Step(
        case_id=row.case_id,
        detection=row.detection,
        action=row.action,
        due_at=row.due_at,
        state=row.state,
    )


async def orders_held_by(conn: AsyncConnection, case_id: int) -> set[str]:
    """The orders of a case that detections held."""
    rows = await conn.execute(
        text(
            """SELECT subject_id FROM ledger.automatic_orders
                WHERE case_id = :case_id AND decision_id IS NOT NULL"""
        ),
        {"case_id": case_id},
    )
    return {row.subject_id for row in rows}


async def end_step(
    conn: AsyncConnection, case_id: int, state: str, *, by: str, decision_id: str | None = None
) -> bool:
    """Whether it was still waiting."""
    ended = await conn.execute(
        text(
            """UPDATE ledger.automatic_steps
                  SET state = :state, ended_by = :by, ended_at = clock_timestamp(), decision_id = :decision_id
                WHERE case_id = :case_id AND state = 'waiting'"""
        ),
        {"case_id": case_id, "state": state, "by": by, "decision_id": decision_id},
    )
    return ended.rowcount == 1
