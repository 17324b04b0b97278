"""One tick of a detection, from the marketplace's rows to cases, however many it finds."""

from __future__ import annotations

import resource
import sys
import time
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from bot.cases.room import Room
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.detections.proving import run_tests
from bot.domain.errors import SayableError
from bot.jobs.detect import detect
from bot.jobs.ticker import Tick
from bot.ledger import audit
from bot.market.ledger_reader import LedgerReader
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
    detection = a_detection(tmp_path, changes, ("daily_cap: 50", "daily_cap: 20000"))
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


OVER_THE_LEDGER = """/*
name: quiet_job
title: {ja: 動いていない仕事, en: A job that does not run}
source: ledger
subject: detection
severity: P2
owner: cre
schedule: {every: 60s}
window: 24h
actions: []
evidence:
  every: {ja: 間隔, en: Interval, type: count}
runbook:
  ja: [確認します, 直します]
  en: [Look, Mend]
false_positives:
  ja: [停止中]
  en: [It was stopped]
daily_cap: 50
*/
SELECT name AS subject_id, due_at AS occurred_at, round(every_s)::bigint AS every
  FROM ticks
 WHERE due_at < :now - every_s * 3 * interval '1 second'
"""


async def test_a_detection_over_our_own_ledger_reads_its_views(
    room: Room, tmp_path: Path, market_reader_dsn: str, ledger_reader_dsn: str
) -> None:
    path = tmp_path / "quiet_job.sql"
    path.write_text(OVER_THE_LEDGER, encoding="utf-8")
    detection = load_detection(path)
    assert isinstance(detection, Detection), detection
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO ledger.ticks (name, every_s, due_at)"
                " VALUES ('job:a', 60, :at), ('job:b', 86400, :at)"
            ),
            {"at": NOW - timedelta(minutes=10)},
        )
    market = MarketReader(market_reader_dsn)
    await detect(room, market, detection, FIRST, ledger=LedgerReader(ledger_reader_dsn))
    async with room.engine.connect() as conn:
        found = (
            await conn.execute(text("SELECT detection, subject_id FROM ledger.findings"))
        ).all()
    assert [tuple(row) for row in found] == [("quiet_job", "job:a")]
    with pytest.raises(SayableError, match="set DATABASE_READER_URL"):
        await detect(room, market, detection, FIRST)


async def test_the_application_role_is_no_reader_of_the_ledger(ledger_dsn: str) -> None:
    with pytest.raises(SayableError, match=r"DATABASE_READER_URL may write .* only be read"):
        await LedgerReader(ledger_dsn).check()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("FROM ticks", "FROM orders", "the views of the ledger have no relation orders"),
        ("due_at AS", "dueat AS", "ticks has no column dueat; did you mean due_at?"),
        ("FROM ticks", "FROM ledger.ticks", "write ticks without its schema ledger"),
    ],
)
def test_what_the_ledger_does_not_show_is_named(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "quiet_job.sql"
    path.write_text(OVER_THE_LEDGER.replace(old, new), encoding="utf-8")
    problems = load_detection(path)
    assert isinstance(problems, list)
    assert said in " ".join(problem.message for problem in problems)


async def test_examples_of_a_detection_over_the_ledger_hold_rows_of_its_views(
    tmp_path: Path, market_dsn: str
) -> None:
    path = tmp_path / "quiet_job.sql"
    path.write_text(OVER_THE_LEDGER, encoding="utf-8")
    path.with_suffix(".test.yml").write_text(
        """- title: A job that is late is found, one that is on time is not
  rows:
    ticks:
      - {name: job:late, every_s: 60, due_at: 1h ago}
      - {name: job:slow, every_s: 7200, due_at: 1h ago}
  finds: [job:late]
""",
        encoding="utf-8",
    )
    detection = load_detection(path)
    assert isinstance(detection, Detection), detection
    (result,) = await run_tests([detection], market_dsn)
    assert result.failure is None
