from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from bot.digests.early_cancel import is_fraud
from bot.domain.digests import ValueKind, money, share
from bot.market.reader import MarketReader
from tests.digests.stage import DAY, Shop, at, begins, figure_of, number_of, part_of

RATE = "early_forced_cancel_rate"


async def a_fraud(shop: Shop, order: str, *, confirmed: float = 12, days_ago: int = 0) -> None:
    """A case about an order, judged fraud at an hour of the day."""
    await shop.open(order, at(8, days_ago=days_ago))
    await shop.cancel(order, at(confirmed, days_ago=days_ago), effect=False)


async def test_early_is_cancelled_before_both_shipment_and_payout(shop: Shop) -> None:
    await shop.sold("O-early", canceled_at=at(13), payout_at=at(20))
    await shop.sold("O-shipped", shipped_at=at(12.5), canceled_at=at(13), payout_at=at(20))
    await shop.sold("O-paid", canceled_at=at(13), payout_at=at(12.5))
    await shop.sold("O-open")
    await shop.sold("O-shipped-later", canceled_at=at(13), shipped_at=at(14))
    for order in ("O-early", "O-shipped", "O-paid", "O-open", "O-shipped-later"):
        await a_fraud(shop, order)
    digest = await shop.digest()
    assert figure_of(digest, RATE).value == share(2, 5)
    late = begins(part_of(digest, "early_cancel"), "Not in time")
    assert late is not None
    assert [number_of(late, name) for name in ("open", "shipped", "paid")] == [1, 1, 1]


async def test_the_first_sentence_tells_orders_money_rate_and_the_week_before(shop: Shop) -> None:
    for n in range(3):
        await shop.sold(f"O-{n}", canceled_at=at(13) if n else None)
        await a_fraud(shop, f"O-{n}")
    for n in range(4):
        await shop.sold(f"O-w{n}", canceled_at=at(13, days_ago=2) if n else None)
        await a_fraud(shop, f"O-w{n}", days_ago=2)
    await shop.sold("O-eight", canceled_at=at(13, days_ago=8))
    await a_fraud(shop, "O-eight", days_ago=8)
    headline = part_of(await shop.digest(), "early_cancel").headline
    assert headline is not None
    assert headline.count == 2
    # ¥10,000 each, of which 800 were coupons and points.
    assert headline.values["money"] == money({"JPY": 18_400})
    assert headline.values["rate"] == share(2, 3)
    assert headline.values["week"] == share(3, 4)


async def test_where_nothing_was_confirmed_there_is_no_rate(shop: Shop) -> None:
    await shop.sold("O-1", canceled_at=at(13))
    await shop.open("O-1", at(8))
    digest = await shop.digest()
    assert figure_of(digest, RATE).value is None
    headline = part_of(digest, "early_cancel").headline
    assert headline is not None
    assert headline.one == (
        "{when} no order was confirmed as fraud, so there is no early forced-cancel rate."
    )


async def test_a_fraud_chargeback_confirms_and_one_for_another_reason_does_not(shop: Shop) -> None:
    for order in ("O-1", "O-2", "O-3"):
        await shop.sold(order, ordered_at=at(9, days_ago=20), canceled_at=at(9, days_ago=19))
    await shop.charged_back("O-1", at(10))
    await shop.charged_back("O-2", at(10), reason="goods_not_received")
    await shop.charged_back("O-3", at(24.5))
    assert figure_of(await shop.digest(), RATE).value == share(1, 1)


async def test_an_order_counts_once_on_the_day_on_which_it_was_first_confirmed(shop: Shop) -> None:
    await shop.sold("O-1", ordered_at=at(9, days_ago=3), canceled_at=at(13, days_ago=3))
    await a_fraud(shop, "O-1", days_ago=3)
    await shop.charged_back("O-1", at(10))
    # Judged months ago, and charged back only now.
    await shop.sold("O-old", ordered_at=at(9, days_ago=90), canceled_at=at(9, days_ago=90))
    await a_fraud(shop, "O-old", days_ago=90)
    await shop.charged_back("O-old", at(10))
    digest = await shop.digest()
    assert figure_of(digest, RATE).value is None
    assert figure_of(digest, RATE).week == share(1, 1)


async def test_a_verdict_after_the_chargeback_does_not_count_the_order_again(shop: Shop) -> None:
    await shop.sold("O-1", ordered_at=at(9, days_ago=5), shipped_at=at(9, days_ago=4))
    await shop.charged_back("O-1", at(10, days_ago=3))
    await a_fraud(shop, "O-1")
    figure = figure_of(await shop.digest(), RATE)
    assert figure.value is None
    assert figure.before is None


