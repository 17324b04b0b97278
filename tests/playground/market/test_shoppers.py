"""The demo's own shoppers: repeatable, busy, with fraud to find and honest people who look like it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import asyncpg
import pytest

from bot.detections.detection import BUILT_IN
from bot.detections.engine import run
from bot.detections.loading import load_detections
from bot.domain.errors import SayableError
from bot.market.reader import MarketReader
from bot.playground.market.clock import PlayClock
from bot.playground.market.demo import prepare_demo
from bot.playground.market.directory import RELATIONS
from bot.playground.market.flavours import HARBOUR, MINATO
from bot.playground.market.player import Player, open_play
from bot.playground.market.shoppers import HISTORY, HOUR, Shoppers, ShoppersSource
from bot.playground.market.shoppers_rows import Fed
from bot.playground.market.shoppers_traffic import how_busy
from tests.playground.market.campaigns.stories import uncaught

START = datetime(2024, 4, 1, 1, tzinfo=UTC)
SEEDS = (1, 2, 3)


def days_rows(seed: int, hours: Iterable[int]) -> list[Fed]:
    """What a demo tells where nobody stops any of its fraudsters."""
    shoppers = Shoppers(seed, START)
    rows = shoppers.write_past()
    for hour in hours:
        rows += shoppers.write_hour(hour)
        rows += [row for told in uncaught(shoppers, hour) for row in told.rows]
    return rows


@cache
def whole(seed: int) -> tuple[Fed, ...]:
    """The past and the first day of a demo."""
    return tuple(days_rows(seed, range(-72, 24)))


def of(rows: Sequence[Fed], relation: str) -> list[dict[str, Any]]:
    return [dict(row.values) for row in rows if row.relation == relation]


def truth(rows: Sequence[Fed], subject_kind: str, **wanted: str) -> set[str]:
    return {
        row["subject_id"]
        for row in of(rows, "truth")
        if row["subject_kind"] == subject_kind and wanted.items() <= row.items()
    }


# ---- repeatable


def test_the_same_seed_tells_the_same_story() -> None:
    assert days_rows(7, range(-3, 6)) == days_rows(7, range(-3, 6))


def test_another_seed_tells_another_story() -> None:
    assert days_rows(7, range(1)) != days_rows(8, range(1))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_row_lies_more_than_an_hour_before_the_hour_that_writes_it(seed: int) -> None:
    """The feed is supplied an hour ahead, so no row comes too late to be played."""
    shoppers = Shoppers(seed, START)

    for hour in range(-72, 48):
        begin = START + hour * HOUR
        assert all(row.at > begin - HOUR for row in shoppers.write_hour(hour))
        assert all(planned.born_at >= begin for planned in shoppers.plan_births(hour))


@pytest.mark.parametrize("seed", SEEDS)
def test_ids_are_unique_and_everybody_exists_before_acting(seed: int) -> None:
    rows = whole(seed)
    created = {row["account_id"]: row["created_at"] for row in of(rows, "accounts")}
    listed = {row["listing_id"]: row["created_at"] for row in of(rows, "listings")}
    orders = {row["order_id"]: row for row in of(rows, "orders")}

    assert len(created) == len(of(rows, "accounts"))
    assert len(orders) == len(of(rows, "orders"))
    for order in orders.values():
        assert created[order["buyer_id"]] <= order["ordered_at"]
        assert created[order["seller_id"]] <= order["ordered_at"]
    for item in of(rows, "order_items"):
        assert listed[item["listing_id"]] <= orders[item["order_id"]]["ordered_at"]
    for event in of(rows, "follow_events"):
        assert created[event["follower_id"]] <= event["occurred_at"]
        assert event["followee_id"] in created


def _cards_within_an_hour(rows: Sequence[Fed]) -> dict[str, int]:
    """The most cards that each buyer showed within an hour."""
    seen: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for row in of(rows, "payment_attempts"):
        seen[row["account_id"]].append((row["attempted_at"], row["card_fingerprint"]))
    return {
        account: max(
            len({card for at, card in uses if begin <= at < begin + HOUR}) for begin, _ in uses
        )
        for account, uses in seen.items()
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_honest_people_show_two_cards_within_an_hour_at_most(seed: int) -> None:
    rows = whole(seed)
    fraudsters = truth(rows, "account", label="fraud")
    cards = _cards_within_an_hour(rows)

    assert max(count for account, count in cards.items() if account not in fraudsters) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_visitor_of_a_fair_follows_fewer_than_a_spammer(seed: int) -> None:
    rows = whole(seed)
    fraudsters = truth(rows, "account", kind="follow_phishing")
    follows = Counter(
        row["follower_id"] for row in of(rows, "follow_events") if row["kind"] == "follow"
    )

    busiest = max(n for who, n in follows.items() if who not in fraudsters)
    assert 20 < busiest < 60


def is_page(url: str, pages: Sequence[str]) -> bool:
    """Whether a link is one of a flavour's pages, with some code in it."""
    return any(
        url.startswith(before) and url.endswith(after)
        for before, _, after in (page.partition("{code}") for page in pages)
    )


