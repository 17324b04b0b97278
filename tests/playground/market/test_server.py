from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
import yaml

from bot.playground.market.faults import Fault
from tests.playground.market.conftest import Shop

CONTRACT = yaml.safe_load(
    (Path(__file__).parents[3] / "contract" / "market-api.yaml").read_text(encoding="utf-8")
)
CHANGE = {"reason": "Stolen card", "actor": "U0SATO"}
PATHS = {
    "hold": "orders/{}/hold",
    "release": "orders/{}/release",
    "cancel": "orders/{}/cancel",
    "refund": "orders/{}/refunds",
    "suspend": "accounts/{}/suspend",
    "reinstate": "accounts/{}/reinstate",
    "warn": "accounts/{}/warn",
    "remove_follows": "accounts/{}/remove-follows",
    "takedown": "listings/{}/takedown",
    "restore": "listings/{}/restore",
    "remove_post": "posts/{}/remove",
    "restore_post": "posts/{}/restore",
}
REFUND = {**CHANGE, "amount": 1000, "currency": "JPY"}


def matches(schema: str, value: Any) -> None:
    """Raise unless the value is what the contract's schema says."""
    jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": CONTRACT["components"]}
    ).validate(value)


async def post(
    shop: Shop,
    kind: str,
    subject: str,
    body: Any = None,
    *,
    key: str | None = None,
    token: str = "right-token",
) -> tuple[int, Any]:
    async with shop.session.post(
        f"{shop.url}/v1/{PATHS[kind].format(subject)}",
        data=body if isinstance(body, bytes) else json.dumps(CHANGE if body is None else body),
        headers={
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            **({"Idempotency-Key": key or f"key-{uuid4().hex}"} if key != "" else {}),
        },
    ) as answer:
        return answer.status, await answer.json()


async def get(shop: Shop, path: str, **params: str) -> tuple[int, Any]:
    async with shop.session.get(
        f"{shop.url}/v1/{path}", params=params, headers={"Authorization": "Bearer right-token"}
    ) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("before", "kind", "subject", "body", "status", "code"),
    [
        ([], "hold", "O-1", CHANGE, 200, None),
        ([("hold", "O-1")], "hold", "O-1", CHANGE, 409, "already_held"),
        ([], "hold", "O-shipped", CHANGE, 409, "already_shipped"),
        ([("cancel", "O-1")], "hold", "O-1", CHANGE, 409, "already_canceled"),
        ([("hold", "O-1")], "release", "O-1", CHANGE, 200, None),
        ([], "release", "O-1", CHANGE, 409, "not_held"),
        ([], "cancel", "O-1", CHANGE, 200, None),
        ([("hold", "O-1")], "cancel", "O-1", CHANGE, 200, None),
        ([], "cancel", "O-unpaid", CHANGE, 200, None),
        ([("cancel", "O-1")], "cancel", "O-1", CHANGE, 409, "already_canceled"),
        ([], "cancel", "O-shipped", CHANGE, 409, "already_shipped"),
        ([], "refund", "O-shipped", REFUND, 200, None),
        ([], "refund", "O-1", {**REFUND, "amount": 9201}, 409, "amount_exceeds_paid"),
        ([], "refund", "O-1", {**REFUND, "currency": "EUR"}, 409, "currency_mismatch"),
        ([("cancel", "O-1")], "refund", "O-1", REFUND, 409, "already_refunded"),
        ([], "refund", "O-unpaid", REFUND, 409, "not_paid"),
        ([], "refund", "O-konbini", REFUND, 409, "needs_bank_transfer"),
        ([], "refund", "O-konbini", {**REFUND, "route": "external"}, 200, None),
        ([], "suspend", "s-1", CHANGE, 200, None),
        ([("suspend", "s-1")], "suspend", "s-1", CHANGE, 409, "already_suspended"),
        ([], "suspend", "closed-1", CHANGE, 409, "account_closed"),
        ([("suspend", "s-1")], "reinstate", "s-1", CHANGE, 200, None),
        ([], "reinstate", "s-1", CHANGE, 409, "not_suspended"),
        ([], "warn", "b-1", {**CHANGE, "template": "spam_warning"}, 200, None),
        ([], "warn", "b-1", {**CHANGE, "template": "nonsense"}, 422, "invalid_field"),
        ([], "takedown", "L-1", CHANGE, 200, None),
        ([], "takedown", "L-gone", CHANGE, 409, "already_removed"),
        ([("takedown", "L-1")], "restore", "L-1", CHANGE, 200, None),
        ([], "restore", "L-1", CHANGE, 409, "not_removed"),
        ([], "remove_post", "P-1", CHANGE, 200, None),
        ([("remove_post", "P-1")], "remove_post", "P-1", CHANGE, 409, "already_removed"),
        ([("remove_post", "P-1")], "restore_post", "P-1", CHANGE, 200, None),
        (
            [],
            "remove_follows",
            "b-1",
            {**CHANGE, "since": "2026-11-01T00:00:00Z"},
            200,
            None,
        ),
        (
            [],
            "remove_follows",
            "b-1",
            {**CHANGE, "since": "2026-11-23T00:00:00Z"},
            409,
            "nothing_to_remove",
        ),
        ([], "cancel", "O-nowhere", CHANGE, 404, "not_found"),
        ([], "suspend", "nobody", CHANGE, 404, "not_found"),
    ],
)
async def test_each_verb_does_what_it_may_and_says_why_it_may_not(
    shop: Shop,
    before: list[tuple[str, str]],
    kind: str,
    subject: str,
    body: dict[str, Any],
    status: int,
    code: str | None,
) -> None:
    for verb, of in before:
        assert (await post(shop, verb, of))[0] == 200
    effects = len(await shop.market.effects())
    got, answer = await post(shop, kind, subject, body)
    assert (got, answer.get("code")) == (status, code)
    matches("Problem" if code else "Operation", answer)
    assert len(await shop.market.effects()) == effects + (0 if code else 1)


