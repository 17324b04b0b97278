from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.playground.market.conftest import Shop
from tests.playground.market.stage import add_account, add_listing, add_order
from tests.playground.market.test_server import CHANGE, REFUND, get, matches, post


async def listing_status(shop: Shop) -> Any:
    return await shop.market.pool.fetchval(
        "SELECT status FROM market.listings WHERE listing_id = 'L-1'"
    )


async def test_what_was_never_paid_is_not_given_back_even_after_a_cancellation(shop: Shop) -> None:
    assert (await post(shop, "cancel", "O-unpaid"))[0] == 200
    status, answer = await post(shop, "refund", "O-unpaid", REFUND)
    assert (status, answer["code"]) == (409, "not_paid")
    assert await shop.market.pool.fetchval("SELECT count(*) FROM market.refunds") == 0


@pytest.mark.parametrize(
    ("method", "policy", "refunded", "route"),
    [
        ("card", "normal", 9200, "card"),
        ("card", "withhold", 9200, "card"),
        ("wallet", "normal", 9200, "wallet"),
        ("wallet", "withhold", 0, "none"),
        ("carrier", "normal", 9200, "carrier"),
        ("carrier", "withhold", 0, "none"),
        ("points", "normal", 9200, "points"),
        ("points", "withhold", 0, "none"),
        ("konbini", "normal", 0, "bank_transfer"),
        ("konbini", "withhold", 0, "none"),
        ("bank_transfer", "normal", 0, "bank_transfer"),
        ("bank_transfer", "withhold", 0, "none"),
    ],
)
async def test_each_way_of_paying_goes_back_its_own_way_or_is_kept(
    shop: Shop, method: str, policy: str, refunded: int, route: str
) -> None:
    await add_order(shop.market.pool, "O-paid", payment_method=method)
    _, plan = await get(shop, "orders/O-paid/plan", kind="cancel", refund_policy=policy)
    matches("Plan", plan)
    assert (plan["refund_amount"], plan["withheld_amount"]) == (refunded, 9200 - refunded)
    assert plan["refund_route"] == route
    body = {**CHANGE, "refund_policy": policy, "plan_token": plan["plan_token"]}
    assert (await post(shop, "cancel", "O-paid", body))[0] == 200
    rows = await shop.market.pool.fetch("SELECT amount, currency, route FROM market.refunds")
    assert [tuple(row) for row in rows] == ([(refunded, "JPY", "original")] if refunded else [])
    effects = await shop.market.effects("O-paid")
    assert [one["amount"] for one in effects] == [refunded]


@pytest.mark.parametrize(("state", "left"), [("failed", 9200), ("pending", 8200)])
async def test_a_refund_that_failed_gave_nothing_back_and_one_under_way_did(
    shop: Shop, state: str, left: int
) -> None:
    await shop.market.pool.execute(
        """INSERT INTO market.refunds VALUES
             ('R', 'O-1', 1000, 'JPY', 'original', $1, NULL, now(), now())""",
        state,
    )
    _, plan = await get(shop, "orders/O-1/plan", kind="cancel")
    assert plan["refund_amount"] == left


async def test_withheld_money_can_be_given_back_by_a_later_decision(shop: Shop) -> None:
    await post(shop, "cancel", "O-konbini", {**CHANGE, "refund_policy": "withhold"})
    body = {**REFUND, "amount": 9200, "route": "external", "external_reference": "振込-1"}
    assert (await post(shop, "refund", "O-konbini", body))[0] == 200
    status, answer = await post(shop, "refund", "O-konbini", {**body, "amount": 1})
    assert (status, answer["code"]) == (409, "already_refunded")
    row = await shop.market.pool.fetchrow("SELECT * FROM market.refunds")
    assert (row["amount"], row["route"], row["external_reference"]) == (9200, "external", "振込-1")


async def test_withheld_money_is_not_lost_where_no_time_of_payment_is_recorded(shop: Shop) -> None:
    await add_order(shop.market.pool, "O-untimed", paid_at=None, payment_method="konbini")
    await post(shop, "cancel", "O-untimed", {**CHANGE, "refund_policy": "withhold"})
    body = {**REFUND, "amount": 9200, "route": "external"}
    assert (await post(shop, "refund", "O-untimed", body))[0] == 200


async def test_a_refund_that_no_provider_can_make_is_planned_as_a_bank_transfer(shop: Shop) -> None:
    _, plan = await get(shop, "orders/O-konbini/plan", kind="refund", amount="1000")
    matches("Plan", plan)
    assert (plan["allowed"], plan["refund_route"]) == (True, "bank_transfer")
    assert plan["refund_amount"] == 0
    body = {**REFUND, "plan_token": plan["plan_token"]}
    status, answer = await post(shop, "refund", "O-konbini", body)
    assert (status, answer["code"]) == (409, "needs_bank_transfer")
    status, _ = await post(shop, "refund", "O-konbini", {**body, "route": "external"})
    assert status == 200


