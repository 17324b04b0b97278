"""Ticks of a detection as its mode, its first run and its brakes have it, from the marketplace's rows on."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from bot.cases.room import Room
from bot.domain.errors import SayableError
from bot.jobs.detect import detect
from bot.jobs.ticker import Tick
from bot.market.reader import MarketReader, MarketUnreachableError
from tests.cases.conftest import NOW, room
from tests.jobs.test_detect import FIRST, a_detection, count_of, sell

__all__ = ["room"]

LATER = Tick(name=FIRST.name, watermark=NOW)


async def make_old(market_dsn: str, *orders: str) -> None:
    """Orders of two days ago that somebody has touched since."""
    conn = await asyncpg.connect(market_dsn)
    try:
        await conn.execute(
            "UPDATE market.orders SET ordered_at = ordered_at - interval '2 days' WHERE order_id = ANY($1)",
            orders,
        )
    finally:
        await conn.close()


async def modes_of(room: Room) -> dict[str, str]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(text("SELECT subject_id, mode FROM ledger.findings"))
        return {row.subject_id: row.mode for row in rows}


@pytest.mark.parametrize(("tick", "mode"), [(FIRST, "baseline"), (LATER, "review")])
async def test_only_the_first_tick_of_a_detection_takes_a_baseline(
    room: Room, tmp_path: Path, market_dsn: str, market_reader_dsn: str, tick: Tick, mode: str
) -> None:
    await sell(market_dsn, 2)
    await make_old(market_dsn, "O1")
    detection = a_detection(tmp_path, ("window: 24h", "window: 7d"))
    await detect(room, MarketReader(market_reader_dsn), detection, tick)
    assert await modes_of(room) == {"O1": mode, "O2": "review"}


async def test_every_run_is_remembered_with_what_it_took_and_found(
    room: Room, tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    await sell(market_dsn, 3)
    reader = MarketReader(market_reader_dsn)
    for _ in range(2):
        await detect(room, reader, a_detection(tmp_path), LATER)
    async with room.engine.connect() as conn:
        rows = await conn.execute(
            text("SELECT rows, fresh, error, took_ms >= 0 AS took FROM ledger.detection_runs")
        )
        assert sorted(tuple(row) for row in rows) == [(3, 0, None, True), (3, 3, None, True)]


async def test_a_run_that_fails_is_remembered_and_three_are_told(
    room: Room, tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    await sell(market_dsn, 1)
    broken = a_detection(
        tmp_path, ("total_amount >= :least", "1 / (total_amount - total_amount) > :least")
    )
    reader = MarketReader(market_reader_dsn)
    told = "SELECT count(*) FROM ledger.posts WHERE story ->> 'detail' = 'failing'"
    for _ in range(3):
        assert await count_of(room, told) == 0
        with pytest.raises(SayableError, match="division by zero"):
            await detect(room, reader, broken, LATER)
    assert await count_of(room, told) == 1
    wrong = "SELECT count(*) FROM ledger.detection_runs WHERE error LIKE '%division by zero%'"
    assert await count_of(room, wrong) == 3


async def test_a_database_that_is_away_is_no_fault_of_the_detection(
    room: Room, tmp_path: Path
) -> None:
    nowhere = MarketReader("postgresql://nobody@127.0.0.1:1/nothing")
    for _ in range(3):
        with pytest.raises(MarketUnreachableError):
            await detect(room, nowhere, a_detection(tmp_path), LATER)
    assert await count_of(room, "SELECT count(*) FROM ledger.posts") == 0
    away = "SELECT count(*) FROM ledger.detection_runs WHERE detection = 'source:market'"
    assert await count_of(room, away) == 3
