"""What a run costs is said before it runs; the SQL that is printed finds the same elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from bot.detections.costing import full_scans, read_plan, relations_of
from bot.detections.detection import BUILT_IN, Detection
from bot.detections.engine import run
from bot.detections.explaining import plan_of, scans_of, sql_for_psql, sql_for_redash
from bot.detections.loading import load_detection, load_detections
from bot.domain.errors import SayableError
from bot.market.reader import MarketReader
from tests.detections.heads import SOUND, write_detection


def load(path: Path) -> Detection:
    detection = load_detection(path)
    assert isinstance(detection, Detection), detection
    return detection


async def sell(market_dsn: str, count: int, *, at: datetime) -> None:
    """So many orders in the hour before, the dearest last, and statistics of them."""
    conn = await asyncpg.connect(market_dsn)
    try:
        await conn.execute(
            """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                                          ordered_at, updated_at)
               SELECT 'O' || n, 'B' || n, 'S' || n, 'paid', n * 10000, 'card',
                      $2::timestamptz - (n || ' seconds')::interval, $2::timestamptz - (n || ' seconds')::interval
                 FROM generate_series(1, $1) AS n""",
            count,
            at,
        )
        await conn.execute("ANALYZE market.orders")
    finally:
        await conn.close()


# What is computed of a column, no index of the column finds.
GREEDY = (
    "updated_at >= :changed_since AND ordered_at >= :window_start",
    "updated_at + '0s' >= :changed_since AND ordered_at + '0s' >= :window_start",
)


async def test_a_run_that_reads_a_large_relation_whole_is_named(
    tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    now = datetime.now(UTC)
    await sell(market_dsn, 3_000, at=now)
    reader = MarketReader(market_reader_dsn)
    plan = read_plan(await plan_of(load(write_detection(tmp_path, GREEDY)), reader, now=now))
    sizes = await reader.sizes(relations_of(plan))
    assert sizes == {("market", "orders"): 3_000}
    (scan,) = full_scans(plan, sizes, large_rows=1_000)
    assert "all 3,000 rows of market.orders" in scan.sentence
    assert "updated_at" in (scan.filter or "")
    assert ":changed_since" in scan.sentence


async def test_a_small_relation_may_be_read_whole(
    tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    now = datetime.now(UTC)
    await sell(market_dsn, 3_000, at=now)
    greedy = load(write_detection(tmp_path, GREEDY))
    assert await scans_of(greedy, MarketReader(market_reader_dsn), now=now) == []


async def test_an_incremental_run_over_an_index_reads_nothing_whole(
    tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    now = datetime.now(UTC)
    await sell(market_dsn, 3_000, at=now)
    reader = MarketReader(market_reader_dsn)
    plan = read_plan(await plan_of(load(write_detection(tmp_path)), reader, now=now))
    assert full_scans(plan, await reader.sizes(relations_of(plan)), large_rows=1_000) == []


async def test_the_plan_runs_nothing(market_dsn: str, market_reader_dsn: str) -> None:
    asked = "SELECT order_id, pg_sleep(30) IS NULL AS slept FROM orders"
    await sell(market_dsn, 3, at=datetime.now(UTC))
    # It would be cut off after ten seconds.
    assert "market.orders" in await MarketReader(market_reader_dsn).explain(asked, form="TEXT")


def text_of(print_: str, detection: Detection, now: datetime) -> str:
    write = {"psql": sql_for_psql, "redash": sql_for_redash}[print_]
    return write(detection, now=now, schema="market", present=None)


async def test_what_is_printed_finds_the_same_elsewhere(
    tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    now = datetime.now(UTC)
    await sell(market_dsn, 20, at=now)
    detection = load(write_detection(tmp_path))
    findings = await run(detection, MarketReader(market_reader_dsn), now=now, changed_since=None)
    ids = sorted(finding.subject.id for finding in findings)
    assert len(ids) == 11
    conn = await asyncpg.connect(market_reader_dsn)
    try:
        pasted = text_of("redash", detection, now)
        assert sorted(row["subject_id"] for row in await conn.fetch(pasted)) == ids
        script = text_of("psql", detection, now)
        assert script.index("BEGIN TRANSACTION READ ONLY") < script.index("SET LOCAL search_path")
        body = script[script.index("SELECT order_id") : script.index("\n;\nROLLBACK;")]
        await conn.execute("SET search_path TO market")
        assert sorted(row["subject_id"] for row in await conn.fetch(body)) == ids
        # The whole script is one that psql takes.
        await conn.execute(script)
    finally:
        await conn.close()


@pytest.mark.parametrize("print_", ["psql", "redash"])
async def test_every_detection_of_ours_can_be_pasted(
    print_: str, market_dsn: str, market_reader_dsn: str
) -> None:
    conn = await asyncpg.connect(market_reader_dsn)
    now = datetime.now(UTC) - timedelta(minutes=1)
    market = [one for one in load_detections([BUILT_IN]).detections if one.source == "market"]
    assert market
    try:
        for detection in market:
            await conn.execute(text_of(print_, detection, now))
    finally:
        await conn.close()


async def test_columns_that_a_marketplace_lacks_are_null_in_what_is_printed(tmp_path: Path) -> None:
    detection = load(write_detection(tmp_path))
    present = {"orders": frozenset({"order_id", "ordered_at", "updated_at", "total_amount"})}
    for write in (sql_for_psql, sql_for_redash):
        text = write(detection, now=datetime.now(UTC), schema="shop", present=present)
        assert 'NULL::text AS "payment_method"' in text
        assert 'FROM "shop"."orders"' in text


def test_a_file_that_changed_meanwhile_is_not_printed(tmp_path: Path) -> None:
    path = write_detection(tmp_path)
    detection = load(path)
    path.write_text(SOUND + "\n-- more", encoding="utf-8")
    with pytest.raises(SayableError, match="just changed"):
        text_of("psql", detection, datetime.now(UTC))