async def test_the_token_of_a_refund_to_the_card_does_not_fit_a_bank_transfer(shop: Shop) -> None:
    _, plan = await get(shop, "orders/O-1/plan", kind="refund", amount="1000")
    body = {**REFUND, "route": "external", "plan_token": plan["plan_token"]}
    status, answer = await post(shop, "refund", "O-1", body)
    assert (status, answer["code"]) == (409, "state_changed")


@pytest.mark.parametrize(
    ("kind", "subject", "change"),
    [
        ("hold", "orders/O-1", "UPDATE market.orders SET held_at = now() WHERE order_id = 'O-1'"),
        ("cancel", "orders/O-1", "UPDATE market.orders SET held_at = now() WHERE order_id = 'O-1'"),
        ("cancel", "orders/O-1", "UPDATE market.orders SET shipped_at = now()"),
        ("cancel", "orders/O-1", "UPDATE market.orders SET discount_amount = 0"),
        ("cancel", "orders/O-1", "UPDATE market.orders SET currency = 'USD'"),
        ("cancel", "orders/O-1", "UPDATE market.orders SET payment_method = 'konbini'"),
        (
            "refund",
            "orders/O-1",
            """INSERT INTO market.refunds VALUES
                 ('R', 'O-1', 1, 'JPY', 'original', 'succeeded', NULL, now(), now())""",
        ),
        ("suspend", "accounts/s-1", "UPDATE market.accounts SET status = 'closed'"),
        ("restore", "listings/L-gone", "UPDATE market.accounts SET status = 'suspended'"),
        ("takedown", "listings/L-1", "UPDATE market.listings SET status = 'hidden'"),
        (
            "remove_follows",
            "accounts/b-1",
            "INSERT INTO market.follow_events VALUES ('F-2', 'b-1', 'x', 'follow', now())",
        ),
        ("remove_post", "posts/P-1", "DELETE FROM market.posts"),
    ],
)
async def test_a_plan_token_moves_with_whatever_moves_the_effect(
    shop: Shop, kind: str, subject: str, change: str
) -> None:
    _, before = await get(shop, f"{subject}/plan", kind=kind)
    _, same = await get(shop, f"{subject}/plan", kind=kind)
    await shop.market.pool.execute(change)
    _, after = await get(shop, f"{subject}/plan", kind=kind)
    assert before["plan_token"] == same["plan_token"]
    assert before["plan_token"] != after.get("plan_token")


async def test_a_plan_token_stays_when_nothing_that_matters_moves(shop: Shop) -> None:
    _, before = await get(shop, "orders/O-1/plan", kind="cancel")
    shop.clock.time = shop.clock.time.replace(hour=9)
    await shop.market.pool.execute("UPDATE market.orders SET updated_at = now(), ship_name = 'x'")
    await post(shop, "hold", "O-konbini")
    _, after = await get(shop, "orders/O-1/plan", kind="cancel")
    assert before == after


async def test_the_token_of_removing_follows_fits_whatever_time_is_chosen(shop: Shop) -> None:
    _, plan = await get(shop, "accounts/b-1/plan", kind="remove_follows")
    body = {**CHANGE, "since": "2026-11-01T00:00:00Z", "plan_token": plan["plan_token"]}
    assert (await post(shop, "remove_follows", "b-1", body))[0] == 200
    kinds = await shop.market.pool.fetch("SELECT kind, followee_id FROM market.follow_events")
    assert [tuple(row) for row in kinds] == [("follow", "s-1"), ("unfollow", "s-1")]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("hold", "orders/O-1"),
        ("release", "orders/O-1"),
        ("cancel", "orders/O-1"),
        ("refund", "orders/O-1"),
        ("suspend", "accounts/s-1"),
        ("reinstate", "accounts/s-1"),
        ("warn", "accounts/s-1"),
        ("remove_follows", "accounts/b-1"),
        ("takedown", "listings/L-1"),
        ("restore", "listings/L-gone"),
        ("remove_post", "posts/P-1"),
        ("restore_post", "posts/P-1"),
    ],
)
async def test_every_verb_has_a_plan_as_the_contract_says_and_it_does_nothing(
    shop: Shop, kind: str, subject: str
) -> None:
    status, plan = await get(shop, f"{subject}/plan", kind=kind)
    assert status == 200
    matches("Plan", plan)
    assert plan["steps"]
    assert plan["allowed"] is ("refusal" not in plan)
    assert await shop.market.effects() == []


async def test_a_suspension_names_the_open_orders_of_honest_buyers_only(shop: Shop) -> None:
    await add_account(shop.market.pool, "b-bad", status="suspended")
    await add_order(shop.market.pool, "O-bad", buyer_id="b-bad")
    _, plan = await get(shop, "accounts/s-1/plan", kind="suspend")
    assert [one["id"] for one in plan["affects"]] == ["O-1", "O-konbini", "O-unpaid"]