# ---- honest people who look like it


@cache
def weeks() -> tuple[Fed, ...]:
    """A week of each of the seeds: long enough for what seldom happens."""
    return tuple(row for seed in SEEDS for row in days_rows(seed, range(-72, 168)))


def orders_of(story: str) -> list[dict[str, Any]]:
    wanted = truth(weeks(), "order", story=story, label="good")
    return [row for row in of(weeks(), "orders") if row["order_id"] in wanted]


def by(rows: Iterable[dict[str, Any]], column: str) -> dict[Any, list[dict[str, Any]]]:
    grouped: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row[column]].append(row)
    return grouped


def test_families_share_a_card_and_gift_buyers_send_to_many() -> None:
    families = by(orders_of("family"), "card_fingerprint").values()
    gifts = by(orders_of("gifts"), "buyer_id").values()

    assert {len({order["buyer_id"] for order in orders}) for orders in families} == {2, 3}
    assert max(len({order["ship_address"] for order in orders}) for orders in gifts) >= 4
    assert all(len({order["card_fingerprint"] for order in orders}) == 1 for orders in gifts)


def test_one_person_shops_with_two_accounts_on_one_card_and_device() -> None:
    accounts = {row["account_id"]: row for row in of(weeks(), "accounts")}
    households = by(orders_of("household"), "card_fingerprint").values()

    assert households
    for orders in households:
        buyers = {order["buyer_id"] for order in orders}
        assert len(buyers) == 2
        assert len({order["device_id"] for order in orders}) == 1
        assert len({accounts[buyer]["full_name"] for buyer in buyers}) == 1
        assert len({accounts[buyer]["email"] for buyer in buyers}) == 2


def test_a_relative_buys_from_the_maker_of_the_same_home() -> None:
    accounts = {row["account_id"]: row for row in of(weeks(), "accounts")}
    orders = orders_of("relative")

    assert orders
    for order in orders:
        maker, buyer = accounts[order["seller_id"]], accounts[order["buyer_id"]]
        assert order["ship_address"] == maker["address"]
        assert buyer["full_name"].split()[0] == maker["full_name"].split()[0]
        assert (buyer["phone"], buyer["signup_device_id"]) != (
            maker["phone"],
            maker["signup_device_id"],
        )


def test_a_new_shop_with_fans_has_a_burst_of_honest_orders() -> None:
    accounts = {row["account_id"]: row for row in of(weeks(), "accounts")}
    launched = truth(weeks(), "account", story="launch", label="good")
    shops = by(orders_of("launch"), "seller_id")
    shares = []
    for seller, orders in shops.items():
        opened = accounts[seller]["created_at"]
        assert 5 <= len(orders) <= 13
        assert all(order["ordered_at"] - opened < 8 * HOUR for order in orders)
        assert len({order["card_fingerprint"] for order in orders}) >= len(orders) - 1
        ages = [order["ordered_at"] - accounts[order["buyer_id"]]["created_at"] for order in orders]
        shares.append(sum(age < timedelta(days=2) for age in ages) / len(ages))

    assert set(shops) == launched
    # Some of the fans sign up for it: as a fraudster's own buyers do.
    assert max(shares) >= 0.6
    assert min(shares) <= 0.4


