"""What fraudsters see of the marketplace, what they make of it, and that it outlives any player."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import asyncpg
import pytest

from bot.playground.market.directory import RELATIONS
from tests.playground.market.campaigns.play import Play


async def a_campaign(play: Play, kind: str, story: str) -> str:
    """The first campaign of the opening with this way to work."""
    campaigns = (await play.campaigns()).values()
    found = [row for row in campaigns if (row["kind"], row["story"]) == (kind, story)]
    return str(min(found, key=lambda row: row["first_act_at"])["campaign_no"])


async def hold_an_order(play: Play, no: str) -> None:
    await play.do("hold", (await play.find(no, "order"))[0])


async def cancel_an_order(play: Play, no: str) -> None:
    await play.do("cancel", (await play.find(no, "order"))[0])


async def suspend_a_buyer(play: Play, no: str) -> None:
    await play.do("suspend", (await play.find(no, "account"))[-1])


async def take_a_listing_down(play: Play, no: str) -> None:
    await play.do("takedown", (await play.find(no, "listing"))[0])


@pytest.mark.parametrize(
    "step_in", [hold_an_order, cancel_an_order, suspend_a_buyer, take_a_listing_down]
)
async def test_a_fraudster_whom_somebody_stopped_comes_back_more_careful(
    play: Play, step_in: Callable[[Play, str], Any]
) -> None:
    await play.until(0.2)
    no = await a_campaign(play, "self_dealing", "ring")
    await step_in(play, no)

    await play.until(30)

    caught = (await play.campaigns())[no]
    stories = {
        row["round"]: row["story"]
        for row in await play.market.fetch(
            "SELECT round, story FROM playground.truth WHERE story_no = $1", no
        )
    }
    assert caught["caught"][0] is True
    assert stories == {1: "ring", 2: "careful"}
    assert await play.find(no, "order", 2)


async def test_a_spammer_sees_that_a_post_is_gone(play: Play) -> None:
    await play.until(0.9)
    no = await a_campaign(play, "follow_phishing", "follow_churn")
    await play.do("remove_post", (await play.find(no, "post"))[-1])

    await play.until(12)

    assert (await play.campaigns())[no]["caught"][0] is True


async def test_nobody_else_learns_anything_from_it(play: Play) -> None:
    await play.until(0.2)
    no = await a_campaign(play, "self_dealing", "ring")
    await cancel_an_order(play, no)

    await play.until(24)

    others = [row for key, row in (await play.campaigns()).items() if key != no and row["caught"]]
    assert len(others) > 10
    assert not any(any(row["caught"]) for row in others)


async def test_an_order_that_is_held_and_released_again_before_the_look_is_no_news(
    play: Play,
) -> None:
    await play.until(0.2)
    no = await a_campaign(play, "self_dealing", "ring")
    order_id = (await play.find(no, "order"))[0]
    await play.do("hold", order_id)
    await play.do("release", order_id)

    await play.until(8)

    assert (await play.campaigns())[no]["caught"][0] is False


async def test_what_the_story_itself_suspended_is_no_news(play: Play) -> None:
    await play.until(8)
    no = await a_campaign(play, "returning", "same_device")
    old = await play.market.fetchval(
        "SELECT count(*) FROM market.accounts a JOIN playground.truth t ON t.subject_id = account_id "
        "WHERE t.story_no = $1 AND a.status = 'suspended'",
        no,
    )

    assert old == 1
    assert (await play.campaigns())[no]["caught"][0] is False


async def test_a_suspended_fraudster_who_returns_is_on_the_old_bank_account(play: Play) -> None:
    """What `banned_link` can find: the new seller's payout account is the suspended one's."""
    await play.until(0.2)
    no = await a_campaign(play, "self_dealing", "ring")
    seller = await play.market.fetchval(
        "SELECT seller_id FROM market.orders WHERE order_id = $1", (await play.find(no, "order"))[0]
    )
    await play.do("suspend", seller)

    await play.until(30)

    payouts = await play.market.fetch(
        "SELECT payout_account_hash, status FROM market.accounts "
        "WHERE is_seller AND account_id = ANY ($1) ORDER BY created_at",
        [*await play.find(no, "account", 1), *await play.find(no, "account", 2)],
    )
    assert [row["status"] for row in payouts][:2] == ["suspended", "active"]
    assert payouts[0]["payout_account_hash"] == payouts[1]["payout_account_hash"]


async def test_who_is_caught_three_times_gives_up(play: Play) -> None:
    await play.until(0.2)
    no = await a_campaign(play, "self_dealing", "ring")
    for hour in range(1, 90):
        await play.until(hour)
        for round_no in (1, 2, 3):
            for order_id in await play.find(no, "order", round_no):
                state = await play.market.fetchrow(
                    "SELECT status, held_at FROM market.orders WHERE order_id = $1", order_id
                )
                if state["status"] == "paid" and state["held_at"] is None:
                    await play.do("hold", order_id)

    row = (await play.campaigns())[no]
    assert (row["ended"], row["wakes_at"], row["caught"]) == ("gave_up", None, [True] * 3)


# ---- repeatable


async def _interfere(play: Play) -> None:
    """The same steps taken at the same times of the market."""
    await play.until(0.2)
    await cancel_an_order(play, await a_campaign(play, "self_dealing", "ring"))
    await play.until(1)
    await suspend_a_buyer(play, await a_campaign(play, "stolen_cards", "card_burst"))
    await play.until(2)
    await suspend_a_buyer(play, await a_campaign(play, "returning", "same_device"))


async def _start_over(market: Any) -> None:
    await market.execute("DROP SCHEMA feed CASCADE; DROP SCHEMA playground CASCADE")
    for relation in RELATIONS:
        await market.execute(f"DELETE FROM market.{relation}")
    await market.execute("DELETE FROM backoffice.effects; DELETE FROM backoffice.hidden_listings")


async def test_the_same_seed_and_outcomes_give_the_same_rows_however_often_the_player_is_killed(
    start_play: Callable[..., Play], market: Any
) -> None:
    at_once = start_play()
    await _interfere(at_once)
    await at_once.until(30)
    expected = await at_once.everything()
    await at_once.restart()
    await _start_over(market)

    killed = start_play()
    await _interfere(killed)
    for hour in (2.01, 3.3, 7, 7.5, 11.1, 18, 24.6, 30):
        await killed.restart()
        await killed.until(hour, step=0.7)

    assert await killed.everything() == expected
    rounds = await market.fetch("SELECT DISTINCT round FROM playground.truth WHERE round > 1")
    assert len(rounds) >= 1


async def test_other_outcomes_give_other_rows(start_play: Callable[..., Play], market: Any) -> None:
    untouched = start_play()
    await untouched.until(20)
    before = await untouched.everything()
    await untouched.restart()
    await _start_over(market)

    touched = start_play()
    await _interfere(touched)
    await touched.until(20)

    assert (await touched.everything())["playground.truth"] != before["playground.truth"]


async def test_a_step_that_dies_leaves_nothing_of_a_wave_behind(play: Play) -> None:
    await play.until(0.2)
    before = await play.everything()

    await play.die_before(6)

    assert await play.everything() == before
    await play.until(6)
    assert len((await play.everything())["playground.truth"]) > len(before["playground.truth"])


async def test_everything_that_is_written_of_a_campaign_is_played(play: Play) -> None:
    """No row comes too late to be shown, in whatever steps."""
    await play.until(40, step=0.7)

    for relation, at in (
        ("accounts", "created_at"),
        ("orders", "ordered_at"),
        ("payment_attempts", "attempted_at"),
        ("follow_events", "occurred_at"),
        ("posts", "created_at"),
        ("listings", "created_at"),
        ("inquiries", "created_at"),
        ("refunds", "created_at"),
        ("account_events", "occurred_at"),
    ):
        missing = await play.market.fetchval(
            f"SELECT (SELECT count(*) FROM feed.{relation} WHERE {at} <= $1) "
            f"     - (SELECT count(*) FROM market.{relation})",
            play.now,
        )
        assert missing == 0, relation


# ---- what stays out


async def test_stopped_orders_neither_ship_nor_pay_out_and_are_not_charged_back(
    play: Play,
) -> None:
    await play.until(0.9)
    stopped = []
    for no, row in (await play.campaigns()).items():
        if row["kind"] in {"self_dealing", "stolen_cards"}:
            stopped += await play.find(no, "order")
    for order_id in stopped[::2]:
        await play.do("cancel", order_id)
    for order_id in stopped[1::2]:
        await play.do("hold", order_id)

    await play.until(10 * 24)

    rows = await play.market.fetch(
        "SELECT o.order_id, o.shipped_at, f.paid_out, c.order_id AS back FROM market.orders o "
        "JOIN feed.orders f USING (order_id) LEFT JOIN market.chargebacks c USING (order_id) "
        "WHERE o.order_id = ANY ($1)",
        stopped,
    )
    assert len(rows) >= 10
    assert not [row for row in rows if row["shipped_at"] or row["paid_out"]]
    # A hold alone gives no money back, so the card's owner still asks for it.
    back = {row["order_id"] for row in rows if row["back"]}
    assert back
    assert back <= set(stopped[1::2])


async def test_a_suspended_account_does_nothing_more_and_is_refunded_nothing(play: Play) -> None:
    await play.until(-0.5)
    no = await a_campaign(play, "refund_abuse", "not_arrived")
    account, *_ = await play.find(no, "account")
    await play.do("suspend", account)
    suspended_at = play.now

    await play.until(48)

    orders = await play.market.fetch(
        "SELECT ordered_at, r.refund_id FROM market.orders o LEFT JOIN market.refunds r USING (order_id) "
        "WHERE buyer_id = $1",
        account,
    )
    assert orders
    assert not [row for row in orders if row["ordered_at"] > suspended_at or row["refund_id"]]


async def test_the_reader_of_the_market_sees_nothing_of_the_playground(
    play: Play, market_reader_dsn: str
) -> None:
    await play.until(0.2)
    tables = await play.market.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname IN ('playground', 'feed', 'backoffice')"
    )
    reader = await asyncpg.connect(market_reader_dsn)
    try:
        assert await reader.fetchval("SELECT count(*) FROM market.orders") > 100
        assert {"playground.truth", "playground.campaigns"} <= {row["name"] for row in tables}
        for row in tables:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch(f"SELECT * FROM {row['name']}")
    finally:
        await reader.close()


async def test_nothing_that_the_reader_sees_names_a_campaign(play: Play) -> None:
    await play.until(12)
    reveals: list[str] = [*(await play.campaigns())]
    told = await play.everything()
    shown: Iterable[str] = (
        row for table, rows in told.items() if table.startswith("market.") for row in rows
    )

    assert not [row for row in shown if any(no in row for no in reveals)]