async def test_nobody_voids_the_plan_of_their_own_suspension_by_trading_on(shop: Shop) -> None:
    for n in range(60):
        await add_order(shop.market.pool, f"O-many-{n:02}")
    _, before = await get(shop, "accounts/s-1/plan", kind="suspend")
    await add_order(shop.market.pool, "O-very-last")
    await post(shop, "cancel", "O-1")
    await shop.market.pool.execute("UPDATE market.listings SET status = 'sold'")
    _, after = await get(shop, "accounts/s-1/plan", kind="suspend")
    assert len(before["affects"]) == 50
    assert before["plan_token"] == after["plan_token"]
    status, _ = await post(shop, "suspend", "s-1", {**CHANGE, "plan_token": before["plan_token"]})
    assert status == 200


async def test_a_listing_taken_down_during_a_suspension_comes_back_on_sale(shop: Shop) -> None:
    for verb, subject in (("suspend", "s-1"), ("takedown", "L-1"), ("reinstate", "s-1")):
        assert (await post(shop, verb, subject))[0] == 200
    assert await listing_status(shop) == "removed"
    await post(shop, "restore", "L-1")
    assert await listing_status(shop) == "active"


async def test_a_listing_restored_during_a_suspension_waits_for_its_end(shop: Shop) -> None:
    for verb, subject in (("takedown", "L-1"), ("suspend", "s-1"), ("restore", "L-1")):
        assert (await post(shop, verb, subject))[0] == 200
    assert await listing_status(shop) == "hidden"
    await post(shop, "reinstate", "s-1")
    assert await listing_status(shop) == "active"


async def test_a_listing_that_was_sold_during_a_suspension_is_not_on_sale_after_it(
    shop: Shop,
) -> None:
    await post(shop, "suspend", "s-1")
    await shop.market.pool.execute("UPDATE market.listings SET status = 'sold'")
    await post(shop, "reinstate", "s-1")
    assert await listing_status(shop) == "sold"


async def test_a_listing_that_its_seller_hid_stays_hidden(shop: Shop) -> None:
    await add_listing(shop.market.pool, "L-own", status="hidden")
    for verb, subject in (("suspend", "s-1"), ("reinstate", "s-1")):
        await post(shop, verb, subject)
    for verb in ("takedown", "restore"):
        assert (await post(shop, verb, "L-own"))[0] == 200
    status = await shop.market.pool.fetchval(
        "SELECT status FROM market.listings WHERE listing_id = 'L-own'"
    )
    assert status == "hidden"


@pytest.mark.parametrize(
    ("kind", "subject", "prepare"),
    [
        ("hold", "O-1", None),
        ("release", "O-1", ("hold", "O-1")),
        ("cancel", "O-1", None),
        ("suspend", "s-1", None),
        ("takedown", "L-1", None),
        ("remove_post", "P-1", None),
        ("restore_post", "P-1", ("remove_post", "P-1")),
    ],
)
async def test_many_callers_with_keys_of_their_own_make_one_effect(
    shop: Shop, kind: str, subject: str, prepare: tuple[str, str] | None
) -> None:
    if prepare is not None:
        await post(shop, *prepare)
    answers = await asyncio.gather(*(post(shop, kind, subject) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200] + [409] * 7
    effects = [one for one in await shop.market.effects(subject) if one["kind"] == kind]
    assert len(effects) == 1


async def test_a_hidden_post_comes_back_as_it_was(shop: Shop) -> None:
    before = dict(await shop.market.pool.fetchrow("SELECT * FROM market.posts"))
    await post(shop, "remove_post", "P-1")
    assert await shop.market.pool.fetchrow("SELECT * FROM market.posts") is None
    await post(shop, "restore_post", "P-1")
    assert dict(await shop.market.pool.fetchrow("SELECT * FROM market.posts")) == before


async def test_an_order_is_changed_as_the_contract_tells_it(shop: Shop) -> None:
    await post(shop, "hold", "O-1")
    shop.clock.time = shop.clock.time.replace(hour=9)
    await post(shop, "cancel", "O-1", {**CHANGE, "notify_buyer": False})
    row = await shop.market.pool.fetchrow("SELECT * FROM market.orders WHERE order_id = 'O-1'")
    now = shop.clock.now()
    assert (row["status"], row["held_at"]) == ("canceled", None)
    assert (row["canceled_at"], row["updated_at"]) == (now, now)
    _, done = await get(shop, "operations")
    steps = {step["name"]: step["state"] for step in done["operations"][-1]["steps"]}
    assert (steps["notify_buyer"], steps["notify_seller"]) == ("skipped", "done")