def test_makers_thank_in_the_same_words_with_a_link_of_their_own() -> None:
    sellers = {row["account_id"] for row in of(weeks(), "accounts") if row["is_seller"]}
    thanks = [
        row
        for row in of(weeks(), "posts")
        if row["kind"] == "message" and all(is_page(url, MINATO.own_pages) for url in row["urls"])
    ]
    by_maker = by(thanks, "account_id")
    within_the_hour = max(
        sum(first["created_at"] <= row["created_at"] < first["created_at"] + HOUR for row in rows)
        for rows in by_maker.values()
        for first in rows
    )

    assert set(by_maker) <= sellers
    assert len(by_maker) > 12
    assert all(len({row["body"] for row in rows}) == 1 for rows in by_maker.values())
    assert within_the_hour >= 8


def test_kits_and_their_photos_look_alike_in_honest_shops() -> None:
    titles = {kit.title for kit in MINATO.kits}
    fraud = truth(whole(1), "listing", label="fraud")
    kits = by(
        (
            row
            for row in of(whole(1), "listings")
            if row["title"] in titles and row["listing_id"] not in fraud
        ),
        "title",
    )

    assert max(len({row["seller_id"] for row in rows}) for rows in kits.values()) >= 3
    for rows in kits.values():
        photos = [row["image_hashes"][0] for row in rows]
        assert max((one ^ other).bit_count() for one in photos for other in photos) <= 2


def test_an_outage_declines_many_people_s_cards_at_once() -> None:
    declined = [
        row for row in of(weeks(), "payment_attempts") if row["decline_code"] == "processing_error"
    ]
    begin = declined[0]["attempted_at"]
    at_once = [row for row in declined if abs(row["attempted_at"] - begin) < timedelta(minutes=10)]

    assert len(at_once) >= 6
    assert len({row["account_id"] for row in at_once}) >= len(at_once) - 1
    assert len({row["ip"] for row in at_once}) >= len(at_once) - 1


