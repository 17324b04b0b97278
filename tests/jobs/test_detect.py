"""One tick of a detection, from the marketplace's rows to cases, however many it finds."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from bot.cases.room import Room
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.domain.errors import SayableError
from bot.jobs.detect import detect
from bot.jobs.ticker import Tick
from bot.ledger import audit
from bot.market.reader import MarketReader
from bot.market.selecting import Limits
from tests.cases.conftest import NOW, room
from tests.detections.heads import write_detection

__all__ = ["room"]

FIRST = Tick(name="detection:large_order", watermark=None)
UNIT = 1 if sys.platform == "darwin" else 1024


def a_detection(folder: Path, *changes: tuple[str, str]) -> Detection:
    detection = load_detection(write_detection(folder, *changes))
    assert isinstance(detection, Detection), detection
    return detection


async def sell(market_dsn: str, count: int, *, buyers: int = 10**9) -> None:
    """So many suspicious orders, of so many buyers, a minute ago."""
    conn = await asyncpg.connect(market_dsn)
    try:
        await conn.execute(
            """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                                          ordered_at, updated_at)
               SELECT 'O' || n, 'B' || n % $2, 'S' || n, 'paid', 100000 + n, 'card', $3, $3
                 FROM generate_series(1, $1) AS n""",
            count,
            buyers,
            NOW,
        )
    finally:
        await conn.close()


async def count_of(room: Room, query: str) -> int:
    async with room.engine.connect() as conn:
        found: int = (await conn.execute(text(query))).scalar_one()
        return found


async def test_ten_thousand_findings_of_one_tick_are_all_stored(
    room: Room, tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    await sell(market_dsn, 10_000, buyers=4_000)
    reader = MarketReader(market_reader_dsn)
    changes = (
        "payment_method AS method",
        "payment_method AS method, ARRAY[buyer_id] AS account_ids",
    )
    detection = a_detection(tmp_path, changes)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert await detect(room, reader, detection, FIRST) == NOW
    took = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"10,000 findings stored in {took:.1f} s; {(peak - before) * UNIT / 1e6:.0f} MB more")  # noqa: T201
    assert (
        await count_of(room, "SELECT count(*) FROM ledger.findings WHERE case_id IS NOT NULL")
        == 10_000
    )
    assert await count_of(room, "SELECT count(*) FROM ledger.cases") == 4_000
    # In the same transaction as its entry: each finding has one, and the chain holds.
    told = "SELECT count(DISTINCT details ->> 'finding') FROM ledger.audit_entries WHERE tag LIKE 'detection:%'"
    assert await count_of(room, told) == 10_000
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok
    assert (peak - before) * UNIT < 150_000_000
    # The same again is known already.
    await detect(room, reader, detection, FIRST)
    assert await count_of(room, "SELECT count(*) FROM ledger.findings") == 10_000


async def test_a_flood_in_shadow_asks_nobody_and_opens_nothing(
    room: Room, tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    await sell(market_dsn, 2_500)
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 50\nmode: shadow"))
    await detect(room, MarketReader(market_reader_dsn), detection, FIRST)
    shadows = "SELECT count(*) FROM ledger.findings WHERE mode = 'shadow' AND case_id IS NULL"
    assert await count_of(room, shadows) == 2_500
    assert await count_of(room, "SELECT count(*) FROM ledger.cases") == 0


async def test_a_run_over_its_limit_stores_nothing_and_says_which_limit(
    room: Room, tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    await sell(market_dsn, 30)
    reader = MarketReader(market_reader_dsn)
    with pytest.raises(SayableError, match="more than 20 rows"):
        await detect(room, reader, a_detection(tmp_path), FIRST, limits=Limits(rows=20))
    own = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 50\nlimits: {rows: 10}"))
    with pytest.raises(SayableError, match="more than 10 rows"):
        await detect(room, reader, own, FIRST, limits=Limits(rows=20))
    bold = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 50\nlimits: {rows: 1000}"))
    with pytest.raises(SayableError, match="more than 20 rows"):
        await detect(room, reader, bold, FIRST, limits=Limits(rows=20))
    assert await count_of(room, "SELECT count(*) FROM ledger.findings") == 0
