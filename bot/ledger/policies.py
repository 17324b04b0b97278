"""Named queries about the policies that were in force: every one is kept whole, the newest one is."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_LOCK = 4_208_002


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPolicy:
    """A policy as the ledger keeps it."""

    hash: str
    body: str


async def lock(conn: AsyncConnection) -> None:
    """One at a time changes the policy; held until the transaction ends."""
    await conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


async def in_force(conn: AsyncConnection) -> KeptPolicy | None:
    """The newest; None before the first start."""
    row = (
        await conn.execute(
            text("SELECT hash, body FROM ledger.policies ORDER BY policy_id DESC LIMIT 1")
        )
    ).first()
    return KeptPolicy(hash=row.hash, body=row.body) if row else None


async def hash_in_force(conn: AsyncConnection) -> str | None:
    """Its hash alone, which is cheap to ask often."""
    found: str | None = await conn.scalar(
        text("SELECT hash FROM ledger.policies ORDER BY policy_id DESC LIMIT 1")
    )
    return found


async def count(conn: AsyncConnection) -> int:
    """How many there have been."""
    number: int = (await conn.execute(text("SELECT count(*) FROM ledger.policies"))).scalar_one()
    return number


async def insert(
    conn: AsyncConnection,
    *,
    hash_: str,
    body: str,
    proposed_by: str | None = None,
    approved_by: str | None = None,
) -> None:
    """Put a policy in force: from a reviewed file, or as two people have agreed."""
    await conn.execute(
        text(
            """INSERT INTO ledger.policies (hash, body, source, proposed_by, approved_by)
               VALUES (:hash, :body, :source, :proposed_by, :approved_by)"""
        ),
        {
            "hash": hash_,
            "body": body,
            "source": "file" if proposed_by is None else "people",
            "proposed_by": proposed_by,
            "approved_by": approved_by,
        },
    )