def test_a_maker_s_sale_sells_many_at_a_discount_within_the_hour() -> None:
    sales = by(orders_of("flash_sale"), "seller_id").values()

    assert max(len(orders) for orders in sales) >= 6
    assert all(
        0 < order["discount_amount"] <= order["total_amount"] // 2
        for orders in sales
        for order in orders
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_honest_people_order_day_and_night_in_every_way_to_pay(seed: int) -> None:
    rows = whole(seed)
    fraud = truth(rows, "order", label="fraud")
    honest = [order for order in of(rows, "orders") if order["order_id"] not in fraud]
    by_hour = Counter((order["ordered_at"] - START) // HOUR for order in honest)
    methods = {order["payment_method"] for order in honest}
    night = sum(by_hour[hour] for hour in range(-55, -50))  # from three to eight in Japan
    evening = sum(by_hour[hour] for hour in range(-63, -58))  # from seven to midnight

    assert min(by_hour[hour] for hour in range(-71, 23)) >= 2
    assert methods == {"card", "konbini", "wallet", "carrier", "bank_transfer", "points"}
    assert evening > 1.5 * night
    declined = [row for row in of(rows, "payment_attempts") if row["result"] == "declined"]
    assert {"insufficient_funds", "expired_card", "incorrect_cvc"} <= {
        row["decline_code"] for row in declined
    }


def test_an_evening_s_sale_is_busier_than_other_evenings() -> None:
    """The fifth of April is one of Minato's sale days, a Friday; the fourth is none."""
    fraud = truth(weeks(), "order", label="fraud")
    counts = Counter(
        at.day
        for at, order_id in (
            (order["ordered_at"].astimezone(MINATO.zone), order["order_id"])
            for order in of(weeks(), "orders")
        )
        if at.hour in {20, 21, 22} and order_id not in fraud
    )

    assert counts[5] > 1.3 * counts[4]


def test_harbour_lane_trades_in_euros_and_english_on_the_clock_of_its_own() -> None:
    shoppers = Shoppers(1, START, HARBOUR)
    rows = shoppers.write_past() + [row for hour in range(24) for row in shoppers.write_hour(hour)]
    written = [
        str(value)
        for row in rows
        for name, value in row.values.items()
        if name
        in {"title", "description", "body", "subject", "display_name", "full_name", "address"}
    ]
    money = [row for row in rows if "currency" in row.values and row.relation != "truth"]
    prices = [row["price"] for row in of(rows, "listings")]

    assert not [text for text in written if any("぀" <= sign <= "鿿" for sign in text)]
    assert {row.values["currency"] for row in money} == {"EUR"}
    assert {row["payment_method"] for row in of(rows, "orders")} <= set(HARBOUR.methods)
    # Between 3.50 and 200 euros, in cents; and not all of them whole.
    assert 350 <= min(prices) < max(prices) <= 20_000
    assert any(price % 100 for price in prices)
    assert all(row["full_name_kana"] is None for row in of(rows, "accounts"))
    assert how_busy(START, HARBOUR) < how_busy(START, MINATO)


def test_hostile_names_are_among_the_people() -> None:
    names = {row["display_name"] for row in of(whole(1), "accounts")}

    assert set(MINATO.hostile_names) <= names


def test_no_ip_address_or_mail_host_belongs_to_anybody() -> None:
    accounts = of(whole(1), "accounts")

    assert all(str(row["email"]).endswith("@mail.example") for row in accounts)
    assert {str(row["signup_ip"]).split(".")[0] for row in accounts} <= {"100", "203"}


# ---- played


@pytest.fixture
async def market(market_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(market_dsn)
    yield connection
    await connection.close()


async def _everything(market: Any) -> dict[str, list[str]]:
    return {
        relation: [
            row[0]
            for row in await market.fetch(f"SELECT t::text FROM market.{relation} t ORDER BY 1")
        ]
        for relation in RELATIONS
    }


async def _play(dsn: str, market: Any, hours: Iterable[float], *, seed: int = 1) -> None:
    """Play up to each of the hours with a new process for each."""
    for hour in hours:
        source = ShoppersSource(seed, START)
        await open_play(market, source)
        player = Player(dsn, PlayClock(START, 1, driven=True), source)
        await player.play_until(START + hour * HOUR)
        await player.disconnect()


async def test_the_demo_starts_with_a_past_of_three_days(market_dsn: str, market: Any) -> None:
    clock, _ = await prepare_demo(market_dsn, market_dir=None, speed=None, seed=1)

    first, count = await market.fetchrow("SELECT min(ordered_at), count(*) FROM market.orders")
    states = {row[0] for row in await market.fetch("SELECT DISTINCT status FROM market.orders")}

    assert clock.speed == 60
    assert timedelta(0) <= (clock.now() - HISTORY) - first + HOUR <= 2 * HOUR
    assert count > 400
    assert {"pending", "paid", "shipped", "delivered", "canceled"} <= states


async def test_restarts_tell_the_story_of_one_run(market_dsn: str, market: Any) -> None:
    await _play(market_dsn, market, [5.3])
    at_once = await _everything(market)
    await market.execute("DROP SCHEMA feed CASCADE; DROP SCHEMA playground CASCADE")
    for relation in RELATIONS:
        await market.execute(f"DELETE FROM market.{relation}")

    await _play(market_dsn, market, [-30, -0.01, 0, 0.5, 0.99, 1, 2.7, 5.3])

    assert await _everything(market) == at_once


async def test_everything_that_was_fed_is_played(market_dsn: str, market: Any) -> None:
    """No row is written after its time has gone by."""
    await _play(market_dsn, market, [hour * 0.37 for hour in range(20)])

    for relation, at in (
        ("accounts", "created_at"),
        ("orders", "ordered_at"),
        ("payment_attempts", "attempted_at"),
        ("follow_events", "occurred_at"),
        ("posts", "created_at"),
        ("listings", "created_at"),
    ):
        missing = await market.fetchval(
            f"SELECT count(*) FROM feed.{relation} f, playground.play p WHERE f.{at} <= p.market_time"
        ) - await market.fetchval(f"SELECT count(*) FROM market.{relation}")
        assert missing == 0, relation


async def test_a_row_that_lies_before_its_hour_is_played_in_time(
    market_dsn: str, market: Any
) -> None:
    """A declined card of an order in the first minute of an hour."""
    seed, hour, early = next(
        (seed, hour, row)
        for seed in range(1, 99)
        for hour in range(-71, -48)
        for row in Shoppers(seed, START).write_hour(hour)
        if row.at < START + hour * HOUR
    )

    await _play(market_dsn, market, [hour - 0.001, hour], seed=seed)

    assert await market.fetchval(
        "SELECT count(*) FROM market.payment_attempts WHERE attempt_id = $1",
        early.values["attempt_id"],
    )


async def test_a_payout_is_announced_when_paid_and_withdrawn_while_held(
    market_dsn: str, market: Any
) -> None:
    await _play(market_dsn, market, [0])
    order_id, payout_at = await market.fetchrow(
        "SELECT order_id, payout_at FROM market.orders "
        "WHERE status = 'delivered' ORDER BY payout_at LIMIT 1"
    )
    assert payout_at > START
    await market.execute(
        "UPDATE market.orders SET held_at = $1 WHERE order_id = $2", START, order_id
    )

    after = (payout_at - START) / HOUR + 1
    await _play(market_dsn, market, [after])
    held = await market.fetchrow("SELECT * FROM market.orders WHERE order_id = $1", order_id)
    assert (held["status"], held["payout_at"]) == ("delivered", None)

    await market.execute("UPDATE market.orders SET held_at = NULL WHERE order_id = $1", order_id)
    await _play(market_dsn, market, [after + 1])
    paid = await market.fetchrow("SELECT * FROM market.orders WHERE order_id = $1", order_id)
    assert (paid["status"], paid["payout_at"]) == ("completed", START + (after + 1) * HOUR)


async def test_the_demo_runs_and_something_happens(market_dsn: str, market: Any) -> None:
    clock, runner = await prepare_demo(market_dsn, market_dir=None, speed=3600, seed=2)
    before = await market.fetchval("SELECT count(*) FROM market.orders")
    began = clock.now()
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await asyncio.sleep(2)
    stop.set()
    await running

    assert clock.now() - began > HOUR
    assert await market.fetchval("SELECT count(*) FROM market.orders") > before + 5


async def test_another_seed_asks_for_a_clean_start(market_dsn: str) -> None:
    await prepare_demo(market_dsn, market_dir=None, speed=60, seed=1)

    with pytest.raises(SayableError, match=r"seed 1, and now .* seed 2 is asked for.*--fresh"):
        await prepare_demo(market_dsn, market_dir=None, speed=60, seed=2)


async def test_another_flavour_asks_for_a_clean_start(market_dsn: str) -> None:
    await prepare_demo(market_dsn, market_dir=None, speed=60, seed=1)

    with pytest.raises(SayableError, match=r"minato, seed 1, and now .* harbour, seed 1.*--fresh"):
        await prepare_demo(market_dsn, market_dir=None, speed=60, seed=1, flavour=HARBOUR)


async def test_a_demo_begins_at_ten_by_the_clock_of_its_shop(market_dsn: str) -> None:
    clock, _ = await prepare_demo(market_dsn, market_dir=None, speed=0.01, seed=1, flavour=HARBOUR)

    assert clock.now().astimezone(HARBOUR.zone).hour in {9, 10}


async def test_every_detection_finds_its_fraud_and_seldom_the_honest(
    market_dsn: str, market_reader_dsn: str, market: Any
) -> None:
    await _play(market_dsn, market, [3])
    reader = MarketReader(market_reader_dsn)
    found: dict[str, set[str]] = {}
    of_the_market = [d for d in load_detections([BUILT_IN]).detections if d.source == "market"]
    for detection in of_the_market:
        findings = await run(detection, reader, now=START + 3 * HOUR, changed_since=None)
        found[detection.name] = {finding.subject.id for finding in findings}
    fraud = {
        row[0]
        for row in await market.fetch(
            "SELECT subject_id FROM playground.truth WHERE label = 'fraud'"
        )
    }

    for name, least in (
        ("self_dealing_link", 5),
        ("many_cards_per_buyer", 3),
        ("repeat_card_or_buyer_hour", 10),
        ("follow_churn", 1),
    ):
        assert len(found[name] & fraud) >= least, name
    # A family on one card is what somebody must look at: no detection can tell it from a stolen one.
    families = {
        row[0]
        for row in await market.fetch(
            "SELECT subject_id FROM playground.truth WHERE story = 'family'"
        )
    }
    honest = set().union(*found.values()) - fraud - families
    assert 1 <= len(honest) <= 12
