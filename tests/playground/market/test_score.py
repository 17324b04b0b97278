"""The score of a played market: what was tried, stopped and lost, by kind and round, and who was hurt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bot.playground.market.effects import create_schema
from bot.playground.market.score import ORDINARY, Score, Tally, read_score
from tests.playground.market.campaigns.play import Play
from tests.playground.market.campaigns.stories import START

BY_ORDERS = ("card_testing", "refund_abuse", "returning", "self_dealing", "stolen_cards")


@pytest.fixture
async def play(market_dsn: str) -> AsyncIterator[Play]:
    await create_schema(market_dsn)
    connection = await asyncpg.connect(market_dsn)
    play = Play(market_dsn, connection)
    yield play
    await play.restart()
    await connection.close()


async def fraud(play: Play, kind: str, *, where: str = "true") -> list[Any]:
    """The fraudulent orders of a kind that came since the start."""
    rows = await play.market.fetch(
        "SELECT o.*, t.amount, t.round, f.paid_out FROM market.orders o "
        "  JOIN feed.orders f USING (order_id) "
        "  JOIN playground.truth t ON t.subject_kind = 'order' AND t.subject_id = o.order_id "
        f"WHERE t.label = 'fraud' AND t.kind = $1 AND o.ordered_at > $2 AND {where} ORDER BY 1",
        kind,
        START,
    )
    return list(rows)


def money(rows: list[Any]) -> int:
    return sum(row["amount"] for row in rows)


def assert_adds_up(tally: Tally) -> None:
    stopped = tally.stopped_before_shipment + tally.stopped_before_payout
    assert tally.tried == stopped + tally.lost + tally.open
    assert tally.canceled <= stopped


async def test_where_nobody_steps_in_nothing_is_stopped_and_all_is_lost_in_time(play: Play) -> None:
    await play.until(30)
    early = await read_score(play.market)
    await play.until(10 * 24)
    late = await read_score(play.market)

    assert late.currency == "JPY"
    assert late.at == START + timedelta(days=10)
    for kind in BY_ORDERS:
        tally = late.kinds[kind]
        assert_adds_up(tally)
        assert (tally.caught, tally.orders_stopped, tally.accounts_stopped) == (0, 0, 0)
        assert tally.tried > early.kinds[kind].tried > 0
        assert tally.lost > early.kinds[kind].lost
        assert late.rounds[kind].keys() == {1}
    paid_out = await fraud(play, "self_dealing", where="f.paid_out")
    shipped = await fraud(play, "stolen_cards", where="o.shipped_at IS NOT NULL")
    refunded = await play.market.fetchval(
        "SELECT sum(r.amount) FROM market.refunds r JOIN market.orders o USING (order_id) "
        "WHERE o.ordered_at > $1",
        START,
    )
    assert late.kinds["self_dealing"].lost == money(paid_out)
    assert late.kinds["stolen_cards"].lost == money(shipped)
    assert late.kinds["refund_abuse"].lost == refunded
    assert late.kinds["self_dealing"].charged_back > 0
    assert late.kinds["card_testing"].attempts > 100
    assert late.kinds["follow_phishing"].posts > 50
    assert ORDINARY not in late.kinds

    settled = await read_score(play.market, acted_until=early.at)
    for kind in BY_ORDERS:
        # The same orders and accounts as then, as they stand now.
        before, after = early.kinds[kind], settled.kinds[kind]
        assert (after.tried, after.accounts, after.posts) == (
            before.tried,
            before.accounts,
            before.posts,
        )
        assert_adds_up(after)
        assert before.lost <= after.lost <= late.kinds[kind].lost
    assert settled.kinds["stolen_cards"].lost > early.kinds["stolen_cards"].lost
    assert settled.at == late.at


async def test_what_is_held_or_cancelled_counts_by_how_far_it_had_come(play: Play) -> None:
    await play.until(1)
    first, second, third, *_ = await fraud(play, "stolen_cards")
    await play.do("hold", first["order_id"])
    await play.do("cancel", second["order_id"])
    await play.until(90)
    shipped = await fraud(play, "stolen_cards", where="o.shipped_at IS NOT NULL")
    assert third["order_id"] in {row["order_id"] for row in shipped}
    # The demo's own shop refuses what this one does.
    await play.market.execute(
        "UPDATE market.orders SET status = 'canceled', canceled_at = $2 WHERE order_id = $1",
        third["order_id"],
        play.now,
    )

    tally = (await read_score(play.market)).kinds["stolen_cards"]

    assert_adds_up(tally)
    assert tally.stopped_before_shipment == first["amount"] + second["amount"]
    assert tally.stopped_before_payout == third["amount"]
    assert tally.canceled == second["amount"] + third["amount"]
    assert tally.orders_stopped == 3
    assert len(tally.minutes_to_touch) == 2
    assert max(tally.minutes_to_touch) <= 60


async def test_a_suspended_fraudster_is_not_paid_for_what_they_shipped_or_sold(play: Play) -> None:
    await play.until(23)
    shipped, *_ = await fraud(play, "self_dealing", where="o.status = 'shipped' AND NOT f.paid_out")
    await play.do("suspend", shipped["seller_id"])
    await play.until(120)
    own = await fraud(play, "self_dealing", where=f"o.seller_id = '{shipped['seller_id']}'")
    unpaid = [row for row in own if not row["paid_out"]]

    tally = (await read_score(play.market)).kinds["self_dealing"]

    assert shipped["order_id"] in {row["order_id"] for row in unpaid}
    assert tally.stopped_before_payout == money(unpaid)
    assert (tally.stopped_before_shipment, tally.canceled) == (0, 0)
    assert tally.orders_stopped == len(unpaid)
    assert_adds_up(tally)


async def test_a_hold_that_was_released_stops_nothing(play: Play) -> None:
    await play.until(1)
    first, *_ = await fraud(play, "self_dealing")
    await play.do("hold", first["order_id"])
    await play.do("release", first["order_id"])

    tally = (await read_score(play.market)).kinds["self_dealing"]

    assert (tally.orders_stopped, tally.stopped_before_shipment) == (0, 0)
    assert len(tally.minutes_to_touch) == 1


async def test_money_that_was_paid_out_is_lost_even_if_the_order_is_cancelled_afterwards(
    play: Play,
) -> None:
    await play.until(80)
    paid_out, *_ = await fraud(play, "self_dealing", where="f.paid_out")
    before = (await read_score(play.market)).kinds["self_dealing"].lost
    await play.market.execute(
        "UPDATE market.orders SET status = 'canceled', canceled_at = $2 WHERE order_id = $1",
        paid_out["order_id"],
        play.now,
    )

    tally = (await read_score(play.market)).kinds["self_dealing"]

    assert tally.lost == before >= paid_out["amount"]
    assert_adds_up(tally)


async def test_accounts_are_stopped_after_minutes_and_come_back_in_the_next_round(
    play: Play,
) -> None:
    await play.until(1)
    orders = await fraud(play, "self_dealing")
    seller = orders[0]["seller_id"]
    first = min(row["ordered_at"] for row in orders if row["seller_id"] == seller)
    await play.until(1.2)
    await play.do("suspend", seller)
    suspended_at = play.now
    await play.until(30)

    score = await read_score(play.market)
    tally = score.kinds["self_dealing"]

    assert tally.accounts_stopped == 1
    (waited,) = tally.minutes_to_stop
    assert waited == pytest.approx((suspended_at - first) / timedelta(minutes=1), abs=0.01)
    assert tally.listings_removed >= 3
    assert tally.caught == 1
    assert score.rounds["self_dealing"][1].caught == 1
    assert score.rounds["self_dealing"][2].campaigns == 1
    assert score.rounds["self_dealing"][2].caught == 0


async def test_what_a_suspended_account_had_planned_never_comes_and_was_not_tried(
    play: Play,
) -> None:
    await play.until(0.15)
    buyer = (await fraud(play, "stolen_cards"))[0]["buyer_id"]
    planned = await play.market.fetch(
        "SELECT t.amount FROM feed.orders f JOIN playground.truth t ON t.subject_id = f.order_id "
        "WHERE f.buyer_id = $1 AND f.ordered_at > $2",
        buyer,
        play.now,
    )
    await play.do("suspend", buyer)
    await play.until(1)

    tally = (await read_score(play.market)).kinds["stolen_cards"]

    assert planned
    assert tally.never_came == money(planned)
    assert tally.tried == money(await fraud(play, "stolen_cards"))


async def test_who_is_let_in_again_was_stopped_but_is_not(play: Play) -> None:
    await play.until(1)
    seller = (await fraud(play, "self_dealing"))[0]["seller_id"]
    await play.do("suspend", seller)
    await play.do("reinstate", seller)

    tally = (await read_score(play.market)).kinds["self_dealing"]

    assert tally.accounts_stopped == 0
    assert len(tally.minutes_to_stop) == 1


async def test_posts_that_are_removed_are_counted(play: Play) -> None:
    await play.until(1)
    posts = await play.market.fetch(
        "SELECT subject_id FROM playground.truth JOIN market.posts ON post_id = subject_id "
        "WHERE subject_kind = 'post' AND created_at > $1 ORDER BY 1",
        START,
    )
    before = (await read_score(play.market)).kinds["follow_phishing"]
    for row in posts[:3]:
        await play.do("remove_post", row["subject_id"])

    tally = (await read_score(play.market)).kinds["follow_phishing"]

    assert (before.posts_removed, tally.posts_removed) == (0, 3)
    assert tally.posts == before.posts >= len(posts)


async def test_good_ones_are_counted_once_beside_the_campaign_that_they_stand_beside(
    play: Play,
) -> None:
    await play.until(20)
    fooled = await play.market.fetchval(
        "SELECT o.order_id FROM market.orders o JOIN playground.truth t ON t.subject_id = o.order_id "
        "WHERE t.label = 'good' AND t.kind = 'self_dealing' AND o.status = 'paid' ORDER BY 1 LIMIT 1"
    )
    ordinary = await play.market.fetchrow(
        "SELECT * FROM market.orders o WHERE status = 'paid' AND payment_method = 'card' "
        "  AND ordered_at > $1 AND NOT EXISTS (SELECT FROM playground.truth t WHERE t.subject_id "
        "        IN (o.order_id, o.seller_id, o.buyer_id)) "
        "  AND NOT EXISTS (SELECT FROM market.orders x JOIN playground.truth t ON t.subject_id = x.order_id "
        "                   WHERE x.buyer_id = o.buyer_id) ORDER BY 1 LIMIT 1",
        START,
    )
    maker = (await fraud(play, "stolen_cards"))[0]["seller_id"]
    await play.do("hold", fooled)
    await play.do("cancel", fooled)
    await play.do("hold", ordinary["order_id"])
    await play.do("suspend", ordinary["buyer_id"])
    await play.do("suspend", maker)
    # Neither of these is good.
    theirs = (await fraud(play, "self_dealing", where="o.status = 'paid'"))[0]
    await play.do("hold", theirs["order_id"])
    await play.do("suspend", theirs["seller_id"])

    kinds = (await read_score(play.market)).kinds

    assert kinds["self_dealing"].good_orders_touched == 1
    assert kinds[ORDINARY].good_orders_touched == 1
    assert kinds[ORDINARY].good_accounts_stopped == 1
    paid = ordinary["total_amount"] - ordinary["discount_amount"] - ordinary["points_amount"]
    assert kinds[ORDINARY].good_money_touched == paid
    assert sum(tally.good_accounts_stopped for tally in kinds.values()) == 2


async def test_what_was_before_does_not_count(play: Play) -> None:
    await play.until(3)

    whole = await read_score(play.market, since=START - timedelta(days=3))
    since = await read_score(play.market)
    later = await read_score(play.market, since=START + timedelta(hours=1))

    # The orders of the day before; only their accounts and campaign are left.
    assert whole.kinds["refund_abuse"].orders > since.kinds["refund_abuse"].orders == 0
    assert whole.kinds["self_dealing"].tried > since.kinds["self_dealing"].tried
    assert since.kinds["self_dealing"].tried > later.kinds["self_dealing"].tried > 0


async def test_rounds_add_up_to_their_kind_and_the_whole_is_json(play: Play) -> None:
    await play.until(0.9)
    for row in await fraud(play, "self_dealing"):
        await play.do("cancel", row["order_id"])
    await play.until(40)

    score: Score = await read_score(play.market)
    told = json.loads(json.dumps(score.as_json()))

    for kind, rounds in score.rounds.items():
        for name in ("orders", "tried", "lost", "accounts", "posts", "attempts"):
            whole = getattr(score.kinds[kind], name)
            assert sum(getattr(tally, name) for tally in rounds.values()) == whole
    assert len(score.rounds["self_dealing"]) >= 2
    assert told["kinds"]["self_dealing"]["tried"] == score.kinds["self_dealing"].tried
    assert told["rounds"]["self_dealing"]["2"]["orders"] == score.rounds["self_dealing"][2].orders
    assert told["at"].startswith("2024-04-02T")
