"""The contract test passes what keeps the contract, and names each way of breaking it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from bot.domain.subjects import SubjectKind
from bot.market.contract_test import CheckResult, Given, Standing
from bot.market.contract_test_api import ContractTest
from bot.market.contract_test_map import MapTest
from bot.market.verb_map_file import read_verb_map
from bot.playground.market.faults import DISOBEDIENCE, Fault
from tests.market.old_shop import SECRET, OldShop, json_answer, map_text, serve_old_shop
from tests.playground.market.conftest import Shop, shop

__all__ = ["shop"]

ALL = {
    SubjectKind.ORDER: ("O-1", "O-konbini"),
    SubjectKind.ACCOUNT: ("b-1",),
    SubjectKind.LISTING: ("L-1",),
    SubjectKind.POST: ("P-1",),
}
OLD = {SubjectKind.ORDER: ("A-1", "A-2")}


async def tried(
    shop: Shop,
    *,
    write: bool = True,
    token: str = "right-token",
    subjects: Mapping[SubjectKind, tuple[str, ...]] = ALL,
    patience_s: float = 60,
) -> dict[str, CheckResult]:
    given = Given(subjects=subjects, write=write, patience_s=patience_s)
    test = ContractTest(shop.session, shop.url, token, given)
    return {result.check: result async for result in test.run()}


def failed(results: Mapping[str, CheckResult]) -> dict[str, str]:
    return {n: r.told for n, r in results.items() if r.standing is Standing.FAILED}


def skipped(results: Mapping[str, CheckResult]) -> dict[str, str]:
    return {n: r.told for n, r in results.items() if r.standing is Standing.SKIPPED}


# ---- The whole contract


async def test_a_marketplace_that_keeps_the_contract_passes_every_check(shop: Shop) -> None:
    results = await tried(shop)
    assert failed(results) == {}
    assert skipped(results) == {}
    assert len(results) > 90
    assert results["hold: a second time is refused"].told == "already_held"


async def test_without_write_nothing_is_changed(shop: Shop) -> None:
    results = await tried(shop, write=False)
    assert failed(results) == {}
    assert list(skipped(results)) == ["all that changes"]
    assert await shop.market.effects() == []
    assert await shop.market.pool.fetchval("SELECT count(*) FROM backoffice.operations") == 0


async def test_what_can_be_undone_is_left_as_it_was(shop: Shop) -> None:
    for verb in ("cancel", "refund", "warn", "remove_follows"):
        shop.market.classes.pop(verb)
    assert failed(await tried(shop)) == {}
    order = await shop.market.pool.fetchrow("SELECT * FROM market.orders WHERE order_id = 'O-1'")
    account = await shop.market.pool.fetchrow(
        "SELECT * FROM market.accounts WHERE account_id = 'b-1'"
    )
    assert (order["status"], order["held_at"]) == ("paid", None)
    assert (account["status"], account["suspended_at"]) == ("active", None)


async def test_subjects_that_are_not_given_are_asked_for(shop: Shop) -> None:
    results = await tried(shop, subjects={SubjectKind.ORDER: ("O-1",)})
    assert failed(results) == {}
    told = skipped(results)
    assert "--account ID" in told["suspend: plan"]
    assert "--listing ID" in told["takedown: a subject to try it on"]
    rest = "nothing can be told without `takedown: a subject to try it on`"
    assert told["takedown: no key, no reason and 11 more"] == rest
    assert "takedown: all is as it was" not in results
    assert "hold: carried out as planned" not in told


async def test_a_subject_that_cannot_take_a_verb_is_told_with_its_reason(shop: Shop) -> None:
    results = await tried(shop, subjects={SubjectKind.ORDER: ("O-shipped",)})
    assert failed(results) == {}
    assert "O-shipped already_shipped" in skipped(results)["hold: a subject to try it on"]


@pytest.mark.parametrize("declared", ["lookup", "none"])
async def test_a_marketplace_that_promises_less_is_held_to_less(shop: Shop, declared: str) -> None:
    for verb in shop.market.classes:
        shop.market.classes[verb] = declared
    results = await tried(shop)
    assert failed(results) == {}
    assert "hold: the same key and body again" not in results
    assert ("hold: found by its key" in results) == (declared == "lookup")
    assert ("hold: a lost answer" in results) == (declared == "lookup")


async def test_a_verb_that_is_switched_off_is_not_tried(shop: Shop) -> None:
    for verb in ("release", "suspend", "reinstate", "cancel"):
        shop.market.classes.pop(verb)
    results = await tried(shop)
    assert failed(results) == {}
    assert skipped(results) == {"hold": "release is not offered, so what hold does would stay"}
    assert not any(name.startswith(("suspend", "cancel")) for name in results)


FOUND_BY = {
    Fault.KEY_IGNORED: {
        "hold: the same key and body again": "the outcome of a key must come again",
        "hold: 8 times at once": "already_held: the key was not looked at",
        "refund: the same key and body again": "the outcome of a key must come again",
        # Nothing of a warning shows in the account: only its operation tells.
        "warn: the same key and body again": "it acts twice",
    },
    Fault.KEY_NOT_NEEDED: {
        "hold: no key, no reason": "without an Idempotency-Key it was answered with 200",
        "cancel: no key, no reason": "without an Idempotency-Key it was answered with 200",
    },
    Fault.MISMATCH_ACCEPTED: {
        "hold: the same key with another body": "200, not 422",
        "refund: the same key with another body": "200, not 422",
    },
    Fault.OUTCOME_FORGOTTEN: {
        "hold: found by its key": "404 not_found, not 200",
        "hold: a lost answer": "a look-up says that it was never received",
    },
    Fault.REFUSAL_FORGOTTEN: {"hold: a refusal is kept": "was carried out later"},
    Fault.TOKEN_IGNORED: {
        "hold: a made-up plan token": "what runs is not what was shown",
        "refund: the plan of another amount": "what runs is not what was shown",
        "cancel: a plan that is out of date": "what runs is not what was shown",
    },
    Fault.WITHHOLD_IGNORED: {"cancel: withheld money reaches nobody but the card": "would"},
    Fault.ANSWER_MADE_UP: {
        "hold: carried out as planned": "still allows hold: its state did not change",
        "cancel: a second time is refused": "its state did not change",
    },
    Fault.ANYBODY_LET_IN: {
        "no token": "200, not 401",
        "a wrong token": "200, not 401",
        "hold: an unknown id": "with a wrong token",
        "read order O-1": "without a token",
    },
}


def test_every_way_of_breaking_the_contract_is_tried() -> None:
    assert set(FOUND_BY) == set(DISOBEDIENCE)


@pytest.mark.parametrize("fault", sorted(FOUND_BY))
async def test_a_broken_promise_is_found_by_the_check_for_it(shop: Shop, fault: Fault) -> None:
    shop.market.faults.switch_on(fault)
    found = failed(await tried(shop))
    for check, words in FOUND_BY[fault].items():
        assert words in found.get(check, "passed"), check


async def test_one_broken_promise_is_one_failure_of_a_round_trip(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.TOKEN_IGNORED, verb="hold")
    assert list(failed(await tried(shop))) == ["hold: a made-up plan token"]


@pytest.mark.parametrize(
    ("order", "words"), [("O-1", "would restore_coupon"), ("O-konbini", "by bank_transfer")]
)
async def test_money_that_withholding_would_let_go_is_named(
    shop: Shop, order: str, words: str
) -> None:
    shop.market.faults.switch_on(Fault.WITHHOLD_IGNORED)
    results = await tried(shop, write=False, subjects={SubjectKind.ORDER: (order,)})
    assert words in failed(results)["cancel: withheld money reaches nobody but the card"]


async def test_an_effect_after_the_declared_bound_is_found(shop: Shop) -> None:
    shop.market.execution_bound_s = 1
    for verb in shop.market.classes:
        shop.market.classes[verb] = "lookup"
    given = Given(subjects={SubjectKind.ORDER: ("O-1",)}, write=True)
    results: dict[str, CheckResult] = {}
    async for result in ContractTest(shop.session, shop.url, "right-token", given).run():
        results[result.check] = result
        if result.check == "release: undoes it":
            shop.market.faults.switch_on(Fault.LATE, verb="hold", times=1, seconds=2.5)
    assert list(failed(results)) == ["hold: a lost answer"]
    assert "but execution_bound_s is 1" in results["hold: a lost answer"].told
    assert results["hold: all is as it was"].standing is Standing.PASSED


async def test_what_was_lost_on_the_way_is_sent_again_under_its_key(shop: Shop) -> None:
    shop.market.execution_bound_s = 1
    given = Given(subjects={SubjectKind.ORDER: ("O-1",)}, write=True)
    results: dict[str, CheckResult] = {}
    async for result in ContractTest(shop.session, shop.url, "right-token", given).run():
        results[result.check] = result
        if result.check == "hold: 8 times at once":
            shop.market.faults.switch_on(Fault.ERROR_BEFORE, verb="hold", times=1)
    assert failed(results) == {}
    assert "the same key then did it" in results["hold: a lost answer"].told


async def test_a_slow_answer_is_held_against_the_declared_bound(shop: Shop) -> None:
    shop.market.execution_bound_s = 1
    shop.market.faults.switch_on(Fault.SLOW, verb="hold", seconds=1.3)
    found = failed(await tried(shop, subjects={SubjectKind.ORDER: ("O-1",)}))
    assert "execution_bound_s is 1" in found["hold: carried out as planned"]


async def test_a_pending_operation_must_end_within_the_declared_bound(shop: Shop) -> None:
    shop.market.execution_bound_s = 1
    shop.market.faults.switch_on(Fault.PENDING, verb="hold", seconds=None)
    found = failed(await tried(shop, subjects={SubjectKind.ORDER: ("O-1",)}))
    assert "still pending" in found["hold: carried out as planned"]


async def test_a_long_bound_is_no_failure_but_a_question_of_patience(shop: Shop) -> None:
    results = await tried(shop, subjects={SubjectKind.ORDER: ("O-1",)}, patience_s=1)
    assert failed(results) == {}
    assert "--patience 30" in skipped(results)["hold: a lost answer"]


async def test_a_window_shorter_than_the_contract_s_is_found(
    shop: Shop,
) -> None:
    shop.market.key_window_s = 3600
    found = failed(await tried(shop))
    assert list(found) == ["capabilities"]
    assert "key_window_s is 3600" in found["capabilities"]


async def test_a_wrong_token_and_a_wrong_address_are_told_at_once(shop: Shop) -> None:
    assert failed(await tried(shop, token="wrong")) == {
        "capabilities": "capabilities was answered with 401 unauthorized, not 200"
    }
    given = Given(subjects={})
    nowhere = ContractTest(shop.session, "http://127.0.0.1:9", "t", given)
    (only,) = [result async for result in nowhere.run()]
    assert (only.standing, only.told) == (Standing.FAILED, "no answer (ClientConnectorError)")


# ---- A verb map


@pytest.fixture
async def old_shop() -> AsyncIterator[OldShop]:
    async with serve_old_shop() as old:
        yield old


async def tried_map(
    text: str,
    folder: Path,
    *,
    write: bool = True,
    token: str = SECRET,
    subjects: Mapping[SubjectKind, tuple[str, ...]] = OLD,
) -> dict[str, CheckResult]:
    file = folder / "verbs.yml"
    file.write_text(text, encoding="utf-8")
    given = Given(subjects=subjects, write=write, patience_s=20)
    async with aiohttp.ClientSession() as session:
        test = MapTest(session, read_verb_map(file), token, given)
        return {result.check: result async for result in test.run()}


async def test_an_old_shop_passes_with_the_map_that_describes_it(
    old_shop: OldShop, tmp_path: Path
) -> None:
    results = await tried_map(map_text(old_shop), tmp_path)
    assert failed(results) == {}
    assert set(skipped(results)) == {"cancel: plan", "hold: plan", "release: plan"}
    assert results["cancel: a second time"].told == "already_canceled"
    assert results["refund: more than is left"].told == "amount_exceeds_paid"
    assert results["refund: a made-up plan token"].told == "state_changed"
    assert old_shop.orders["A-1"]["state"] == "canceled"
    assert old_shop.orders["A-1"]["locked"] is False


async def test_without_write_an_old_shop_is_only_read(old_shop: OldShop, tmp_path: Path) -> None:
    results = await tried_map(map_text(old_shop), tmp_path, write=False)
    assert failed(results) == {}
    assert old_shop.effects == []
    assert {method for method, _ in old_shop.asked} == {"GET"}


@pytest.mark.parametrize(
    ("shop_is", "checks"),
    [
        ({"ignores_request_no"}, {"refund: the same operation again": "its class is not key"}),
        (
            {"ignores_request_no", "ignores_version"},
            {
                "refund: the same operation again": "it acts twice",
                "refund: a made-up plan token": "it was succeeded",
            },
        ),
        ({"gives_back_anything"}, {"refund: more than is left": "it was succeeded"}),
        (
            {"forgets_refunds"},
            {"refund: found afterwards": "as never received", "refund: a lost answer": "effect"},
        ),
        ({"lock_does_nothing"}, {"hold: found afterwards": "as never received"}),
        (
            {"lets_anybody_in"},
            {"read order A-1": "a wrong secret", "cancel: a wrong secret": "nobody looked at it"},
        ),
    ],
)
async def test_a_shop_that_does_less_than_its_map_says_is_found(
    old_shop: OldShop, tmp_path: Path, shop_is: set[str], checks: dict[str, str]
) -> None:
    for name in shop_is:
        setattr(old_shop, name, True)
    found = failed(await tried_map(map_text(old_shop), tmp_path))
    for check, words in checks.items():
        assert words in found.get(check, "passed"), check


@pytest.mark.parametrize(
    ("old", "new", "check", "words"),
    [
        ("/result: ok", "/result: fine", "cancel: carried out", "does not explain its answer"),
        (
            "      - {status: 404, code: /error/code}\n",
            "",
            "cancel: an unknown id",
            "say under `refused`",
        ),
        ("{/result: ng}", "{/result: no}", "cancel: a second time", "say under `refused`"),
        ("/orders/{subject_id}/lock", "/orders/{subject_id}/latch", "hold: carried out", "http_404"),
        ("done: {/order/locked: true}", "done: {/order/shut: true}", "hold: a look-up", "/order/shut"),
        (
            "done: {/order/locked: true}",
            "done: {/order/currency: EUR}",
            "hold: found afterwards",
            "as never received",
        ),
        (
            "values: {refund_policy: {withhold: void_only, normal: full}}",
            "values: {refund_policy: {normal: full}}",
            "cancel: withholds",
            "this map cannot",
        ),
        ("refund_amount: /order/left", "refund_amount: /order/rest", "refund: plan", "/order/rest"),
    ],
)  # fmt: skip
async def test_a_map_that_does_not_describe_its_shop_is_found(
    old_shop: OldShop, tmp_path: Path, old: str, new: str, check: str, words: str
) -> None:
    text = map_text(old_shop)
    assert old in text
    found = failed(await tried_map(text.replace(old, new, 1), tmp_path))
    (told,) = [told for name, told in found.items() if name.startswith(check)]
    assert words in told


async def test_a_shop_that_sends_everybody_to_its_log_in_page_passes_nothing(
    old_shop: OldShop, tmp_path: Path
) -> None:
    old_shop.answer = json_answer(200, b"<html>Log in</html>")
    results = await tried_map(map_text(old_shop), tmp_path)
    passed = {name for name, r in results.items() if r.standing is Standing.PASSED}
    assert not any("carried out" in name or "found" in name for name in passed)
    assert failed(results)


async def test_the_demo_marketplace_passes_as_if_its_endpoints_were_a_shop_s_own(
    shop: Shop, tmp_path: Path
) -> None:
    text = f"""\
