from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.outcomes import OutcomeKind
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.playground.market.faults import Fault, Faults
from tests.playground.market.conftest import Shop
from tests.playground.market.test_server import CHANGE, REFUND, get, post

KEY = "a-key-of-a-test"


async def switch(shop: Shop, body: Any, **headers: str) -> tuple[int, Any]:
    async with shop.session.post(
        f"{shop.url}/playground/faults",
        data=body if isinstance(body, bytes) else json.dumps(body),
        headers={"Content-Type": "application/json", **headers},
    ) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if answer.status == 200 else text


def test_chance_is_repeatable_by_its_seed() -> None:
    def draws(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.switch_on(Fault.TOO_MANY, probability=0.5)
        return [faults.strike("hold", frozenset(Fault)) is not None for _ in range(200)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert 60 < sum(draws(1)) < 140


def test_a_counted_fault_strikes_its_verb_so_often_and_no_other() -> None:
    faults = Faults()
    faults.switch_on(Fault.TOO_MANY, verb="hold", times=2)
    struck = [
        faults.strike(verb, frozenset(Fault)) is not None
        for verb in ("cancel", "hold", "hold", "hold")
    ]
    assert struck == [False, True, True, False]


async def test_a_pending_operation_completes_though_nobody_asks(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.PENDING, times=1, seconds=60)
    assert (await post(shop, "hold", "O-1", key=KEY))[0] == 202
    await asyncio.sleep(0.5)
    assert await shop.market.effects() == []
    assert (await post(shop, "hold", "O-1", key=KEY))[0] == 202
    shop.clock.time += timedelta(seconds=60)
    async with asyncio.timeout(5):
        while not await shop.market.effects():
            await asyncio.sleep(0.05)
    assert (await post(shop, "hold", "O-1", key=KEY))[0] == 200
    assert len(await shop.market.effects()) == 1


async def test_a_pending_operation_may_wait_until_it_is_told(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.PENDING, times=1, seconds=None)
    await post(shop, "hold", "O-1", key=KEY)
    shop.clock.time += timedelta(days=365)
    await asyncio.sleep(0.5)
    _, operation = await get(shop, f"operations/{KEY}")
    assert operation["state"] == "pending"
    await shop.market.complete(KEY)
    await shop.market.complete(KEY)
    _, operation = await get(shop, f"operations/{KEY}")
    assert operation["state"] == "succeeded"
    assert len(await shop.market.effects()) == 1


async def test_a_pending_operation_fails_when_the_state_forbids_it_by_then(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.PENDING, times=1, seconds=None)
    await post(shop, "hold", "O-1", key=KEY)
    await post(shop, "cancel", "O-1")
    await shop.market.complete(KEY)
    found = await shop.api.lookup(KEY)
    assert found is not None
    assert (found.kind, found.code) == (OutcomeKind.REFUSED, "already_canceled")


async def test_a_late_execution_comes_after_the_connection_broke(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.LATE, times=1, seconds=0.3)
    sent = await shop.api.send(Verb.HOLD, Subject(SubjectKind.ORDER, "O-1"), key=KEY, body=CHANGE)
    assert sent.kind is OutcomeKind.UNKNOWN
    assert await shop.api.lookup(KEY) is None
    assert await shop.market.effects() == []
    await asyncio.sleep(0.6)
    assert (await post(shop, "hold", "O-1", key=KEY))[0] == 200
    assert len(await shop.market.effects()) == 1


@pytest.mark.parametrize(("declared", "effects"), [("key", 1), ("lookup", 2), ("none", 2)])
async def test_only_a_verb_of_class_key_acts_once_under_a_key(
    shop: Shop, declared: str, effects: int
) -> None:
    shop.market.classes["refund"] = declared
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=0.2)
    await asyncio.gather(*(post(shop, "refund", "O-1", REFUND, key=KEY) for _ in range(2)))
    assert len(await shop.market.effects("O-1")) == effects
    status, _ = await get(shop, f"operations/{KEY}")
    assert status == (404 if declared == "none" else 200)
    _, listed = await get(shop, "operations")
    assert len(listed["operations"]) == (0 if declared == "none" else effects)


async def test_a_key_whose_first_request_is_under_way_must_wait(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=0.4)
    first = asyncio.create_task(post(shop, "hold", "O-1", key=KEY))
    await asyncio.sleep(0.1)
    status, answer = await post(shop, "hold", "O-1", key=KEY)
    assert (status, answer["code"]) == (409, "in_progress")
    assert (await first)[0] == 200
    assert (await post(shop, "hold", "O-1", key=KEY)) == await first


async def test_a_look_up_tells_of_the_effect_though_a_repetition_was_refused(shop: Shop) -> None:
    shop.market.classes["hold"] = "lookup"
    assert (await post(shop, "hold", "O-1", key=KEY))[0] == 200
    assert (await post(shop, "hold", "O-1", key=KEY))[0] == 409
    _, operation = await get(shop, f"operations/{KEY}")
    assert operation["state"] == "succeeded"


async def test_a_step_that_fails_again_can_be_retried_again(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.STEP_FAILS, times=2)
    states = [(await post(shop, "cancel", "O-1", key=KEY))[1]["state"]]
    states += [(await shop.market.retry(KEY))[1]["state"] for _ in range(2)]
    assert states == ["partly_succeeded", "partly_succeeded", "succeeded"]
    assert (await shop.market.retry(KEY))[0] == 409
    assert len(await shop.market.effects()) == 1


async def test_slow_requests_do_not_keep_others_waiting(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.SLOW, verb="hold", times=20, seconds=1)
    slow = [asyncio.create_task(post(shop, "hold", "O-1")) for _ in range(20)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(0.8):
        assert (await post(shop, "cancel", "O-konbini"))[0] == 200
    assert sum(status == 200 for status, _ in await asyncio.gather(*slow)) == 1


async def test_a_colleague_by_hand_meets_no_faults_and_needs_no_offer(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.PENDING, seconds=None)
    shop.market.faults.switch_on(Fault.ERROR_BEFORE)
    del shop.market.classes["hold"]
    async with shop.session.post(
        f"{shop.url}/orders/O-1/by-hand", data={"verb": "hold"}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
    assert len(await shop.market.effects("O-1")) == 1


async def test_faults_and_classes_are_switched_over_http(shop: Shop) -> None:
    faults = [{"fault": "too_many", "verb": "hold", "times": 1, "seconds": 4}]
    status, state = await switch(
        shop, {"faults": faults, "classes": {"refund": "lookup", "warn": "off"}}
    )
    assert status == 200
    assert state["faults"] == [{**faults[0], "probability": 1.0}]
    assert state["classes"]["refund"] == "lookup"
    assert "warn" not in state["classes"]
    sent = await shop.api.send(Verb.HOLD, Subject(SubjectKind.ORDER, "O-1"), key=KEY, body=CHANGE)
    assert (sent.kind, sent.retry_after_s) == (OutcomeKind.NOT_DONE, 4)
    assert Verb.WARN not in await shop.api.capabilities()
    status, state = await switch(shop, {"faults": [], "classes": {"warn": "key"}})
    assert (state["faults"], state["classes"]["warn"]) == ([], "key")


async def test_a_pending_operation_is_completed_over_http(shop: Shop) -> None:
    await switch(shop, {"faults": [{"fault": "pending", "times": 1, "seconds": None}]})
    await post(shop, "hold", "O-1", key=KEY)
    status, _ = await switch(shop, {"complete": [KEY]})
    assert (status, len(await shop.market.effects())) == (200, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        {"surprise": 1},
        {"faults": {}},
        {"faults": [{"fault": "fire"}]},
        {"faults": [{"fault": "slow", "verb": "dance"}]},
        {"faults": [{"fault": "slow", "times": -1}]},
        {"faults": [{"fault": "slow", "times": True}]},
        {"faults": [{"fault": "slow", "probability": 2}]},
        {"faults": [{"fault": "slow", "seconds": -1}]},
        {"faults": [{"fault": "slow", "seconds": None}]},
        {"faults": [{"fault": "slow", "much": 1}]},
        b'{"faults": [{"fault": "slow", "seconds": NaN}]}',
        {"classes": {"dance": "key"}},
        {"classes": {"hold": "maybe"}},
        {"complete": "k"},
    ],
)
async def test_a_misshapen_switch_changes_nothing(shop: Shop, body: Any) -> None:
    shop.market.faults.switch_on(Fault.SLOW, verb="warn")
    before = (list(shop.market.faults.settings), dict(shop.market.classes))
    status, _ = await switch(shop, body)
    assert status == 422
    assert (shop.market.faults.settings, shop.market.classes) == before


async def test_another_sites_page_may_not_switch_anything(shop: Shop) -> None:
    fault = {"faults": [{"fault": "too_many"}]}
    assert (await switch(shop, fault, Origin="https://evil.example"))[0] == 403
    assert (await switch(shop, fault, Origin="null"))[0] == 403
    assert (await switch(shop, fault, Host="evil.example"))[0] == 403
    # What a form of another site can send without asking.
    assert (await switch(shop, fault, **{"Content-Type": "text/plain"}))[0] == 415
    assert shop.market.faults.settings == []
