"""Playing a market directory: what is visible when, what the bot stopped, and what a kill leaves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bot.domain.errors import SayableError
from bot.playground.market.clock import PlayClock
from bot.playground.market.demo import prepare_demo
from bot.playground.market.directory import RELATIONS
from bot.playground.market.player import (
    DirectorySource,
    Player,
    PlayOutcome,
    open_play,
    read_outcome,
)
from tests.playground.market.directories import ACCOUNT, ORDER, SELLER, Rows, write_directory

T = datetime(2024, 4, 1, 10, tzinfo=UTC)
"""When the first order comes."""
H = timedelta(hours=1)


def at(hours: float) -> str:
    return (T + hours * H).isoformat()


def order(order_id: str, hours: float, **change: str) -> dict[str, str]:
    """A paid order of a buyer with a name like its own, `hours` after the first."""
    when = at(hours)
    return {
        **ORDER,
        "order_id": order_id,
        "ordered_at": when,
        "paid_at": when,
        "updated_at": when,
    } | change


WHOLE = order(
    "o1", 0, status="completed", shipped_at=at(10), delivered_at=at(20), payout_at=at(30),
    updated_at=at(30), tracking_number="T1",
)  # fmt: skip


async def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(1500):
        if holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came true")


class Play:
    """A play that is moved by hand: hours after the first order."""

    def __init__(self, dsn: str, path: Path, market: Any) -> None:
        self.dsn = dsn
        self.market = market
        self._path = path
        self._player: Player | None = None

    async def until(self, hours: float) -> None:
        if self._player is None:
            source = DirectorySource(self._path)
            position = await open_play(self.market, source)
            clock = PlayClock(position.started_at, 1, driven=True)
            self._player = Player(self.dsn, clock, source)
        await self._player.play_until(T + hours * H)

    async def kill(self) -> None:
        """The process is gone; whatever comes next starts anew."""
        if self._player is not None:
            if self._player._connection is not None:
                self._player._connection.terminate()
            self._player = None

    async def order(self, order_id: str = "o1") -> Any:
        return await self.market.fetchrow(
            "SELECT * FROM market.orders WHERE order_id = $1", order_id
        )

    async def ids(self, relation: str, column: str) -> list[str]:
        rows = await self.market.fetch(f"SELECT {column} FROM market.{relation} ORDER BY 1")
        return [row[0] for row in rows]

    async def do(self, sql: str, *arguments: object) -> None:
        """What the admin API does to the marketplace."""
        await self.market.execute(sql, *arguments)

    async def close(self) -> None:
        if self._player is not None:
            await self._player.disconnect()
            self._player = None


@pytest.fixture
async def market(market_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(market_dsn, server_settings={"timezone": "UTC"})
    yield connection
    await connection.close()


@pytest.fixture
async def play(market_dsn: str, market: Any, tmp_path: Path) -> AsyncIterator[Play]:
    played = Play(market_dsn, tmp_path, market)
    yield played
    await played.close()


# ---- what is visible when


async def test_an_order_goes_through_its_states_at_their_times(play: Play, tmp_path: Path) -> None:
    write_directory(tmp_path, orders=[{**WHOLE, "paid_at": at(2)}])
    seen = []

    for hours in (1, 3, 11, 21, 31):
        await play.until(hours)
        row = await play.order()
        seen.append((row["status"], row["updated_at"]))

    assert seen == [
        ("pending", T),
        ("paid", T + 2 * H),
        ("shipped", T + 10 * H),
        ("delivered", T + 20 * H),
        ("completed", T + 30 * H),
    ]


async def test_what_lies_ahead_is_null_until_it_is_reached(play: Play, tmp_path: Path) -> None:
    write_directory(tmp_path, orders=[WHOLE])

    await play.until(10.5)

    row = await play.order()
    assert row["shipped_at"] == T + 10 * H
    assert row["tracking_number"] == "T1"
    assert (row["delivered_at"], row["payout_at"], row["canceled_at"]) == (None, None, None)

    await play.until(9)  # a clock that was set back changes nothing
    assert await play.order() == row


async def test_nothing_of_an_order_is_there_before_its_time(play: Play, tmp_path: Path) -> None:
    item = {"line_no": "1", "listing_id": "l1", "title": "cup", "unit_price": "5", "quantity": "1"}
    write_directory(
        tmp_path,
        orders=[ORDER, order("o2", 5)],
        order_items=[{**item, "order_id": "o1"}, {**item, "order_id": "o2"}],
    )

    await play.until(4.9)
    assert await play.ids("orders", "order_id") == ["o1"]
    assert await play.ids("order_items", "order_id") == ["o1"]

    await play.until(5)
    assert await play.ids("orders", "order_id") == ["o1", "o2"]
    assert await play.ids("order_items", "order_id") == ["o1", "o2"]


async def test_an_account_without_a_creation_time_appears_with_its_first_use(
    play: Play, tmp_path: Path
) -> None:
    write_directory(
        tmp_path,
        accounts=[
            ACCOUNT,
            SELLER,
            {**ACCOUNT, "account_id": "a2"},
            {**ACCOUNT, "account_id": "a3", "created_at": at(7)},
        ],
        orders=[ORDER, order("o2", 5, buyer_id="a2")],
    )

    await play.until(4)
    assert await play.ids("accounts", "account_id") == ["a1", "s1"]
    await play.until(6)
    assert await play.ids("accounts", "account_id") == ["a1", "a2", "s1"]
    await play.until(8)
    assert await play.ids("accounts", "account_id") == ["a1", "a2", "a3", "s1"]


async def test_a_listing_is_there_when_it_is_bought_even_if_dated_later(
    play: Play, tmp_path: Path
) -> None:
    listing = {
        "listing_id": "l1", "seller_id": "s1", "title": "cup", "price": "5", "status": "sold",
        "created_at": at(3), "updated_at": at(8),
    }  # fmt: skip
    item = {"order_id": "o1", "line_no": "1", "listing_id": "l1", "title": "cup", "unit_price": "5", "quantity": "1"}  # fmt: skip
    write_directory(tmp_path, listings=[listing], order_items=[item])

    await play.until(0)
    assert await play.market.fetchval("SELECT status FROM market.listings") == "active"

    await play.until(8)
    assert await play.market.fetchval("SELECT status FROM market.listings") == "sold"


async def test_events_come_at_their_own_times(play: Play, tmp_path: Path) -> None:
    write_directory(
        tmp_path,
        follow_events=[
            {"event_id": "f1", "follower_id": "a1", "followee_id": "s1", "kind": "follow", "occurred_at": at(2)}
        ],
        payment_attempts=[
            {"attempt_id": "p1", "account_id": "a1", "amount": "5", "result": "declined", "attempted_at": at(-1)}
        ],
        chargebacks=[
            {"chargeback_id": "c1", "order_id": "o1", "amount": "5", "reason": "fraud", "received_at": at(4)}
        ],
        refunds=[
            {"refund_id": "r1", "order_id": "o1", "amount": "5", "route": "original", "state": "failed",
             "created_at": at(5), "updated_at": at(7)}
        ],
    )  # fmt: skip

    await play.until(1)
    assert await play.ids("payment_attempts", "attempt_id") == ["p1"]
    assert await play.ids("follow_events", "event_id") == []
    await play.until(4)
    assert await play.ids("follow_events", "event_id") == ["f1"]
    assert await play.ids("chargebacks", "chargeback_id") == ["c1"]
    await play.until(6)
    assert await play.ids("refunds", "state") == ["pending"]
    await play.until(7)
    assert await play.ids("refunds", "state") == ["failed"]


async def test_a_status_without_a_time_of_its_own_comes_with_the_last_change(
    play: Play, tmp_path: Path
) -> None:
    """`completed` without payout_at, `canceled` without canceled_at: updated_at says when."""
    write_directory(
        tmp_path,
        orders=[
            order("o1", 0, status="completed", delivered_at=at(3), updated_at=at(6)),
            order("o2", 0, status="canceled", updated_at=at(5)),
        ],
    )

    await play.until(4)
    assert [(await play.order(o))["status"] for o in ("o1", "o2")] == ["delivered", "paid"]
    await play.until(6)
    assert [(await play.order(o))["status"] for o in ("o1", "o2")] == ["completed", "canceled"]


# ---- what the bot stopped


async def test_what_was_cancelled_stays_cancelled(play: Play, tmp_path: Path) -> None:
    write_directory(
        tmp_path,
        orders=[WHOLE],
        chargebacks=[
            {"chargeback_id": "c1", "order_id": "o1", "amount": "5", "reason": "fraud", "received_at": at(40)}
        ],
    )  # fmt: skip
    await play.until(5)
    await play.do(
        "UPDATE market.orders SET status = 'canceled', canceled_at = $1, updated_at = $1", T + 5 * H
    )
    cancelled = await play.order()

    await play.until(50)

    assert await play.order() == cancelled
    assert await play.ids("chargebacks", "chargeback_id") == []
    assert await read_outcome(play.dsn) == PlayOutcome(prevented_orders=0, averted_chargebacks=1)


async def test_a_chargeback_of_an_order_that_the_data_cancelled_does_arrive(
    play: Play, tmp_path: Path
) -> None:
    write_directory(
        tmp_path,
        orders=[order("o1", 0, status="canceled", canceled_at=at(3), updated_at=at(3))],
        chargebacks=[
            {"chargeback_id": "c1", "order_id": "o1", "amount": "5", "reason": "fraud", "received_at": at(9)}
        ],
    )  # fmt: skip

    await play.until(9)

    assert await play.ids("chargebacks", "chargeback_id") == ["c1"]


async def test_a_held_order_is_neither_shipped_nor_paid_out_and_goes_on_when_released(
    play: Play, tmp_path: Path
) -> None:
    write_directory(tmp_path, orders=[WHOLE])
    await play.until(5)
    await play.do("UPDATE market.orders SET held_at = $1", T + 5 * H)
    await play.until(40)
    assert (await play.order())["status"] == "paid"

    await play.do("UPDATE market.orders SET held_at = NULL")
    await play.until(42)
    row = await play.order()
    assert (row["status"], row["shipped_at"], row["updated_at"]) == (
        "shipped",
        T + 42 * H,
        T + 42 * H,
    )

    # Shipped 32 hours late, so delivered and paid out as much later.
    await play.until(51)
    assert (await play.order())["status"] == "shipped"
    await play.until(70)
    row = await play.order()
    assert (row["delivered_at"], row["payout_at"]) == (T + 52 * H, T + 62 * H)
    assert row["status"] == "completed"


async def test_a_hold_after_shipment_keeps_the_payout_back(play: Play, tmp_path: Path) -> None:
    write_directory(tmp_path, orders=[WHOLE])
    await play.until(15)
    await play.do("UPDATE market.orders SET held_at = $1", T + 15 * H)
    await play.until(40)
    row = await play.order()
    assert (row["status"], row["payout_at"]) == ("delivered", None)

    await play.do("UPDATE market.orders SET held_at = NULL")
    await play.until(41)

    row = await play.order()
    assert (row["status"], row["payout_at"]) == ("completed", T + 41 * H)


async def test_a_hold_that_ends_in_time_delays_nothing(play: Play, tmp_path: Path) -> None:
    write_directory(tmp_path, orders=[WHOLE])
    await play.until(2)
    await play.do("UPDATE market.orders SET held_at = $1", T + 2 * H)
    await play.until(6)
    await play.do("UPDATE market.orders SET held_at = NULL")

    await play.until(60)

    row = await play.order()
    assert (row["shipped_at"], row["payout_at"]) == (T + 10 * H, T + 30 * H)


SUSPEND = "UPDATE market.accounts SET status = 'suspended', suspended_at = $1 WHERE account_id = $2"
REINSTATE = (
    "UPDATE market.accounts SET status = 'active', suspended_at = NULL WHERE account_id = $1"
)


@pytest.mark.parametrize("account", ["a1", "s1"])
async def test_with_a_suspended_account_no_more_orders_are_made(
    play: Play, tmp_path: Path, account: str
) -> None:
    follow = {"follower_id": account, "followee_id": "x", "kind": "follow"}
    write_directory(
        tmp_path,
        orders=[ORDER, order("o2", 5), order("o3", 9)],
        payment_attempts=[
            {"attempt_id": f"p{n}", "account_id": "a1", "order_id": f"o{n}", "amount": "5",
             "result": "approved", "attempted_at": at(hours)}
            for n, hours in ((1, 0), (2, 5), (3, 9))
        ],
        chargebacks=[
            {"chargeback_id": "c2", "order_id": "o2", "amount": "5", "reason": "fraud", "received_at": at(20)}
        ],
        follow_events=[{**follow, "event_id": "f1", "occurred_at": at(5)}],
    )  # fmt: skip
    await play.until(4)
    await play.do(SUSPEND, T + 4 * H, account)
    await play.until(6)
    assert await play.ids("orders", "order_id") == ["o1"]
    assert await play.ids("follow_events", "event_id") == []

    await play.do(REINSTATE, account)
    await play.until(30)

    assert await play.ids("orders", "order_id") == ["o1", "o3"]
    assert await play.ids("payment_attempts", "attempt_id") == ["p1", "p3"]
    assert await play.ids("chargebacks", "chargeback_id") == []
    assert await read_outcome(play.dsn) == PlayOutcome(prevented_orders=1, averted_chargebacks=1)


async def test_a_suspended_sellers_orders_wait_until_reinstatement(
    play: Play, tmp_path: Path
) -> None:
    write_directory(tmp_path, orders=[WHOLE])
    await play.until(5)
    await play.do(SUSPEND, T + 5 * H, "s1")
    await play.until(20)
    assert (await play.order())["status"] == "paid"

    await play.do(REINSTATE, "s1")
    await play.until(21)

    assert (await play.order())["shipped_at"] == T + 21 * H


async def test_a_suspension_that_the_data_tells_prevents_nothing_that_the_data_holds(
    play: Play, tmp_path: Path
) -> None:
    buyer = {**ACCOUNT, "status": "suspended", "suspended_at": at(3)}
    write_directory(tmp_path, accounts=[buyer, SELLER], orders=[ORDER, order("o2", 5)])

    await play.until(2)
    assert await play.ids("accounts", "status") == ["active", "active"]
    await play.until(6)

    assert await play.ids("accounts", "status") == ["active", "suspended"]
    assert await play.ids("orders", "order_id") == ["o1", "o2"]


async def test_a_listing_that_was_taken_down_is_not_sold(play: Play, tmp_path: Path) -> None:
    listing = {
        "listing_id": "l1", "seller_id": "s1", "title": "cup", "price": "5", "status": "sold",
        "created_at": at(0), "updated_at": at(8),
    }  # fmt: skip
    write_directory(tmp_path, listings=[listing])
    await play.until(1)
    await play.do("UPDATE market.listings SET status = 'removed'")

    await play.until(9)

    assert await play.market.fetchval("SELECT status FROM market.listings") == "removed"


async def test_a_cancellation_that_is_under_way_is_waited_for_and_kept(
    play: Play, market_dsn: str, tmp_path: Path
) -> None:
    """The admin API has the order locked while the player wants to ship it; a step shows whole or not."""
    write_directory(tmp_path, orders=[WHOLE, order("o2", 10)])
    await play.until(9)
    admin = await asyncpg.connect(market_dsn)
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute(
        "UPDATE market.orders SET status = 'canceled', canceled_at = $1 WHERE order_id = 'o1'",
        T + 9 * H,
    )

    step = asyncio.create_task(play.until(11))
    await asyncio.sleep(0.3)
    assert not step.done()
    assert await admin.fetchval("SELECT count(*) FROM market.orders") == 1
    await transaction.commit()
    await step
    assert await admin.fetchval("SELECT count(*) FROM market.orders") == 2
    await admin.close()

    row = await play.order()
    assert (row["status"], row["shipped_at"]) == ("canceled", None)


# ---- steps, kills, ends


def _market_of_many(rng: random.Random) -> dict[str, Rows]:
    """Everything that data may hold, times out of order included."""

    def some(chance: float, earliest: float = -1, latest: float = 80) -> str:
        return at(rng.uniform(earliest, latest)) if rng.random() < chance else ""

    def late() -> str:
        return at(rng.uniform(-1, 90))

    accounts = [
        {**ACCOUNT, "account_id": f"a{n}", "created_at": some(0.5), "payout_changed_at": some(0.2),
         "status": rng.choice(["active", "active", "suspended", "closed"]),
         "suspended_at": some(0.7), "updated_at": late()}
        for n in range(20)
    ]  # fmt: skip
    orders = [
        order(f"o{n}", rng.uniform(0, 60), buyer_id=f"a{rng.randrange(20)}",
              seller_id=f"a{rng.randrange(20)}",
              status=rng.choice(["pending", "paid", "shipped", "delivered", "completed", "canceled"]),
              paid_at=some(0.8), shipped_at=some(0.6), delivered_at=some(0.5), payout_at=some(0.4),
              canceled_at=some(0.2), held_at=some(0.1), updated_at=late())
        for n in range(120)
    ]  # fmt: skip
    listings = [
        {"listing_id": f"l{n}", "seller_id": f"a{rng.randrange(20)}", "title": "cup", "price": "5",
         "status": rng.choice(["active", "sold", "hidden"]), "created_at": late(), "updated_at": late()}
        for n in range(20)
    ]  # fmt: skip
    items = [
        {"order_id": f"o{n}", "line_no": "1", "listing_id": f"l{rng.randrange(20)}", "title": "cup",
         "unit_price": "5", "quantity": "1"}
        for n in range(120)
    ]  # fmt: skip
    posts = [
        {"post_id": f"n{n}", "account_id": "a1", "kind": "comment", "body": "hi",
         "created_at": late(), "updated_at": late()}
        for n in range(20)
    ]  # fmt: skip
    refunds = [
        {"refund_id": f"r{n}", "order_id": f"o{n}", "amount": "5", "route": "original",
         "state": "succeeded", "created_at": late(), "updated_at": late()}
        for n in range(20)
    ]  # fmt: skip
    chargebacks = [
        {"chargeback_id": f"c{n}", "order_id": f"o{n}", "amount": "5", "reason": "fraud",
         "received_at": late()}
        for n in range(30)
    ]  # fmt: skip
    return {
        "accounts": accounts,
        "orders": orders,
        "listings": listings,
        "order_items": items,
        "posts": posts,
        "refunds": refunds,
        "chargebacks": chargebacks,
    }


async def _everything(market: Any) -> dict[str, list[str]]:
    return {
        relation: [
            row[0]
            for row in await market.fetch(f"SELECT t::text FROM market.{relation} t ORDER BY 1")
        ]
        for relation in RELATIONS
    }


@pytest.mark.parametrize("seed", range(4))
async def test_many_steps_with_kills_end_where_one_jump_does(
    play: Play, market: Any, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 (repeatable)
    write_directory(tmp_path, **_market_of_many(rng))  # type: ignore[arg-type]  # keywords of one type
    await play.until(100)
    at_once = await _everything(market)
    await play.close()
    await market.execute("DROP SCHEMA feed CASCADE; DROP SCHEMA playground CASCADE")
    for relation in RELATIONS:
        await market.execute(f"DELETE FROM market.{relation}")

    for hours in sorted(rng.uniform(0, 100) for _ in range(40)):
        step = asyncio.create_task(play.until(hours))
        if rng.random() < 0.5:
            await asyncio.sleep(rng.uniform(0, 0.06))
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
            await play.kill()
        else:
            await step
    await play.until(100)

    assert await _everything(market) == at_once
    final = await market.fetch(
        "SELECT order_id FROM market.orders m JOIN feed.orders f USING (order_id) "
        "WHERE m.status <> f.status OR m.payout_at IS DISTINCT FROM f.payout_at"
    )
    assert [row["order_id"] for row in final] == []


async def test_a_restart_goes_on_where_it_was(market_dsn: str, market: Any, tmp_path: Path) -> None:
    write_directory(tmp_path, orders=[WHOLE])
    first, runner = await prepare_demo(market_dsn, market_dir=tmp_path, speed=36_000, seed=1)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await eventually(lambda: first.now() >= T + 12 * H)
    stop.set()
    await running

    second, _ = await prepare_demo(market_dsn, market_dir=tmp_path, speed=1, seed=1)

    assert timedelta(0) <= second.now() - first.now() < H
    assert await market.fetchval("SELECT status FROM market.orders") == "shipped"


async def test_at_the_end_of_the_data_time_goes_on_at_the_walls_pace(
    market_dsn: str, market: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_directory(tmp_path, orders=[WHOLE])
    caplog.set_level("INFO")
    clock, runner = await prepare_demo(market_dsn, market_dir=tmp_path, speed=1e9, seed=1)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await eventually(lambda: "is played" in caplog.text)
    stop.set()
    await running

    assert clock.speed == 1
    assert timedelta(0) <= clock.now() - (T + 30 * H) < timedelta(minutes=1)
    assert await market.fetchval("SELECT status FROM market.orders") == "completed"
    assert caplog.text.count("is played") == 1


async def test_no_row_is_dated_after_what_the_clock_tells(
    market_dsn: str, market: Any, tmp_path: Path
) -> None:
    orders = [order(f"o{n}", n / 10) for n in range(200)]
    write_directory(tmp_path, orders=orders)
    clock, runner = await prepare_demo(market_dsn, market_dir=tmp_path, speed=7200, seed=1)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    seen = 0
    for _ in range(60):
        told = clock.now()
        row = await market.fetchrow(
            "SELECT (SELECT count(*) FROM market.orders) AS visible, "
            "(SELECT count(*) FROM feed.orders WHERE ordered_at <= $1) AS due",
            told,
        )
        assert row["visible"] >= row["due"]
        seen = max(seen, row["visible"])
        await asyncio.sleep(0.02)
    stop.set()
    await running
    assert seen > 10


async def test_a_lost_connection_is_taken_up_again(
    market_dsn: str, market: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_directory(tmp_path, orders=[order(f"o{n}", n) for n in range(50)])
    clock, runner = await prepare_demo(market_dsn, market_dir=tmp_path, speed=36_000, seed=1)
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await eventually(lambda: clock.now() >= T + 3 * H)
    await market.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await eventually(lambda: clock.now() >= T + 40 * H)
    stop.set()
    await running

    assert "stands still" in caplog.text
    assert await market.fetchval("SELECT count(*) FROM market.orders") >= 40


# ---- what is refused


async def test_another_directory_asks_for_a_clean_start(market_dsn: str, tmp_path: Path) -> None:
    one = write_directory(tmp_path / "one")
    two = write_directory(tmp_path / "two", orders=[WHOLE])
    await prepare_demo(market_dsn, market_dir=one, speed=1, seed=1)

    with pytest.raises(SayableError, match=r"was started with the market directory one.*--fresh"):
        await prepare_demo(market_dsn, market_dir=two, speed=1, seed=1)
    with pytest.raises(
        SayableError, match=r"the built-in shoppers of minato, seed 1 is asked.*--fresh"
    ):
        await prepare_demo(market_dsn, market_dir=None, speed=1, seed=1)


async def test_the_same_directory_elsewhere_is_taken_up(market_dsn: str, tmp_path: Path) -> None:
    await prepare_demo(market_dsn, market_dir=write_directory(tmp_path / "one"), speed=1, seed=1)

    clock, _ = await prepare_demo(
        market_dsn, market_dir=write_directory(tmp_path / "two"), speed=1, seed=1
    )

    assert clock.now() >= T - timedelta(seconds=1)


async def test_a_refused_directory_leaves_nothing_behind(
    market_dsn: str, market: Any, tmp_path: Path
) -> None:
    bad = write_directory(tmp_path / "bad", orders=[{**ORDER, "total_amount": "ten"}])
    with pytest.raises(SayableError, match=r"orders\.csv, line 2, column total_amount"):
        await prepare_demo(market_dsn, market_dir=bad, speed=1, seed=1)

    good = write_directory(tmp_path / "good")
    clock, _ = await prepare_demo(market_dsn, market_dir=good, speed=1, seed=1)

    assert clock.now() >= T - timedelta(seconds=1)


async def test_a_directory_without_orders_has_nothing_to_play(
    market_dsn: str, tmp_path: Path
) -> None:
    header = ",".join(ORDER) + "\n"

    with pytest.raises(SayableError, match="holds no orders"):
        await prepare_demo(
            market_dsn, market_dir=write_directory(tmp_path, orders=header), speed=1, seed=1
        )


async def test_a_loaded_market_is_not_played_over(
    market_dsn: str, market: Any, tmp_path: Path
) -> None:
    await market.execute(
        "INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, "
        "payment_method, ordered_at, updated_at) VALUES ('x', 'a', 's', 'paid', 1, 'card', now(), now())"
    )

    with pytest.raises(SayableError, match=r"holds orders already.*--fresh"):
        await prepare_demo(market_dsn, market_dir=write_directory(tmp_path), speed=1, seed=1)


async def test_a_speed_that_is_none_is_refused_before_anything_is_written(
    market_dsn: str, market: Any, tmp_path: Path
) -> None:
    for directory in (write_directory(tmp_path), None):
        with pytest.raises(SayableError, match=r"speed"):
            await prepare_demo(market_dsn, market_dir=directory, speed=1e12, seed=1)

    assert await market.fetchval("SELECT to_regnamespace('feed')") is None


async def test_the_bots_reader_sees_neither_feed_nor_truth(
    market_dsn: str, market_reader_dsn: str, tmp_path: Path
) -> None:
    await prepare_demo(market_dsn, market_dir=write_directory(tmp_path), speed=1, seed=1)
    reader = await asyncpg.connect(market_reader_dsn)
    try:
        assert await reader.fetchval("SELECT count(*) FROM market.accounts") == 2
        for hidden in ("feed.orders", "playground.truth", "playground.play"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch(f"SELECT * FROM {hidden}")
    finally:
        await reader.close()
