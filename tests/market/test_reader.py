"""The reader sees the marketplace, changes nothing in it, and disturbs nobody who reads beside it."""

from __future__ import annotations

import asyncio
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from bot.domain.errors import SayableError
from bot.domain.subjects import Subject, SubjectKind
from bot.market.contract import CONTRACT
from bot.market.reader import MarketReader, MarketUnreachableError
from bot.market.selecting import Limits, SelectFault

CONTRACT_FILE = Path(__file__).parents[2] / "contract" / "market.sql"
NOW = datetime(2026, 4, 1, 3, 0, tzinfo=UTC)


def order(id_: str) -> Subject:
    return Subject(SubjectKind.ORDER, id_)


def account(id_: str) -> Subject:
    return Subject(SubjectKind.ACCOUNT, id_)


def listing(id_: str) -> Subject:
    return Subject(SubjectKind.LISTING, id_)


async def run_as_owner(dsn: str, script: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(script)
    finally:
        await conn.close()


SHOP = """
INSERT INTO market.accounts (account_id, display_name, full_name, is_seller, status, created_at, updated_at)
VALUES ('B', 'hana', '山田花子', false, 'active', '2026-01-01Z', '2026-01-01Z'),
       ('S', '木の工房', NULL, true, 'suspended', NULL, '2026-01-01Z');
INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, discount_amount,
                           points_amount, payment_method, ordered_at, shipped_at, updated_at)
VALUES ('O1', 'B', 'S', 'paid', 5000, 500, 300, 'card', '2026-03-31Z', NULL, '2026-03-31Z'),
       ('O2', 'B', 'S', 'shipped', 9000, 0, 0, 'card', '2026-03-30Z', '2026-03-31Z', '2026-03-31Z'),
       ('O3', 'B', 'T', 'pending', 7000, 0, 0, 'konbini', '2026-03-31Z', NULL, '2026-03-31Z');
INSERT INTO market.listings (listing_id, seller_id, title, price, status, created_at, updated_at)
VALUES ('L1', 'S', '木のさじ', 1200, 'active', '2026-01-01Z', '2026-01-01Z');
"""


async def test_facts_of_orders_accounts_and_listings_come_with_masked_names(
    market_dsn: str, market_reader_dsn: str
) -> None:
    await run_as_owner(market_dsn, SHOP)
    facts = await MarketReader(market_reader_dsn).facts(
        [order("O1"), account("B"), account("S"), listing("L1"), order("unknown"), order("O1")]
    )
    assert set(facts) == {order("O1"), account("B"), account("S"), listing("L1")}
    paid = facts[order("O1")]
    assert (paid.amount, paid.currency) == (4200, "JPY")  # what was paid in money
    assert (paid.buyer_id, paid.seller_id, paid.payment_method) == ("B", "S", "card")
    assert paid.name_masked
    assert paid.name_masked.startswith("山")
    assert "花" not in paid.name_masked
    assert facts[account("B")].name_masked != "hana"
    assert facts[account("S")].status == "suspended"
    assert facts[account("S")].created_at is None
    assert facts[listing("L1")].name_masked == "木のさじ"
    assert paid.read_at is not None


async def test_facts_of_nothing_ask_nobody() -> None:
    assert await MarketReader("postgresql://nobody@127.0.0.1:1/none").facts([]) == {}


async def test_a_subject_exists_or_not(market_dsn: str, market_reader_dsn: str) -> None:
    await run_as_owner(market_dsn, SHOP)
    reader = MarketReader(market_reader_dsn)
    assert await reader.exists(order("O1"))
    assert not await reader.exists(account("O1"))


@pytest.mark.parametrize(
    ("subject", "linked"),
    [
        (order("O1"), (account("B"), account("S"))),
        (account("B"), (order("O3"), order("O1"))),
        (account("S"), (order("O1"),)),
        (listing("L1"), (account("S"),)),
        (order("unknown"), ()),
    ],
)
async def test_a_case_opened_by_hand_brings_along_what_can_still_be_stopped(
    market_dsn: str, market_reader_dsn: str, subject: Subject, linked: tuple[Subject, ...]
) -> None:
    await run_as_owner(market_dsn, SHOP)
    assert await MarketReader(market_reader_dsn).link(subject) == linked


async def test_the_contract_as_values_is_the_contract(market_dsn: str) -> None:
    conn = await asyncpg.connect(market_dsn)
    try:
        rows = await conn.fetch(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'market'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        )
    finally:
        await conn.close()
    there: dict[str, dict[str, str]] = {}
    for relation, column, type_ in rows:
        short = type_.replace("timestamp with time zone", "timestamptz")
        there.setdefault(relation, {})[column] = short
    assert there == {relation: dict(columns) for relation, columns in CONTRACT.items()}


# What a marketplace lacks


async def test_absent_columns_and_relations_are_null(
    market_dsn: str, market_reader_dsn: str
) -> None:
    await run_as_owner(
        market_dsn,
        SHOP
        + """CREATE SCHEMA small;
        CREATE VIEW small.accounts AS SELECT account_id, display_name, status FROM market.accounts;
        CREATE VIEW small.orders AS
            SELECT order_id, buyer_id, seller_id, status, total_amount, currency, ordered_at
              FROM market.orders;
        GRANT USAGE ON SCHEMA small TO market_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA small TO market_reader""",
    )
    reader = MarketReader(market_reader_dsn, "small")
    facts = await reader.facts([order("O1"), account("B"), listing("L1")])
    assert facts[order("O1")].amount == 5000
    assert facts[order("O1")].ship_due_at is None
    assert facts[account("B")].is_seller is None
    assert listing("L1") not in facts
    assert await reader.link(account("B")) == (order("O3"), order("O1"))
    relations = await reader.relations()
    assert set(relations) == {"accounts", "orders"}
    assert "ip" not in relations["orders"]
    for sql in (
        "SELECT o.order_id, o.ip, a.email FROM orders o JOIN accounts a ON a.account_id = o.buyer_id",
        "/* a comment */ WITH mine AS (SELECT order_id, ip FROM orders) SELECT order_id, ip FROM mine",
        "with recursive n AS (SELECT 1 AS i) SELECT order_id, ip, i FROM orders, n",
    ):
        rows = (await reader.select(sql)).rows
        assert len(rows) == 3
        assert {row["ip"] for row in rows} == {None}
    assert (await reader.select("SELECT post_id FROM posts")).rows == ()


async def test_a_column_that_the_role_may_not_read_is_absent(
    market_dsn: str, market_reader_dsn: str
) -> None:
    await run_as_owner(
        market_dsn,
        SHOP
        + """CREATE SCHEMA narrow;
        CREATE VIEW narrow.accounts AS SELECT * FROM market.accounts;
        CREATE VIEW narrow.orders AS SELECT * FROM market.orders;
        GRANT USAGE ON SCHEMA narrow TO market_reader;
        GRANT SELECT ON narrow.orders TO market_reader;
        GRANT SELECT (account_id, status, display_name) ON narrow.accounts TO market_reader""",
    )
    reader = MarketReader(market_reader_dsn, "narrow")
    rows = (await reader.select("SELECT account_id, email FROM accounts ORDER BY 1")).rows
    assert [dict(row) for row in rows] == [
        {"account_id": "B", "email": None},
        {"account_id": "S", "email": None},
    ]


async def test_a_relation_that_appears_later_is_seen_after_a_refresh(
    market_dsn: str, market_reader_dsn: str
) -> None:
    await run_as_owner(
        market_dsn,
        """CREATE SCHEMA later; GRANT USAGE ON SCHEMA later TO market_reader;
        CREATE VIEW later.accounts AS SELECT * FROM market.accounts;
        CREATE VIEW later.orders AS SELECT * FROM market.orders;
        GRANT SELECT ON ALL TABLES IN SCHEMA later TO market_reader""",
    )
    reader = MarketReader(market_reader_dsn, "later")
    assert "posts" not in await reader.relations()
    await run_as_owner(
        market_dsn,
        "CREATE VIEW later.posts AS SELECT * FROM market.posts; GRANT SELECT ON later.posts TO market_reader",
    )
    assert "posts" not in await reader.relations()
    assert "posts" in await reader.relations(refresh=True)


async def test_a_column_that_a_view_loses_is_null_from_the_next_run_on(
    market_dsn: str, market_reader_dsn: str
) -> None:
    view = """DROP VIEW IF EXISTS shrinking.orders;
        CREATE VIEW shrinking.orders AS SELECT {columns} FROM market.orders;
        GRANT SELECT ON shrinking.orders TO market_reader"""
    await run_as_owner(
        market_dsn,
        SHOP
        + """CREATE SCHEMA shrinking; GRANT USAGE ON SCHEMA shrinking TO market_reader;
        CREATE VIEW shrinking.accounts AS SELECT * FROM market.accounts;
        GRANT SELECT ON shrinking.accounts TO market_reader;"""
        + view.format(columns="*"),
    )
    reader = MarketReader(market_reader_dsn, "shrinking")
    query = "SELECT order_id, ip FROM orders"
    assert len((await reader.select(query)).rows) == 3
    await run_as_owner(market_dsn, view.format(columns="order_id, ordered_at"))
    with pytest.raises(SelectFault, match="ip"):
        await reader.select(query)
    assert {row["ip"] for row in (await reader.select(query)).rows} == {None}


# What a role may not be


async def test_the_owner_of_the_relations_is_refused(market_dsn: str) -> None:
    with pytest.raises(
        SayableError, match=r"market_owner of MARKET_DATABASE_URL owns .* only be read"
    ):
        await MarketReader(market_dsn).check()


@pytest.mark.parametrize(
    ("grant", "revoke", "said"),
    [
        (
            "GRANT UPDATE (status) ON market.orders TO market_reader",
            "REVOKE UPDATE (status) ON market.orders FROM market_reader",
            "may write to market.orders",
        ),
        (
            "GRANT TRUNCATE ON market.posts TO market_reader",
            "REVOKE TRUNCATE ON market.posts FROM market_reader",
            "may write to market.posts",
        ),
        (
            "GRANT CREATE ON SCHEMA market TO market_reader",
            "REVOKE CREATE ON SCHEMA market FROM market_reader",
            "may create tables in the schema market",
        ),
    ],
)
async def test_a_role_that_could_write_is_refused(
    market_dsn: str, market_reader_dsn: str, grant: str, revoke: str, said: str
) -> None:
    await run_as_owner(market_dsn, grant)
    try:
        with pytest.raises(SayableError, match=said):
            await MarketReader(market_reader_dsn).select("SELECT 1 AS one")
    finally:
        await run_as_owner(market_dsn, revoke)
    await MarketReader(market_reader_dsn).check()


async def test_a_schema_without_the_required_relations_is_named(market_reader_dsn: str) -> None:
    with pytest.raises(SayableError, match=r"schema shop .* has no relation accounts"):
        await MarketReader(market_reader_dsn, "shop").check()


async def test_an_unreachable_database_is_a_sentence() -> None:
    with pytest.raises(MarketUnreachableError, match="check MARKET_DATABASE_URL"):
        await MarketReader("postgresql://nobody@127.0.0.1:1/none").check()


# What a query may try

ATTACKS = [
    "COMMIT",
    "ROLLBACK; DELETE FROM orders",
    "SET TRANSACTION READ WRITE",
    "SELECT 1 AS a; DELETE FROM orders",
    "DELETE FROM orders RETURNING order_id",
    "WITH gone AS (DELETE FROM orders RETURNING order_id) SELECT order_id FROM gone",
    "INSERT INTO orders (order_id) VALUES ('x') RETURNING order_id",
    "UPDATE orders SET status = 'canceled' RETURNING order_id",
    "SELECT order_id INTO stolen FROM orders",
    "SELECT order_id FROM orders FOR UPDATE",
    "CREATE TABLE mine (a int)",
    "CREATE TEMP TABLE orders AS SELECT 1 AS a",
    "DROP SCHEMA market CASCADE",
    "TRUNCATE orders",
    "GRANT ALL ON orders TO PUBLIC",
    "COPY orders TO PROGRAM 'true'",
    "DO $$ BEGIN DELETE FROM market.orders; END $$",
    "CALL pg_sleep(0)",
    "SELECT pg_read_file('/etc/passwd') AS a",
    "SELECT lo_create(4711) AS a",
    "SELECT pg_reload_conf() AS a",
    "SELECT rolpassword FROM pg_authid",
    "SELECT set_config('transaction_read_only', 'off', false) AS a, nextval('nothing') AS b",
    "SELECT 1 AS a) AS x OFFSET 0) AS y; DELETE FROM orders --",
    "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
    "LISTEN everything",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "PREPARE p AS DELETE FROM orders",
]
# These run: they are harmless, as their session is gone afterwards.
MISCHIEF = [
    "SELECT set_config('statement_timeout', '0', false) AS a, set_config('search_path', 'public', false) AS b",
    "SELECT pg_advisory_lock(4711) IS NULL AS a",
    "SELECT pg_notify('everybody', 'x') IS NULL AS a",
]


async def rows_of_orders(dsn: str) -> list[str]:
    conn = await asyncpg.connect(dsn)
    try:
        return [
            str(row) for row in await conn.fetch("SELECT * FROM market.orders ORDER BY order_id")
        ]
    finally:
        await conn.close()


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_changes_nothing_and_is_a_fault(
    market_dsn: str, market_reader_dsn: str, attack: str
) -> None:
    await run_as_owner(market_dsn, SHOP)
    before = await rows_of_orders(market_dsn)
    reader = MarketReader(market_reader_dsn)
    with pytest.raises(SelectFault):
        await reader.select(attack)
    assert await rows_of_orders(market_dsn) == before
    assert len((await reader.select("SELECT order_id FROM orders")).rows) == 3


@pytest.mark.parametrize("mischief", MISCHIEF)
async def test_what_a_query_leaves_in_its_session_disturbs_no_other(
    market_dsn: str, market_reader_dsn: str, mischief: str
) -> None:
    await run_as_owner(market_dsn, SHOP)
    listener = await asyncpg.connect(market_dsn)
    heard: list[object] = []
    try:
        await listener.add_listener("everybody", lambda *args: heard.append(args))
        reader = MarketReader(market_reader_dsn)
        await reader.select(mischief)
        limits = Limits(seconds=0.2)
        with pytest.raises(SelectFault, match=r"longer than 0\.2 s"):
            await reader.select("SELECT pg_sleep(5) IS NULL AS a", limits=limits)
        assert (await reader.select("SELECT count(*) AS n FROM orders")).rows == ({"n": 3},)
        # Other tests lock in databases of their own on the same server.
        locks = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
        assert await listener.fetchval(locks) == 0
    finally:
        await listener.close()
    assert heard == []


async def test_a_query_that_disarms_its_own_timeout_is_cut_off_all_the_same(
    market_dsn: str, market_reader_dsn: str
) -> None:
    disarm = (
        "SELECT set_config('statement_timeout', '0', true) AS a, pg_sleep(0.05) IS NULL AS b"
        " FROM generate_series(1, 1000)"
    )
    reader = MarketReader(market_reader_dsn)
    started = asyncio.get_running_loop().time()
    with pytest.raises(SelectFault, match="longer than"):
        await reader.select(disarm, limits=Limits(seconds=0.3))
    assert asyncio.get_running_loop().time() - started < 5
    conn = await asyncpg.connect(market_dsn)
    try:
        active = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'market_reader'"
            " AND state = 'active' AND datname = current_database()"
        )
        for _ in range(50):
            if not await conn.fetchval(active):
                break
            await asyncio.sleep(0.1)
        assert await conn.fetchval(active) == 0
    finally:
        await conn.close()


