"""Named queries about waiting requests: how often somebody was reminded of them, and when others were called in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that waits, as far as reminders go; times by the database's clock."""

    case_id: int
    decision_id: str
    requested_at: datetime
    reminders: int
    reminded_at: datetime | None
    escalated_at: datetime | None


_WAITING = """SELECT case_id, decision_id, requested_at, reminders, reminded_at, escalated_at
                FROM ledger.decisions
               WHERE state = 'awaiting_approval' AND (expires_at IS NULL OR expires_at > clock_timestamp())"""


async def read_waiting(conn: AsyncConnection) -> Sequence[Waiting]:
    """Every request that waits, oldest first."""
    rows = await conn.execute(text(f"{_WAITING} ORDER BY requested_at"))
    return [Waiting(**row) for row in rows.mappings()]


async def reread_waiting(conn: AsyncConnection, decision_id: str) -> Waiting | None:
    """The same request, if it waits still; call it under the lock of its case."""
    row = (
        (await conn.execute(text(f"{_WAITING} AND decision_id = :id"), {"id": decision_id}))
        .mappings()
        .first()
    )
    return Waiting(**row) if row else None


async def note_reminder(conn: AsyncConnection, decision_id: str) -> None:
    await conn.execute(
        text(
            """UPDATE ledger.decisions SET reminders = reminders + 1, reminded_at = clock_timestamp()
                WHERE decision_id = :id"""
        ),
        {"id": decision_id},
    )


async def note_escalation(conn: AsyncConnection, decision_id: str) -> None:
    await conn.execute(
        text(
            "UPDATE ledger.decisions SET escalated_at = clock_timestamp() WHERE decision_id = :id"
        ),
        {"id": decision_id},
    )
