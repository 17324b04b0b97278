"""What a detection may try, and comes to nothing: through its file, and past every check of it."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bot.detections.detection import Detection, Statement
from bot.detections.engine import DetectionFault, run
from bot.detections.loading import load_detection
from bot.market.reader import MarketReader
from bot.market.selecting import Limits
from tests.detections.heads import SOUND, write_detection

NOW = datetime(2026, 4, 1, 3, 0, tzinfo=UTC)
UNIT = 1 if sys.platform == "darwin" else 1024
BARE = "order_id AS subject_id, ordered_at AS occurred_at"
COLUMNS = f"{BARE}, payment_method AS method"

# The twenty of the measurement, with what each of them wants.
ATTACKS = {
    "end the transaction": "COMMIT",
    "end it and delete": f"SELECT {COLUMNS} FROM orders; COMMIT; DELETE FROM market.orders",
    "begin another": "ROLLBACK; BEGIN; DELETE FROM market.orders; COMMIT",
    "become able to write": "SET TRANSACTION READ WRITE",
    "become able to write by a function": (
        f"SELECT {COLUMNS} FROM orders WHERE set_config('transaction_read_only', 'off', false) = 'off'"
    ),
    "delete in a WITH": f"WITH gone AS (DELETE FROM orders RETURNING *) SELECT {COLUMNS} FROM gone",
    "insert": "INSERT INTO orders (order_id) VALUES ('x') RETURNING order_id AS subject_id",
    "update": "UPDATE orders SET status = 'canceled' RETURNING order_id AS subject_id",
    "drop": "DROP TABLE market.orders CASCADE",
    "truncate": "TRUNCATE market.orders",
    "make a table": f"SELECT {COLUMNS} INTO stolen FROM orders",
    "hide a table": "CREATE TEMP TABLE orders AS SELECT 1 AS order_id",
    "grant": "GRANT ALL ON market.orders TO PUBLIC",
    "write a file": "COPY market.orders TO '/tmp/stolen'",
    "read a file": f"SELECT {BARE}, pg_read_file('/etc/passwd') AS method FROM orders",
    "make a large object": f"SELECT {COLUMNS} FROM orders WHERE lo_create(4711) > 0",
    "lock rows": f"SELECT {COLUMNS} FROM orders FOR UPDATE",
    "lock the relation": "LOCK TABLE market.orders IN ACCESS EXCLUSIVE MODE",
    "take an advisory lock": f"SELECT {COLUMNS} FROM orders WHERE pg_advisory_lock(4711) IS NOT NULL",
    "tell everybody": f"SELECT {COLUMNS} FROM orders WHERE pg_notify('everybody', 'x') IS NOT NULL",
    "disarm the timeout": (
        f"SELECT {COLUMNS} FROM orders WHERE set_config('statement_timeout', '0', false) = '0'"
    ),
    "sleep": f"SELECT {COLUMNS} FROM orders WHERE pg_sleep(60) IS NOT NULL",
    "end other sessions": (
        f"SELECT {COLUMNS} FROM orders WHERE order_id IN (SELECT pg_terminate_backend(pid)::text"
        " FROM pg_stat_activity WHERE usename = current_user AND datname = current_database()"
        " AND pid <> pg_backend_pid())"
    ),
    "read passwords": f"SELECT {BARE}, (SELECT rolpassword FROM pg_authid LIMIT 1) AS method FROM orders",
    "run a program": "COPY market.orders TO PROGRAM 'true'",
    "run code": "DO $$ BEGIN DELETE FROM market.orders; END $$",
    "leave the parentheses": f"SELECT {COLUMNS} FROM orders) AS x OFFSET 0) AS y; DELETE FROM orders --",
    "a function of the shop": f"SELECT {COLUMNS} FROM orders WHERE public.cancel_everything() > 0",
    "an operator of the shop": f"SELECT {COLUMNS} FROM orders WHERE order_id OPERATOR(public.===) 'x'",
}
# Past the file's check these run: what they leave ends with their session.
HARMLESS = {
    "take an advisory lock",
    "tell everybody",
    "disarm the timeout",
    # It finds nobody: the neighbour below is not in a session while it is not asked.
    "end other sessions",
}


@pytest.fixture
async def owner(market_dsn: str) -> AsyncIterator[Any]:
    """The marketplace's own connection, with three orders in it and functions that do harm."""
    conn = await asyncpg.connect(market_dsn)
    await conn.execute(
        """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                                      ordered_at, updated_at)
           SELECT 'O' || n, 'B', 'S', 'paid', n * 100000, 'card', $1, $1 FROM generate_series(1, 3) AS n""",
        NOW,
    )
    try:
        yield conn
    finally:
        await conn.close()


