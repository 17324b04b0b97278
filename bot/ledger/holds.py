"""Named queries about holds of ours: whose they are and when they end, by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def begin_hold(
    conn: AsyncConnection, case_id: int, decision_id: str, *, owner: str | None, until: datetime
) -> None:
    """Give a hold that took effect its owner and its end, unless this decision's has them already."""
    await conn.execute(
        text(
            """UPDATE ledger.cases
                  SET hold_decision_id = :decision_id, hold_owner = :owner, hold_since = clock_timestamp(),
                      hold_until = :until, hold_warned_at = NULL, hold_extended = 0
                WHERE case_id = :case_id
                  AND (hold_decision_id IS DISTINCT FROM :decision_id OR hold_until IS NULL)"""
        ),
        {"case_id": case_id, "decision_id": decision_id, "owner": owner, "until": until},
    )


async def end_hold(conn: AsyncConnection, case_id: int) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.cases SET hold_owner = NULL, hold_since = NULL, hold_until = NULL,
                      hold_warned_at = NULL, hold_extended = 0
                WHERE case_id = :case_id"""
        ),
        {"case_id": case_id},
    )


async def extend_hold(conn: AsyncConnection, case_id: int, *, owner: str, until: datetime) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.cases SET hold_owner = :owner, hold_until = :until, hold_warned_at = NULL,
                      hold_extended = hold_extended + 1
                WHERE case_id = :case_id AND hold_until IS NOT NULL"""
        ),
        {"case_id": case_id, "owner": owner, "until": until},
    )


async def warn_of_hold(conn: AsyncConnection, case_id: int, *, until: datetime) -> None:
    """Note that its owner was reminded, and that it lasts at least so long from then on."""
    await conn.execute(
        text(
            """UPDATE ledger.cases SET hold_warned_at = clock_timestamp(), hold_until = :until
                WHERE case_id = :case_id AND hold_until IS NOT NULL"""
        ),
        {"case_id": case_id, "until": until},
    )


async def keep_hold(conn: AsyncConnection, case_id: int, *, until: datetime) -> None:
    """Let a hold, where there is one, last at least so long, and its owner be reminded again."""
    await conn.execute(
        text(
            """UPDATE ledger.cases SET hold_warned_at = NULL, hold_until = greatest(hold_until, :until)
                WHERE case_id = :case_id AND hold_until IS NOT NULL"""
        ),
        {"case_id": case_id, "until": until},
    )


async def holds_to_look_at(conn: AsyncConnection, until: datetime) -> Sequence[int]:
    """Cases whose hold ends before this moment and for whose decision nothing waits and nothing runs."""
    rows = await conn.execute(
        text(
            """SELECT case_id FROM ledger.cases
                WHERE hold_until <= :until AND state NOT IN ('awaiting_approval', 'executing')
                  AND (hold_warned_at IS NULL OR hold_until <= clock_timestamp())
                ORDER BY hold_until LIMIT 200"""
        ),
        {"until": until},
    )
    return [row.case_id for row in rows]


async def requester_of(conn: AsyncConnection, decision_id: str) -> str:
    who: str = (
        await conn.execute(
            text("SELECT requested_by FROM ledger.decisions WHERE decision_id = :id"),
            {"id": decision_id},
        )
    ).scalar_one()
    return who