async def test_a_slow_query_does_not_hold_up_the_others(market_reader_dsn: str) -> None:
    reader = MarketReader(market_reader_dsn)
    await reader.check()
    slow = asyncio.create_task(
        reader.select("SELECT pg_sleep(30) IS NULL AS a", limits=Limits(seconds=1))
    )
    await asyncio.sleep(0.1)
    started = asyncio.get_running_loop().time()
    await reader.select("SELECT count(*) AS n FROM orders")
    assert asyncio.get_running_loop().time() - started < 0.8
    with pytest.raises(SelectFault):
        await slow


# What a query may cost


async def test_too_many_rows_are_a_fault_with_advice(market_reader_dsn: str) -> None:
    reader = MarketReader(market_reader_dsn)
    limits = Limits(rows=1000)
    exactly = await reader.select("SELECT i FROM generate_series(1, 1000) AS i", limits=limits)
    assert len(exactly.rows) == 1000
    with pytest.raises(SelectFault, match=r"more than 1,000 rows .* raise its thresholds"):
        await reader.select("SELECT i FROM generate_series(1, 1001) AS i", limits=limits)


async def test_too_many_bytes_are_a_fault_with_advice(market_reader_dsn: str) -> None:
    with pytest.raises(SelectFault, match="more than 5,000,000 bytes"):
        await MarketReader(market_reader_dsn).select(
            "SELECT repeat('x', 10000) AS a FROM generate_series(1, 900)",
            limits=Limits(bytes=5_000_000),
        )


