from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from bot.ledger import claims, ticks
from bot.ledger.claims import TICKS, Claim
from bot.ledger.engine import create_engine


@pytest.fixture
async def engine(ledger_dsn: str) -> AsyncIterator[AsyncEngine]:
    """A ledger whose queue of ticks has twelve due rows."""
    engine = create_engine(ledger_dsn, poolclass=NullPool)
    async with engine.begin() as conn:
        await ticks.declare_ticks(conn, {f"tick-{n:02}": 60.0 for n in range(12)})
    yield engine
    await engine.dispose()


async def take(engine: AsyncEngine, owner: str, limit: int = 1, lease_s: float = 30) -> list[Claim]:
    async with engine.begin() as conn:
        return list(await claims.claim(conn, TICKS, owner=owner, lease_s=lease_s, limit=limit))


async def test_workers_that_claim_at_once_never_share_a_row(engine: AsyncEngine) -> None:
    taken = await asyncio.gather(*(take(engine, f"w{n}", limit=3) for n in range(6)))
    keys = [claim.key for some in taken for claim in some]
    assert len(keys) == len(set(keys)) == 12


async def test_a_claimed_row_is_free_again_when_its_lease_ends(engine: AsyncEngine) -> None:
    (first,) = await take(engine, "dies", lease_s=0.01)
    await asyncio.sleep(0.05)
    again = {claim.key: claim for claim in await take(engine, "lives", limit=12)}
    assert again[first.key].fence == first.fence + 1
    assert again[first.key].attempts == 2


async def test_a_worker_that_lost_its_claim_cannot_write_back(engine: AsyncEngine) -> None:
    (lost,) = await take(engine, "slow", lease_s=0.01)
    await asyncio.sleep(0.05)
    await take(engine, "quick", limit=12)
    async with engine.begin() as conn:
        written = await claims.finish(conn, TICKS, lost)
    assert not written


async def test_a_finished_row_is_due_when_it_was_put_off_to(engine: AsyncEngine) -> None:
    (done,) = await take(engine, "w")
    async with engine.begin() as conn:
        assert await claims.finish(conn, TICKS, done, due_in_s=60)
    assert done.key not in {claim.key for claim in await take(engine, "w", limit=12)}
    async with engine.connect() as conn:
        attempts = await conn.scalar(
            text("SELECT attempts FROM ledger.ticks WHERE name = :name"), {"name": done.key}
        )
    assert attempts == 0


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 1), (2, 2), (4, 8), (30, 60)])
def test_waiting_doubles_up_to_a_cap(attempts: int, seconds: float) -> None:
    assert claims.backoff_s(attempts) == seconds
