from __future__ import annotations

import asyncio

import asyncpg
import pytest

from bot.playground.market.effects import CONTRACT, create_schema
from bot.playground.market.server import Marketplace, _Received, _store
from bot.playground.postgres import MARKET_OWNER, Server
from tests.playground.market.conftest import Shop
from tests.playground.market.test_server import CHANGE, REFUND, get, post


async def test_the_schema_is_made_where_it_is_missing_and_kept_where_it_is(
    database_server: Server,
) -> None:
    name = "market_made_from_nothing"
    await database_server.create_database(name, owner=MARKET_OWNER)
    dsn = database_server.dsn(name, MARKET_OWNER)
    await create_schema(dsn)
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(
            "INSERT INTO market.accounts (account_id, display_name, status, updated_at)"
            " VALUES ('a', 'a', 'active', now())"
        )
        await create_schema(dsn)
        assert await conn.fetchval("SELECT count(*) FROM market.accounts") == 1
        tables = await conn.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'market'")
    finally:
        await conn.close()
    await database_server.drop_database(name)
    assert tables == CONTRACT.read_text(encoding="utf-8").count("CREATE TABLE")


async def test_the_reader_sees_the_contract_and_nothing_of_the_back_office(
    shop: Shop, market_reader_dsn: str
) -> None:
    conn = await asyncpg.connect(market_reader_dsn)
    try:
        assert await conn.fetchval("SELECT count(*) FROM market.orders") == 4
        # What it may is a matter of grants, not of a default that it could change.
        await conn.execute("SET default_transaction_read_only = off")
        for forbidden in (
            "SELECT * FROM backoffice.effects",
            "SELECT * FROM backoffice.secrets",
            "UPDATE market.orders SET held_at = now()",
            "DELETE FROM market.refunds",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(forbidden)
    finally:
        await conn.close()


async def test_every_effect_is_written_once_with_its_money(shop: Shop) -> None:
    await post(shop, "cancel", "O-1", key="key-of-cancel")
    await post(shop, "cancel", "O-1", key="key-of-refusal")
    await post(shop, "refund", "O-shipped", REFUND, key="key-of-refund")
    await post(shop, "refund", "O-shipped", REFUND, key="key-of-refund")
    now = shop.clock.now()
    assert [tuple(one.values()) for one in await shop.market.effects()] == [
        ("key-of-cancel", "cancel", "O-1", 9200, "JPY", now),
        ("key-of-refund", "refund", "O-shipped", 1000, "JPY", now),
    ]


async def test_an_effect_and_its_outcome_are_kept_together_or_not_at_all(shop: Shop) -> None:
    # The outcome cannot be written, so the order must stay as it is.
    await shop.market.pool.execute(
        "ALTER TABLE backoffice.operations ADD CHECK (idempotency_key <> 'key-of-doom')"
    )
    async with shop.session.post(
        f"{shop.url}/v1/orders/O-1/cancel",
        json=CHANGE,
        headers={"Authorization": "Bearer right-token", "Idempotency-Key": "key-of-doom"},
    ) as answer:
        assert answer.status == 500
    assert await shop.market.effects() == []
    row = await shop.market.pool.fetchrow("SELECT * FROM market.orders WHERE order_id = 'O-1'")
    assert (row["status"], row["canceled_at"]) == ("paid", None)
    assert await shop.market.pool.fetchval("SELECT count(*) FROM market.refunds") == 0


async def test_what_is_stored_outlives_the_marketplace(shop: Shop, market_dsn: str) -> None:
    first = await post(shop, "refund", "O-1", REFUND, key="key-of-refund")
    _, plan = await get(shop, "orders/O-1/plan", kind="cancel")
    later = Marketplace(market_dsn, token="right-token", clock=shop.clock)
    await later.start()
    try:
        again = await later.carry_out(
            "refund", "O-1", {**REFUND, "route": "original"}, key="key-of-refund"
        )
        assert again == first
        assert (await later.plan("cancel", "O-1", {}))["plan_token"] == plan["plan_token"]
    finally:
        await later.stop()
    assert len(await shop.market.effects()) == 1


async def test_two_processes_of_one_marketplace_act_once_under_a_key(
    shop: Shop, market_dsn: str
) -> None:
    other = Marketplace(market_dsn, token="right-token", clock=shop.clock)
    await other.start()
    try:
        for n in range(10):
            await asyncio.gather(
                *(
                    one.carry_out("refund", "O-1", {**REFUND, "amount": 100}, key=f"shared-{n}")
                    for one in (shop.market, other)
                )
            )
    finally:
        await other.stop()
    assert len(await shop.market.effects("O-1")) == 10


async def test_whoever_follows_the_list_misses_nothing(shop: Shop) -> None:
    keys = {f"followed-{n:03}" for n in range(120)}
    seen: list[str] = []
    done = asyncio.Event()

    async def follow() -> None:
        last = 0
        while True:
            finished = done.is_set()
            rows = await shop.market.pool.fetch(
                "SELECT seq, idempotency_key FROM backoffice.operations WHERE seq > $1 ORDER BY seq",
                last,
            )
            seen.extend(row["idempotency_key"] for row in rows)
            last = rows[-1]["seq"] if rows else last
            if finished:
                return

    following = asyncio.create_task(follow())
    await asyncio.gather(
        *(post(shop, "refund", "O-1", {**REFUND, "amount": 1}, key=key) for key in keys)
    )
    done.set()
    await following
    assert len(seen) == len(keys)
    assert set(seen) == keys


async def test_no_number_of_the_list_appears_before_a_lower_one(shop: Shop) -> None:
    received = _Received(
        kind="hold", subject_id="O-2", body=CHANGE, key="key-of-first", at=shop.clock.now()
    )
    async with shop.market.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await _store(conn, received, 200, {"state": "succeeded"})
        second = asyncio.create_task(post(shop, "hold", "O-1", key="key-of-second"))
        await asyncio.sleep(0.3)
        _, early = await get(shop, "operations")
        await transaction.commit()
    await second
    _, late = await get(shop, "operations")
    assert early["operations"] == []
    keys = [one["idempotency_key"] for one in late["operations"]]
    assert keys == ["key-of-first", "key-of-second"]


async def test_a_list_since_a_time_holds_what_was_received_from_then_on(shop: Shop) -> None:
    await post(shop, "hold", "O-1", key="key-before")
    shop.clock.time = shop.clock.time.replace(hour=8)
    await post(shop, "release", "O-1", key="key-after")
    _, listed = await get(shop, "operations", since=shop.clock.now().isoformat())
    assert [one["idempotency_key"] for one in listed["operations"]] == ["key-after"]


@pytest.mark.parametrize(
    ("path", "member", "count"),
    [
        ("orders/O-1", "order_items", 1),
        ("orders/O-1", "refunds", 1),
        ("accounts/s-1", "listings", 2),
        ("accounts/b-1", "orders", 4),
        ("accounts/b-1", "posts", 1),
    ],
)
async def test_a_record_holds_what_belongs_to_it(
    shop: Shop, path: str, member: str, count: int
) -> None:
    await shop.market.pool.execute(
        "INSERT INTO market.order_items VALUES ('O-1', 1, 'L-1', '器', 1, 1)"
    )
    await post(shop, "refund", "O-1", REFUND)
    status, record = await get(shop, path)
    assert (status, len(record[member])) == (200, count)


async def test_a_hidden_post_is_still_a_record(shop: Shop) -> None:
    await post(shop, "remove_post", "P-1")
    status, record = await get(shop, "posts/P-1")
    assert (status, record["hidden"], record["body"]) == (200, True, "hello")
    assert (await get(shop, "nonsense/P-1"))[0] == 404
    assert (await get(shop, "posts/P-2"))[0] == 404
