"""Named queries about ticks: what runs again and again, once however many processes there are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def declare_ticks(conn: AsyncConnection, every_s: Mapping[str, float]) -> None:
    """Make sure that each tick has its row, with its present interval; a detection that is gone is due never."""
    for name, seconds in sorted(every_s.items()):
        await conn.execute(
            text(
                """INSERT INTO ledger.ticks (name, every_s) VALUES (:name, :every_s)
                   ON CONFLICT (name) DO UPDATE SET every_s = excluded.every_s,
                     due_at = CASE WHEN ledger.ticks.due_at = 'infinity' THEN clock_timestamp()
                                   ELSE ledger.ticks.due_at END
                     WHERE ledger.ticks.every_s <> excluded.every_s OR ledger.ticks.due_at = 'infinity'"""
            ),
            {"name": name, "every_s": seconds},
        )
    await retire_detections(conn, every_s)


async def retire_detections(conn: AsyncConnection, there: Collection[str]) -> None:
    """Let detections that are gone be due never, so that nobody takes them for silent."""
    await conn.execute(
        text(
            """UPDATE ledger.ticks SET due_at = 'infinity'
                WHERE name LIKE 'detection:%' AND due_at < 'infinity' AND NOT name = ANY(:names)"""
        ),
        {"names": list(there)},
    )


async def make_due(conn: AsyncConnection, name: str) -> None:
    """Have a tick run at once, unless somebody is at it."""
    await conn.execute(
        text("UPDATE ledger.ticks SET due_at = clock_timestamp() WHERE name = :name"),
        {"name": name},
    )


async def note_run(
    conn: AsyncConnection, name: str, *, watermark: datetime | None, error: str | None
) -> None:
    """Remember how a tick went; a watermark is only moved by a good one."""
    await conn.execute(
        text(
            """UPDATE ledger.ticks SET last_run_at = clock_timestamp(), last_error = :error,
                      watermark = coalesce(cast(:watermark AS timestamptz), watermark)
                WHERE name = :name"""
        ),
        {"name": name, "watermark": watermark, "error": error},
    )