@pytest.mark.parametrize(
    ("order", "policy", "refunded", "withheld"),
    [
        ("O-1", "normal", 9200, 0),
        ("O-1", "withhold", 9200, 0),
        ("O-konbini", "normal", 0, 9200),
        ("O-konbini", "withhold", 0, 9200),
        ("O-unpaid", "withhold", 0, 0),
    ],
)
async def test_withheld_money_goes_nowhere_but_back_to_a_card(
    shop: Shop, order: str, policy: str, refunded: int, withheld: int
) -> None:
    _, plan = await get(shop, f"orders/{order}/plan", kind="cancel", refund_policy=policy)
    matches("Plan", plan)
    assert (plan["refund_amount"], plan["withheld_amount"]) == (refunded, withheld)
    names = [step["name"] for step in plan["steps"]]
    assert ("restore_points" in names) == (policy == "normal")
    await post(shop, "cancel", order, {**CHANGE, "refund_policy": policy})
    rows = await shop.market.pool.fetch("SELECT amount, route FROM market.refunds")
    assert [tuple(row) for row in rows] == ([(refunded, "original")] if refunded else [])


async def test_the_same_key_with_the_same_body_acts_once(shop: Shop) -> None:
    first = await post(shop, "refund", "O-1", REFUND, key="the-same-key")
    again = await post(shop, "refund", "O-1", REFUND, key="the-same-key")
    assert first == again
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_stored_refusal_is_replayed_even_when_it_would_succeed_now(shop: Shop) -> None:
    assert (await post(shop, "release", "O-1", key="early-bird"))[0] == 409
    await post(shop, "hold", "O-1")
    assert (await post(shop, "release", "O-1", key="early-bird"))[0] == 409


async def test_the_same_key_with_another_body_is_refused(shop: Shop) -> None:
    await post(shop, "refund", "O-1", REFUND, key="the-same-key")
    status, answer = await post(shop, "refund", "O-1", {**REFUND, "amount": 2}, key="the-same-key")
    assert (status, answer["code"]) == (422, "idempotency_mismatch")
    status, answer = await post(shop, "hold", "O-1", key="the-same-key")
    assert (status, answer["code"]) == (422, "idempotency_mismatch")


async def test_twenty_at_once_under_one_key_act_once(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=0.1)
    answers = await asyncio.gather(
        *(post(shop, "refund", "O-1", REFUND, key="the-same-key") for _ in range(20))
    )
    assert {status for status, _ in answers} <= {200, 409}
    assert all(answer["code"] == "in_progress" for status, answer in answers if status == 409)
    assert len(await shop.market.effects("O-1")) == 1


async def test_refunds_never_exceed_what_was_paid_however_many_come(shop: Shop) -> None:
    await asyncio.gather(
        *(post(shop, "refund", "O-1", {**REFUND, "amount": 1000}) for _ in range(15))
    )
    total = await shop.market.pool.fetchval("SELECT sum(amount) FROM market.refunds")
    assert total == 9000


async def test_a_plan_token_stops_what_has_changed_since(shop: Shop) -> None:
    _, plan = await get(shop, "orders/O-1/plan", kind="cancel", refund_policy="withhold")
    _, same = await get(shop, "orders/O-1/plan", kind="cancel", refund_policy="withhold")
    assert plan["plan_token"] == same["plan_token"]
    await post(shop, "refund", "O-1", REFUND)
    body = {**CHANGE, "refund_policy": "withhold", "plan_token": plan["plan_token"]}
    status, answer = await post(shop, "cancel", "O-1", body)
    assert (status, answer["code"]) == (409, "state_changed")
    _, fresh = await get(shop, "orders/O-1/plan", kind="cancel", refund_policy="withhold")
    status, _ = await post(shop, "cancel", "O-1", {**body, "plan_token": fresh["plan_token"]})
    assert status == 200