async def test_one_huge_row_never_comes_over(market_reader_dsn: str) -> None:
    with pytest.raises(SelectFault, match=r"a row of .* bytes"):
        await MarketReader(market_reader_dsn).select("SELECT repeat('x', 50000000) AS a")


async def test_a_million_large_rows_do_not_fill_the_memory(market_reader_dsn: str) -> None:
    unit = 1 if sys.platform == "darwin" else 1024
    reader = MarketReader(market_reader_dsn)
    await reader.check()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    with pytest.raises(SelectFault):
        await reader.select("SELECT repeat('x', 1000) AS a FROM generate_series(1, 1000000)")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert after - before < 50_000_000


async def test_a_column_returned_twice_is_a_fault(market_reader_dsn: str) -> None:
    with pytest.raises(SelectFault, match="the column a twice"):
        await MarketReader(market_reader_dsn).select("SELECT 1 AS a, 2 AS a")


async def test_a_parameter_of_another_kind_is_a_fault(market_reader_dsn: str) -> None:
    with pytest.raises(SelectFault):
        await MarketReader(market_reader_dsn).select("SELECT $1::integer AS a", ["no number"])
    with pytest.raises(SelectFault):
        await MarketReader(market_reader_dsn).select("SELECT $1::integer AS a", [])


async def test_a_trailing_comment_or_semicolon_does_no_harm(market_reader_dsn: str) -> None:
    reader = MarketReader(market_reader_dsn)
    assert (await reader.select("SELECT 1 AS a; ")).rows == ({"a": 1},)
    assert (await reader.select("SELECT 1 AS a -- the end")).rows == ({"a": 1},)