def as_file(folder: Path, sql: str) -> Path:
    head = SOUND[: SOUND.index("*/") + 2].replace(
        "parameters:\n  least: {default: 100000, ja: この金額以上, en: At least this much}\n", ""
    )
    path = folder / "large_order.sql"
    path.write_text(f"{head}\n{sql}\n", encoding="utf-8")
    return path


def neighbour(folder: Path) -> Detection:
    loaded = load_detection(write_detection(folder))
    assert isinstance(loaded, Detection)
    return loaded


@asynccontextmanager
async def nothing_happens(owner: Any, reader: MarketReader, folder: Path) -> AsyncIterator[None]:
    """Rows, rights and relations are what they were, no lock is left, and the neighbour finds the same."""
    folder = folder / "neighbour"
    folder.mkdir(exist_ok=True)
    heard: list[object] = []
    await owner.add_listener("everybody", lambda *told: heard.append(told))
    before = await state_of(owner)
    found = await run(neighbour(folder), reader, now=NOW, changed_since=None)
    assert len(found) == 3
    yield
    assert await state_of(owner) == before
    # What the session held ends with it; the server takes a moment to notice that it is gone.
    async with asyncio.timeout(20):
        while await owner.fetchval(HELD):
            await asyncio.sleep(0.02)
    assert await run(neighbour(folder), reader, now=NOW, changed_since=None) == found
    await owner.fetchval("SELECT 1")
    assert heard == []


HELD = """
SELECT (SELECT count(*) FROM pg_stat_activity
         WHERE usename = 'market_reader' AND datname = current_database())
     + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


async def state_of(owner: Any) -> list[str]:
    queries = (
        "SELECT * FROM market.orders ORDER BY order_id",
        "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'market'::regnamespace ORDER BY 1",
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)' ORDER BY 1",
        "SELECT oid FROM pg_largeobject_metadata",
    )
    return [str(row) for query in queries for row in await owner.fetch(query)]


def test_the_same_file_without_an_attack_is_taken(tmp_path: Path) -> None:
    assert isinstance(load_detection(as_file(tmp_path, f"SELECT {COLUMNS} FROM orders")), Detection)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_file_that_attacks_is_refused(attack: str, tmp_path: Path) -> None:
    problems = load_detection(as_file(tmp_path, ATTACKS[attack]))
    assert isinstance(problems, list), "it was taken for a detection"
    assert all(problem.line > 1 for problem in problems)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_past_every_check_an_attack_comes_to_nothing(
    attack: str, owner: Any, market_reader_dsn: str, tmp_path: Path
) -> None:
    reader = MarketReader(market_reader_dsn)
    unchecked = replace(neighbour(tmp_path), statement=Statement(sql=ATTACKS[attack], names=()))
    limits = Limits(seconds=1)
    async with nothing_happens(owner, reader, tmp_path):
        if attack in HARMLESS:
            await run(unchecked, reader, now=NOW, changed_since=None, limits=limits)
        else:
            with pytest.raises(DetectionFault):
                await run(unchecked, reader, now=NOW, changed_since=None, limits=limits)


async def test_all_attacks_at_once_disturb_no_other_detection(
    owner: Any, market_reader_dsn: str, tmp_path: Path
) -> None:
    reader = MarketReader(market_reader_dsn)
    good = neighbour(tmp_path)
    limits = Limits(seconds=2)
    # But for the one that may end our sessions, which only its file's check keeps out.
    attacks = [
        replace(good, statement=Statement(sql=sql, names=()))
        for name, sql in ATTACKS.items()
        if name != "end other sessions"
    ]
    async with nothing_happens(owner, reader, tmp_path):
        attacking = [
            asyncio.create_task(run(one, reader, now=NOW, changed_since=None, limits=limits))
            for one in attacks[:20]
        ]
        for _ in range(5):
            assert len(await run(good, reader, now=NOW, changed_since=None)) == 3
        await asyncio.gather(*attacking, return_exceptions=True)


async def test_a_flood_of_rows_is_cut_off_before_it_fills_the_memory(
    owner: Any, market_reader_dsn: str, tmp_path: Path
) -> None:
    assert owner
    sql = (
        "SELECT 'O' || n AS subject_id, now() AS occurred_at, repeat('x', 1000) AS method"
        " FROM generate_series(1, 1000000) AS n"
    )
    reader = MarketReader(market_reader_dsn)
    flood = load_detection(as_file(tmp_path, sql))
    assert isinstance(flood, Detection), flood
    await reader.check()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    with pytest.raises(DetectionFault, match="more than 20,000"):
        await run(flood, reader, now=NOW, changed_since=None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT - before < 100_000_000