async def test_a_token_of_another_policy_does_not_fit(shop: Shop) -> None:
    _, plan = await get(shop, "orders/O-konbini/plan", kind="cancel", refund_policy="normal")
    body = {**CHANGE, "refund_policy": "withhold", "plan_token": plan["plan_token"]}
    assert (await post(shop, "cancel", "O-konbini", body))[0] == 409


async def test_suspending_hides_listings_and_reinstating_shows_those_again(shop: Shop) -> None:
    _, plan = await get(shop, "accounts/s-1/plan", kind="suspend")
    assert {one["id"] for one in plan["affects"]} >= {"O-1", "O-konbini"}
    await post(shop, "suspend", "s-1")
    status = "SELECT listing_id, status FROM market.listings ORDER BY 1"
    assert dict(await shop.market.pool.fetch(status)) == {"L-1": "hidden", "L-gone": "removed"}
    await post(shop, "reinstate", "s-1")
    assert dict(await shop.market.pool.fetch(status)) == {"L-1": "active", "L-gone": "removed"}


async def test_an_operation_says_what_it_changed(shop: Shop) -> None:
    _, answer = await post(shop, "hold", "O-1")
    assert answer["before"] == {"held_at": None}
    assert answer["after"] == {"held_at": shop.clock.now().isoformat()}


async def test_a_pending_operation_is_carried_out_when_its_time_has_come(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.PENDING, times=1, seconds=60)
    status, answer = await post(shop, "cancel", "O-1", key="slow-and-steady")
    matches("Operation", answer)
    assert (status, answer["state"]) == (202, "pending")
    assert await shop.market.effects() == []
    shop.clock.time += timedelta(seconds=60)
    _, later = await get(shop, "operations/slow-and-steady")
    assert later["state"] == "succeeded"
    assert len(await shop.market.effects()) == 1


async def test_a_failed_step_is_retried_alone(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.STEP_FAILS, times=1)
    _, answer = await post(shop, "cancel", "O-1", key="half-done-it-is")
    matches("Operation", answer)
    assert answer["state"] == "partly_succeeded"
    async with shop.session.post(
        f"{shop.url}/v1/operations/half-done-it-is/retry",
        headers={"Authorization": "Bearer right-token"},
    ) as again:
        assert (await again.json())["state"] == "succeeded"
    assert len(await shop.market.effects()) == 1


async def test_operations_are_listed_page_by_page_in_order(shop: Shop) -> None:
    for n in range(103):
        await post(shop, "release" if n % 2 else "hold", "O-1", key=f"key-number-{n:03}")
    _, first = await get(shop, "operations")
    _, second = await get(shop, "operations", cursor=first["next_cursor"])
    keys = [one["idempotency_key"] for one in first["operations"] + second["operations"]]
    assert keys == [f"key-number-{n:03}" for n in range(103)]
    assert "next_cursor" not in second


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"[" * 100_000,
        b"\xff",
        {},
        {"reason": "x"},
        {**CHANGE, "reason": 3},
        {**CHANGE, "reason": "\x00"},
        {**CHANGE, "surprise": 1},
        {**CHANGE, "amount": True, "currency": "JPY"},
        {**CHANGE, "amount": 0, "currency": "JPY"},
        {**CHANGE, "amount": 2**70, "currency": "JPY"},
        {**CHANGE, "amount": 1.5, "currency": "JPY"},
    ],
)
async def test_a_malformed_body_is_refused_with_a_code(shop: Shop, body: Any) -> None:
    status, answer = await post(shop, "refund", "O-1", body)
    assert status in {400, 413, 422}
    matches("Problem", answer)
    assert await shop.market.effects() == []


@pytest.mark.parametrize("key", ["", "short", "x" * 129])
async def test_a_key_that_is_missing_or_misshapen_is_refused(shop: Shop, key: str) -> None:
    status, answer = await post(shop, "hold", "O-1", key=key)
    assert (status, answer["code"]) == (400, "invalid_idempotency_key")


async def test_a_wrong_token_is_refused(shop: Shop) -> None:
    assert (await post(shop, "hold", "O-1", token="wrong"))[0] == 401


async def test_a_verb_that_is_not_offered_is_not_there(shop: Shop) -> None:
    del shop.market.classes["takedown"]
    _, offered = await get(shop, "capabilities")
    matches("Capabilities", offered)
    assert "takedown" not in {one["kind"] for one in offered["kinds"]}
    assert (await post(shop, "takedown", "L-1"))[0] == 404
