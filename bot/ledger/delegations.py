"""Named queries about delegation: who stands in for whom, from when to when, by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.roles import Delegation


async def insert_delegation(conn: AsyncConnection, delegation: Delegation) -> None:
    await conn.execute(
        text(
            """INSERT INTO ledger.delegations (delegation_id, from_user, to_user, starts_at, ends_at, created_by)
               VALUES (:delegation_id, :from_user, :to_user, :starts_at, :ends_at, :created_by)"""
        ),
        {
            "delegation_id": delegation.delegation_id,
            "from_user": delegation.from_user,
            "to_user": delegation.to_user,
            "starts_at": delegation.starts_at,
            "ends_at": delegation.ends_at,
            "created_by": delegation.created_by,
        },
    )


async def active_for(conn: AsyncConnection, to_user: str) -> Sequence[Delegation]:
    """For whom somebody stands in now, the oldest first."""
    rows = await conn.execute(
        text(
            """SELECT * FROM ledger.delegations
                WHERE to_user = :to_user AND ended_at IS NULL
                  AND clock_timestamp() >= starts_at AND clock_timestamp() < ends_at
                ORDER BY created_at"""
        ),
        {"to_user": to_user},
    )
    return [_delegation(row) for row in rows]


async def not_over(conn: AsyncConnection) -> Sequence[Delegation]:
    """All that last, or are to begin."""
    rows = await conn.execute(
        text(
            """SELECT * FROM ledger.delegations
                WHERE ended_at IS NULL AND clock_timestamp() < ends_at ORDER BY starts_at, created_at"""
        )
    )
    return [_delegation(row) for row in rows]


async def end_delegations(
    conn: AsyncConnection, from_user: str, ended_by: str
) -> Sequence[Delegation]:
    """End all that somebody delegated; returns them."""
    rows = await conn.execute(
        text(
            """UPDATE ledger.delegations SET ended_at = clock_timestamp(), ended_by = :ended_by
                WHERE from_user = :from_user AND ended_at IS NULL AND clock_timestamp() < ends_at
               RETURNING *"""
        ),
        {"from_user": from_user, "ended_by": ended_by},
    )
    return [_delegation(row) for row in rows]


def _delegation(row: Row[Any]) -> Delegation:
    return Delegation(
        delegation_id=row.delegation_id,
        from_user=row.from_user,
        to_user=row.to_user,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
    )
