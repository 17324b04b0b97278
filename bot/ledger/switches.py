"""Named queries about the brakes: pull one, let it go, and look."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.proposals import Pause

# One key for all brakes. Whoever commits an attempt holds it shared, whoever pulls a brake alone: once the
# brake is committed, no attempt can be that did not see it.
_LOCK = 4_208_001
_PAUSES = """SELECT s.name, coalesce(p.display_name, s.paused_by, '') AS by, s.paused_at, s.reason
               FROM ledger.switches s LEFT JOIN ledger.people p ON p.user_id = s.paused_by
              WHERE s.paused_at IS NOT NULL"""


async def lock_alone(conn: AsyncConnection) -> None:
    """Wait for attempts that are being committed, and keep new ones out until this transaction ends."""
    await conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


async def lock_shared(conn: AsyncConnection) -> None:
    """Keep the brakes as they are until this transaction ends."""
    await conn.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _LOCK})


async def pauses(conn: AsyncConnection) -> Sequence[Pause]:
    """Every brake that is on, the one for everything first."""
    rows = await conn.execute(text(f"{_PAUSES} ORDER BY s.name <> 'all', s.name"))
    return [Pause(name=r.name, by=r.by, at=r.paused_at, reason=r.reason) for r in rows]


async def read_pause(conn: AsyncConnection, action: str) -> Pause | None:
    """The brake that stops this action, the one for everything first."""
    row = (
        await conn.execute(
            text(f"{_PAUSES} AND s.name IN ('all', :action) ORDER BY s.name <> 'all' LIMIT 1"),
            {"action": action},
        )
    ).first()
    return Pause(name=row.name, by=row.by, at=row.paused_at, reason=row.reason) if row else None


async def pull(conn: AsyncConnection, name: str, *, by: str, reason: str) -> bool:
    """Pull a brake; False if it is on already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.switches (name, paused_by, reason, paused_at)
               VALUES (:name, :by, :reason, clock_timestamp())
               ON CONFLICT (name) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason,
                 paused_at = excluded.paused_at, resumed_by_proposal = NULL
                WHERE switches.paused_at IS NULL"""
        ),
        {"name": name, "by": by, "reason": reason},
    )
    return result.rowcount == 1


async def let_go(conn: AsyncConnection, name: str, *, proposal_id: str) -> bool:
    """Let a brake go, by a proposal that another person agreed to; False if it was not on."""
    result = await conn.execute(
        text(
            """UPDATE ledger.switches SET paused_at = NULL, paused_by = NULL, reason = '',
                      resumed_by_proposal = :proposal_id
                WHERE name = :name AND paused_at IS NOT NULL"""
        ),
        {"name": name, "proposal_id": proposal_id},
    )
    return result.rowcount == 1