async def test_an_order_that_was_judged_fraud_and_later_not_counts_no_more(shop: Shop) -> None:
    await shop.sold("O-1", canceled_at=at(13))
    await a_fraud(shop, "O-1")
    await shop.execute(
        "UPDATE ledger.cases SET state = 'done', closed_at = :at, closed_by = 'x'", at=at(13)
    )
    await shop.execute("UPDATE ledger.case_members SET is_open = false")
    # Its detection found it again after the case was closed.
    await shop.execute("UPDATE ledger.findings SET window_key = 'earlier'")
    await shop.execute("UPDATE ledger.cases SET closed_at = closed_at - interval '2 days'")
    await shop.open("O-1", at(15), amount=12_400)
    await shop.dismiss("O-1", at(16))
    assert figure_of(await shop.digest(), RATE).value is None


async def test_the_rate_is_told_by_the_month_of_the_order_as_well(shop: Shop) -> None:
    await shop.sold("O-1", canceled_at=at(13))
    await shop.sold("O-2", shipped_at=at(12.5), canceled_at=at(13))
    await shop.sold("O-3", ordered_at=at(9, days_ago=30), canceled_at=at(13))
    for order in ("O-1", "O-2", "O-3"):
        await a_fraud(shop, order)
    part = part_of(await shop.digest(), "early_cancel")
    november, october = [line for line in part.lines if line.one.startswith("Orders of")]
    assert (november.count, november.values["rate"]) == (2, share(1, 2))
    assert november.values["paid"] == share(2, 2)
    assert november.values["month"].day == DAY.replace(day=1)
    assert (october.count, october.values["rate"]) == (1, share(1, 1))


async def test_while_the_marketplace_is_away_the_ledger_alone_tells_what_was_cancelled(
    shop: Shop,
) -> None:
    await shop.open("O-1", at(8))
    await shop.cancel("O-1", at(12))
    away = MarketReader("postgresql://u:p@127.0.0.1:9/d")
    digest = await shop.digest(reader=away)
    part = part_of(digest, "early_cancel")
    assert figure_of(digest, RATE).value is None
    assert part.headline is not None
    assert part.headline.count == 1
    assert part.headline.values["money"] == money({"JPY": 12_400})
    assert begins(part, "No early forced-cancel rate") is not None


async def test_a_marketplace_that_does_not_record_payouts_gives_no_rate_and_says_why(
    shop: Shop, market_dsn: str, market_reader_dsn: str
) -> None:
    await shop.sold("O-1", canceled_at=at(13))
    await a_fraud(shop, "O-1")
    owner = await asyncpg.connect(market_dsn)
    await owner.execute(
        """CREATE SCHEMA lean;
           CREATE VIEW lean.accounts AS SELECT * FROM market.accounts;
           CREATE VIEW lean.orders AS SELECT order_id, status, canceled_at, shipped_at FROM market.orders"""
    )
    name = market_reader_dsn.split("//")[1].split(":")[0].split("@")[0]
    await owner.execute(
        f"GRANT USAGE ON SCHEMA lean TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA lean TO {name}"
    )
    await owner.close()
    digest = await shop.digest(reader=MarketReader(market_reader_dsn, "lean"))
    told = begins(part_of(digest, "early_cancel"), "No early forced-cancel rate")
    assert told is not None
    assert told.values["columns"].text == "payout_at"
    assert figure_of(digest, RATE).value is None


@pytest.mark.parametrize(
    "reason",
    ["fraud", "unauthorized_use_of_card", "10.4", "4837", "F29", "不正利用", "No cardholder auth"],
)
def test_the_reasons_of_banks_for_fraud_are_known(reason: str) -> None:
    assert is_fraud(reason)


@pytest.mark.parametrize("reason", ["goods_not_received", "13.1", "4853", "duplicate", ""])
def test_other_reasons_are_no_fraud(reason: str) -> None:
    assert not is_fraud(reason)


async def test_so_far_today_counts_what_there_is_of_the_day(shop: Shop) -> None:
    await shop.sold("O-1", canceled_at=at(13))
    await a_fraud(shop, "O-1")
    digest = await shop.digest(now=at(15))
    assert digest.so_far
    headline = part_of(digest, "early_cancel").headline
    assert headline is not None
    assert headline.values["when"].kind is ValueKind.WHEN
    assert headline.values["rate"] == share(1, 1)
    assert not (await shop.digest(now=at(24) + timedelta(seconds=1))).so_far