base_url: {shop.url}/v1
auth: {{token_env: SHOP_TOKEN}}
subjects: {{order: "/orders/{{subject_id}}", account: "/accounts/{{subject_id}}"}}
verbs:
  hold: &key
    class: key
    key_header: Idempotency-Key
    key_window_s: 604800
    execution_bound_s: 30
    request: {{path: "/orders/{{subject_id}}/hold", body: {{reason: "{{reason}}", actor: "{{actor}}"}}}}
    success: {{status: 200, where: {{/state: succeeded}}}}
    refused: [{{status: [404, 409, 422], code: /code, message: /message}}]
    lookup:
      by: operation
      path: "/operations/{{operation_id}}"
      done: {{/state: succeeded}}
      refused: {{/state: failed}}
      under_way: {{/state: pending}}
  release:
    class: lookup
    execution_bound_s: 1
    request: {{path: "/orders/{{subject_id}}/release", headers: {{Idempotency-Key: "{{operation_id}}"}}, body: {{reason: "{{reason}}", actor: "{{actor}}"}}}}
    success: {{status: 200, where: {{/state: succeeded}}}}
    refused: [{{status: [404, 409, 422], code: /code, message: /message}}]
    lookup: {{by: state, path: "/orders/{{subject_id}}", done: {{/held_at: null}}}}
  suspend:
    class: none
    execution_bound_s: 30
    request: {{path: "/accounts/{{subject_id}}/suspend", headers: {{Idempotency-Key: "{{operation_id}}"}}, body: {{reason: "{{reason}}", actor: "{{actor}}"}}}}
    success: {{status: 200, where: {{/state: succeeded}}}}
    refused: [{{status: [404, 409, 422], code: /code, message: /message}}]
"""
    subjects = {SubjectKind.ORDER: ("O-1",), SubjectKind.ACCOUNT: ("b-1",)}
    results = await tried_map(text, tmp_path, token="right-token", subjects=subjects)
    assert failed(results) == {}
    assert results["hold: the same operation again"].standing is Standing.PASSED
    shop.market.faults.switch_on(Fault.KEY_IGNORED, verb="hold")
    again = await tried_map(text, tmp_path, token="right-token", subjects=subjects)
    assert "its class is not key" in failed(again)["hold: the same operation again"]
