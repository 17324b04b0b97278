"""A verb map lets a shop's own endpoints carry verbs out, believes only what it explains, and refuses what is unsafe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.domain.errors import SayableError
from bot.domain.outcomes import OutcomeKind
from bot.domain.plans import Foretold
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import OperationClass, Verb
from bot.market.adopting import BY_HAND, MixedMarket
from bot.market.mapped import MappedMarket
from bot.market.marketplace import MarketUnreachable, SubjectNotFound
from bot.market.verb_map import VerbMap
from bot.market.verb_map_file import read_verb_map
from tests.market.old_shop import SECRET, OldShop, json_answer, map_text, serve_old_shop
from tests.playground.market.conftest import Shop, shop

__all__ = ["shop"]

ORDER = Subject(SubjectKind.ORDER, "A-1")
REASON = {"reason": "Stolen card", "actor": "U0SATO"}
CANCEL = {**REASON, "refund_policy": "withhold"}
REFUND = {**REASON, "amount": 1000, "currency": "JPY"}
KEY = "op_0123456789"


@pytest.fixture
async def old_shop() -> AsyncIterator[OldShop]:
    async with serve_old_shop() as old:
        yield old


@pytest.fixture
def verb_map(old_shop: OldShop, tmp_path: Path) -> VerbMap:
    return read(tmp_path, map_text(old_shop))


@pytest.fixture
async def market(verb_map: VerbMap) -> AsyncIterator[MappedMarket]:
    async with aiohttp.ClientSession() as session:
        yield MappedMarket(session, verb_map, SECRET, timeout_s=2)


def read(folder: Path, text: str) -> VerbMap:
    file = folder / "verbs.yml"
    file.write_text(text, encoding="utf-8")
    return read_verb_map(file)


# ---- What it does


async def test_each_verb_has_the_class_that_the_file_gives_it(market: MappedMarket) -> None:
    offered = await market.capabilities()
    assert {verb: one.operation_class for verb, one in offered.items()} == {
        Verb.CANCEL: OperationClass.NONE,
        Verb.HOLD: OperationClass.LOOKUP,
        Verb.RELEASE: OperationClass.LOOKUP,
        Verb.REFUND: OperationClass.KEY,
        Verb.SUSPEND: OperationClass.MANUAL,
    }
    assert offered[Verb.REFUND].key_window_s == 86400
    assert offered[Verb.HOLD].execution_bound_s == 1


async def test_a_decision_arrives_in_the_shop_s_own_words(
    market: MappedMarket, old_shop: OldShop
) -> None:
    body = {**CANCEL, "note": '"}, {"x": 1'}
    sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=body)
    assert sent.kind is OutcomeKind.SUCCEEDED
    assert old_shop.effects == [("cancel:void_only", "A-1")]
    assert json.loads(old_shop.told[-1][1]) == {
        "why": "Stolen card",
        "staff": "U0SATO",
        "memo": '"}, {"x": 1',
        "money": "void_only",
    }


async def test_a_field_that_would_hold_nothing_is_left_out(
    market: MappedMarket, old_shop: OldShop
) -> None:
    await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
    assert "memo" not in json.loads(old_shop.told[-1][1])


async def test_an_amount_stays_a_number_and_a_key_acts_once(
    market: MappedMarket, old_shop: OldShop
) -> None:
    for _ in range(3):
        sent = await market.send(Verb.REFUND, ORDER, key=KEY, body=REFUND)
        assert sent.kind is OutcomeKind.SUCCEEDED
    assert old_shop.effects == [("refund", "A-1")]
    assert old_shop.orders["A-1"]["left"] == 8200


async def test_forms_puts_and_deletes_are_sent_as_such(
    market: MappedMarket, old_shop: OldShop
) -> None:
    held = await market.send(Verb.HOLD, ORDER, key=KEY, body=REASON)
    again = await market.send(Verb.HOLD, ORDER, key="op_another", body=REASON)
    released = await market.send(Verb.RELEASE, ORDER, key="op_release", body=REASON)
    assert [held.kind, released.kind] == [OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED]
    assert (again.kind, again.code) == (OutcomeKind.REFUSED, "already_held")
    assert old_shop.effects == [("lock", "A-1"), ("unlock", "A-1")]


async def test_a_refusal_in_a_200_is_a_refusal_with_the_contract_s_code(
    market: MappedMarket, old_shop: OldShop
) -> None:
    shipped = Subject(SubjectKind.ORDER, "A-shipped")
    sent = await market.send(Verb.CANCEL, shipped, key=KEY, body=CANCEL)
    assert (sent.kind, sent.code, sent.message) == (
        OutcomeKind.REFUSED,
        "already_shipped",
        "できません",
    )
    assert old_shop.effects == []


async def test_a_plan_is_the_adopter_s_words_where_the_shop_shows_none(
    market: MappedMarket, old_shop: OldShop
) -> None:
    plan = await market.plan(Verb.CANCEL, ORDER, {"refund_policy": "withhold"})
    assert (plan.allowed, plan.reversible, plan.token) == (True, False, None)
    assert plan.foretold == Foretold(
        ja="注文を取り消し、カードの売上を取り消します。",
        en="The order is cancelled and the card payment voided.",
    )
    assert old_shop.asked == []


async def test_a_preview_reads_what_is_left_and_a_version_that_the_shop_compares(
    market: MappedMarket, old_shop: OldShop
) -> None:
    whole = await market.plan(Verb.REFUND, ORDER)
    part = await market.plan(Verb.REFUND, ORDER, {"amount": 1000})
    assert (whole.refund_amount, whole.currency, whole.refund_route) == (9200, "JPY", "card")
    assert (part.refund_amount, part.token) == (1000, "1")
    conv = await market.plan(Verb.REFUND, Subject(SubjectKind.ORDER, "A-conv"))
    assert conv.refund_route == "bank_transfer"
    old_shop.change("A-1", "by hand")
    body = {**REFUND, "plan_token": part.token}
    sent = await market.send(Verb.REFUND, ORDER, key=KEY, body=body)
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "state_changed")


@pytest.mark.parametrize(
    ("columns", "amount", "code"),
    [
        ({}, 9201, "amount_exceeds_paid"),
        ({}, 0, "amount_exceeds_paid"),
        ({"left": 0}, 100, "already_refunded"),
        ({"state": "canceled"}, 100, "canceled"),
    ],
)
async def test_a_refund_that_cannot_be_is_refused_before_anybody_decides(
    market: MappedMarket, old_shop: OldShop, columns: dict[str, Any], amount: int, code: str
) -> None:
    old_shop.orders["A-1"].update(columns)
    plan = await market.plan(Verb.REFUND, ORDER, {"amount": amount})
    assert (plan.allowed, plan.refusal_code) == (False, code)


async def test_a_subject_that_the_shop_does_not_know_is_not_found(market: MappedMarket) -> None:
    nobody = Subject(SubjectKind.ORDER, "A-none")
    with pytest.raises(SubjectNotFound):
        await market.plan(Verb.REFUND, nobody)
    sent = await market.send(Verb.CANCEL, nobody, key=KEY, body=CANCEL)
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "not_found")


# ---- Nothing else runs than was decided


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        (Verb.CANCEL, {**CANCEL, "notify_buyer": False}),
        (Verb.CANCEL, {**CANCEL, "refund_policy": "everything"}),
        (Verb.REFUND, {**REFUND, "currency": "EUR"}),
        (Verb.REFUND, {**REFUND, "route": "external"}),
        (Verb.REFUND, {**REFUND, "external_reference": "b-1"}),
        (Verb.SUSPEND, REASON),
        (Verb.WARN, {**REASON, "template": "spam_warning"}),
        (Verb.REFUND, {**REASON, "currency": "JPY"}),
    ],
)
async def test_what_an_endpoint_cannot_do_as_decided_is_refused_and_never_sent(
    market: MappedMarket, old_shop: OldShop, verb: Verb, body: dict[str, object]
) -> None:
    sent = await market.send(verb, ORDER, key=KEY, body=body)
    assert sent.kind is OutcomeKind.REFUSED
    assert sent.code in {"not_offered", "incomplete"}
    assert old_shop.asked == []


async def test_a_plan_says_that_an_endpoint_cannot_do_it_that_way(market: MappedMarket) -> None:
    plan = await market.plan(Verb.CANCEL, ORDER, {"refund_policy": "everything"})
    assert (plan.allowed, plan.refusal_code) == (False, "not_offered")


async def test_money_is_only_withheld_where_the_endpoint_withholds(
    old_shop: OldShop, tmp_path: Path
) -> None:
    text = map_text(old_shop).replace(', money: "{refund_policy}"', ', money: "full"')
    text = text.replace(
        "values: {refund_policy: {withhold: void_only, normal: full}}",
        "fixed: {refund_policy: normal}",
    )
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, read(tmp_path, text), SECRET)
        sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
        assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "not_offered")
        assert old_shop.effects == []
        sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=REASON)
        assert sent.kind is OutcomeKind.SUCCEEDED


async def test_an_endpoint_that_always_withholds_gives_nothing_back_in_the_ordinary_way(
    old_shop: OldShop, tmp_path: Path
) -> None:
    text = map_text(old_shop).replace(
        "values: {refund_policy: {withhold: void_only, normal: full}}",
        "fixed: {refund_policy: withhold}",
    )
    text = text.replace(', money: "{refund_policy}"', ', money: "void_only"')
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, read(tmp_path, text), SECRET)
        for body in (REASON, {**REASON, "refund_policy": "normal"}):
            sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=body)
            assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "not_offered")
        assert (await market.plan(Verb.CANCEL, ORDER)).refusal_code == "not_offered"
        sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
        assert sent.kind is OutcomeKind.SUCCEEDED
    assert old_shop.effects == [("cancel:void_only", "A-1")]


# ---- Addresses and secrets


@pytest.mark.parametrize(
    "subject_id",
    ["", ".", "..", "../users/1", "a/b", "a%2Fb", "a?b", "a#b", "a\nb", "\ud800", "あ", "A-1 "],
)
async def test_an_id_that_a_server_could_read_otherwise_is_not_found_and_nobody_is_asked(
    market: MappedMarket, old_shop: OldShop, subject_id: str
) -> None:
    subject = Subject(SubjectKind.ORDER, subject_id)
    sent = await market.send(Verb.CANCEL, subject, key=KEY, body=CANCEL)
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "not_found")
    with pytest.raises(SubjectNotFound):
        await market.plan(Verb.REFUND, subject)
    with pytest.raises(MarketUnreachable):
        await market.lookup(KEY, verb=Verb.HOLD, subject=subject)
    assert old_shop.asked == []


@pytest.mark.parametrize(
    ("subject_id", "path"),
    [
        ("a/b?c#d%2F", "/admin/orders/a%2Fb%3Fc%23d%252F/lock"),
        ("..", None),
        (".", None),
        ("器", "/admin/orders/%E5%99%A8/lock"),
    ],
)
async def test_where_a_shop_lets_any_id_in_it_still_stays_in_its_place(
    old_shop: OldShop, tmp_path: Path, subject_id: str, path: str | None
) -> None:
    verb_map = read(tmp_path, "id_pattern: .*\n" + map_text(old_shop))
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, verb_map, SECRET)
        subject = Subject(SubjectKind.ORDER, subject_id)
        await market.send(Verb.RELEASE, subject, key=KEY, body=REASON)
    assert old_shop.asked == ([] if path is None else [("DELETE", path)])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_and_the_secret_goes_nowhere_else(
    market: MappedMarket, old_shop: OldShop, status: int
) -> None:
    async with serve_old_shop() as elsewhere:
        old_shop.answer = json_answer(status, {}, Location=f"{elsewhere.url}/admin/refunds")
        sent = await market.send(Verb.REFUND, ORDER, key=KEY, body=REFUND)
        with pytest.raises(MarketUnreachable):
            await market.lookup(KEY, verb=Verb.REFUND, subject=ORDER)
        assert sent.kind is OutcomeKind.UNKNOWN
        assert elsewhere.asked == []
    assert all(headers["X-Admin-Token"] == SECRET for headers, _ in old_shop.told)


async def test_a_wrong_secret_is_refused_and_never_told(
    verb_map: VerbMap, old_shop: OldShop
) -> None:
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, verb_map, "canary")
        sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "unauthorized")
    assert "canary" not in repr(sent)
    assert old_shop.effects == []


# ---- What an answer means


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (200, {"result": "ok"}, {}, OutcomeKind.SUCCEEDED),
        (200, {"result": "okay"}, {}, OutcomeKind.UNKNOWN),
        (200, {"result": True}, {}, OutcomeKind.UNKNOWN),
        (200, {}, {}, OutcomeKind.UNKNOWN),
        (200, b"<html>Log in</html>", {}, OutcomeKind.UNKNOWN),
        (200, b"", {}, OutcomeKind.UNKNOWN),
        (200, b"[" * 100_000, {}, OutcomeKind.UNKNOWN),
        (201, {"result": "ok"}, {}, OutcomeKind.UNKNOWN),
        (200, {"result": "ng", "error": {"code": "E_X"}}, {}, OutcomeKind.REFUSED),
        (200, {"result": "ng"}, {}, OutcomeKind.UNKNOWN),
        (404, {"error": {"code": "E_NO_ORDER"}}, {}, OutcomeKind.REFUSED),
        (404, b"<html>nginx</html>", {}, OutcomeKind.UNKNOWN),
        (409, {"error": {"code": "E_X"}}, {}, OutcomeKind.UNKNOWN),
        (401, b"", {}, OutcomeKind.REFUSED),
        (403, b"", {}, OutcomeKind.REFUSED),
        (400, b"", {}, OutcomeKind.UNKNOWN),
        (429, b"", {"Retry-After": "3"}, OutcomeKind.UNKNOWN),
        (503, b"", {"Retry-After": "3"}, OutcomeKind.NOT_DONE),
        (503, b"", {}, OutcomeKind.UNKNOWN),
        (500, {"result": "ok"}, {}, OutcomeKind.UNKNOWN),
        (500, {"result": "ng", "error": {"code": "E_X"}}, {}, OutcomeKind.UNKNOWN),
        (502, b"", {"Retry-After": "3"}, OutcomeKind.UNKNOWN),
    ],
)
async def test_only_what_the_map_explains_is_believed(
    market: MappedMarket,
    old_shop: OldShop,
    status: int,
    body: object,
    headers: dict[str, str],
    kind: OutcomeKind,
) -> None:
    old_shop.answer = json_answer(status, body, **headers)
    sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
    assert sent.kind is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(204, b"", OutcomeKind.SUCCEEDED), (200, {}, OutcomeKind.UNKNOWN)],
)
async def test_an_answer_without_a_body_counts_where_the_map_says_so(
    market: MappedMarket, old_shop: OldShop, status: int, body: object, kind: OutcomeKind
) -> None:
    old_shop.answer = json_answer(status, body)
    sent = await market.send(Verb.RELEASE, ORDER, key=KEY, body=REASON)
    assert sent.kind is kind


async def test_a_page_with_a_200_is_no_success_unless_the_map_believes_the_status_alone(
    market: MappedMarket, old_shop: OldShop, tmp_path: Path
) -> None:
    old_shop.answer = json_answer(200, b"<html>Log in</html>")
    sent = await market.send(Verb.HOLD, ORDER, key=KEY, body=REASON)
    assert sent.kind is OutcomeKind.UNKNOWN
    text = map_text(old_shop).replace(
        "success: {status: 204}", "success: {status: 200, any_body: true}"
    )
    async with aiohttp.ClientSession() as session:
        trusting = MappedMarket(session, read(tmp_path, text), SECRET)
        sent = await trusting.send(Verb.RELEASE, ORDER, key=KEY, body=REASON)
    assert sent.kind is OutcomeKind.SUCCEEDED


async def test_an_accepted_request_is_pending_until_its_look_up_tells(
    market: MappedMarket, old_shop: OldShop
) -> None:
    old_shop.answer = json_answer(202, {})
    sent = await market.send(Verb.REFUND, ORDER, key=KEY, body=REFUND)
    assert sent.kind is OutcomeKind.PENDING
    for state, kind in (
        ("queued", OutcomeKind.PENDING),
        ("paid", OutcomeKind.SUCCEEDED),
        ("rejected", OutcomeKind.REFUSED),
    ):
        found = {"count": 1, "refunds": [{"state": state, "code": "E_TOO_MUCH"}]}
        old_shop.answer = json_answer(200, found)
        looked_up = await market.lookup(KEY, verb=Verb.REFUND, subject=ORDER)
        assert looked_up is not None
        assert looked_up.kind is kind
        assert (looked_up.code == "amount_exceeds_paid") == (kind is OutcomeKind.REFUSED)


async def test_a_shop_that_is_not_there_did_nothing(verb_map: VerbMap) -> None:
    nowhere = verb_map.model_copy(update={"base_url": "http://127.0.0.1:9"})
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, nowhere, SECRET)
        sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
        assert (sent.kind, sent.code) == (OutcomeKind.NOT_DONE, "unreachable")
        with pytest.raises(MarketUnreachable):
            await market.lookup(KEY, verb=Verb.HOLD, subject=ORDER)


async def test_a_lost_answer_is_unknown_not_failed(verb_map: VerbMap) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for behaviour, code in ((hang_up, "ServerDisconnectedError"), (never_answer, "timeout")):
        server = await asyncio.start_server(behaviour, "127.0.0.1", 0)
        async with server, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            market = MappedMarket(
                session, verb_map.model_copy(update={"base_url": url}), SECRET, timeout_s=0.3
            )
            sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
            assert (sent.kind, sent.code) == (OutcomeKind.UNKNOWN, code)


# ---- Look-ups


async def test_a_state_tells_whether_it_was_done(market: MappedMarket) -> None:
    assert await market.lookup(KEY, verb=Verb.HOLD, subject=ORDER) is None
    await market.send(Verb.HOLD, ORDER, key=KEY, body=REASON)
    found = await market.lookup(KEY, verb=Verb.HOLD, subject=ORDER)
    assert found is not None
    assert found.kind is OutcomeKind.SUCCEEDED
    assert await market.lookup(KEY, verb=Verb.RELEASE, subject=ORDER) is None


async def test_an_operation_is_found_by_its_id_and_only_its_own(market: MappedMarket) -> None:
    assert await market.lookup(KEY, verb=Verb.REFUND, subject=ORDER) is None
    await market.send(Verb.REFUND, ORDER, key=KEY, body=REFUND)
    found = await market.lookup(KEY, verb=Verb.REFUND, subject=ORDER)
    assert found is not None
    assert found.kind is OutcomeKind.SUCCEEDED
    assert await market.lookup("op_another", verb=Verb.REFUND, subject=ORDER) is None


@pytest.mark.parametrize(
    ("verb", "status", "body"),
    [
        (Verb.HOLD, 200, {"order": {}}),
        (Verb.HOLD, 200, b"<html>"),
        (Verb.HOLD, 404, {"error": {"code": "E_NO_ORDER"}}),
        (Verb.HOLD, 500, {"order": {"locked": True}}),
        (Verb.REFUND, 200, {"count": 1, "refunds": [{"state": "odd"}]}),
        (Verb.REFUND, 200, {}),
        (Verb.REFUND, 401, b""),
        (Verb.CANCEL, 200, {}),
        (Verb.WARN, 200, {}),
        (Verb.SUSPEND, 200, {}),
    ],
)
async def test_a_look_up_that_does_not_tell_leaves_the_outcome_unknown(
    market: MappedMarket, old_shop: OldShop, verb: Verb, status: int, body: object
) -> None:
    old_shop.answer = json_answer(status, body)
    with pytest.raises(MarketUnreachable):
        await market.lookup(KEY, verb=verb, subject=ORDER)


async def test_a_number_is_no_yes(market: MappedMarket, old_shop: OldShop) -> None:
    old_shop.orders["A-1"]["locked"] = 1
    assert await market.lookup(KEY, verb=Verb.HOLD, subject=ORDER) is None


# ---- By hand, and beside the contract


async def test_by_hand_every_verb_is_offered_and_none_is_ever_sent() -> None:
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, BY_HAND)
        offered = await market.capabilities()
        assert set(offered) == set(Verb)
        assert {one.operation_class for one in offered.values()} == {OperationClass.MANUAL}
        plan = await market.plan(Verb.CANCEL, Subject(SubjectKind.ORDER, "any id / at all"))
        assert (plan.allowed, plan.token, plan.foretold) == (True, None, Foretold())
        sent = await market.send(Verb.CANCEL, ORDER, key=KEY, body=CANCEL)
        assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "not_offered")


async def test_beside_the_contract_each_verb_goes_its_own_way(
    market: MappedMarket, old_shop: OldShop, shop: Shop
) -> None:
    mixed = MixedMarket(market, shop.api)
    offered = await mixed.capabilities()
    assert offered[Verb.CANCEL].operation_class is OperationClass.NONE
    assert offered[Verb.SUSPEND].operation_class is OperationClass.MANUAL
    assert offered[Verb.TAKEDOWN].operation_class is OperationClass.KEY
    await mixed.send(Verb.HOLD, ORDER, key=KEY, body=REASON)
    listing = Subject(SubjectKind.LISTING, "L-1")
    plan = await mixed.plan(Verb.TAKEDOWN, listing)
    await mixed.send(Verb.TAKEDOWN, listing, key="op_takedown", body=REASON)
    assert plan.foretold is None
    assert old_shop.effects == [("lock", "A-1")]
    assert [effect["kind"] for effect in await shop.market.effects()] == ["takedown"]
    by_state = await mixed.lookup(KEY, verb=Verb.HOLD, subject=ORDER)
    by_key = await mixed.lookup("op_takedown", verb=Verb.TAKEDOWN, subject=listing)
    assert by_state is not None
    assert by_key is not None
    assert await shop.api.lookup(KEY) is None


# ---- What the file may say

WHOLE = """\
base_url: https://admin.shop.example
auth: {token_env: SHOP_TOKEN}
verbs:
  hold:
    class: none
    execution_bound_s: 5
    request: {path: "/orders/{subject_id}/hold"}
"""
KEYED = WHOLE.replace(
    "class: none", "class: key\n    key_window_s: 60\n    key_header: Idempotency-Key"
)
REFUNDING = """\
base_url: https://admin.shop.example
auth: {token_env: SHOP_TOKEN}
verbs:
  refund:
    class: none
    execution_bound_s: 5
    request: {path: "/orders/{subject_id}/refund", body: {sum: "{amount_decimal}", in: "{currency}"}}
    plan:
      path: "/orders/{subject_id}"
      money: decimal
      currency: /currency
      refund_amount: /left
      refund_route: {pointer: /pay, values: {credit: card}}
"""


def test_a_whole_map_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE).verbs[Verb.HOLD].operation_class is OperationClass.NONE
    assert read(tmp_path, KEYED).verbs[Verb.HOLD].key_window_s == 60
    assert read(tmp_path, REFUNDING).verbs[Verb.REFUND].plan is not None
    assert read(tmp_path, "verbs: {hold: {class: manual}}").base_url is None


@pytest.mark.parametrize(
    ("text", "old", "new", "line", "words"),
    [
        (WHOLE, "  hold:", "  hodl:", 4, "`verbs.hodl`"),
        (WHOLE, "class: none", "class: nothing", 5, "`verbs.hold.class` is wrong"),
        (WHOLE, "    class: none\n", "", 4, "`verbs.hold.class` is missing"),
        (WHOLE, "execution_bound_s: 5", "bound: 5", 6, "is no field of a verb map"),
        (WHOLE, "    execution_bound_s: 5\n", "", 4, "must have `execution_bound_s`"),
        (WHOLE, "auth: {token_env: SHOP_TOKEN}\n", "", 1, "must have `base_url` and `auth`"),
        (WHOLE, "https://admin", "ftp://admin", 1, "must start with http"),
        (WHOLE, "https://admin", "https://me:canary@admin", 1, "without user, password"),
        (WHOLE, "shop.example", "shop.example?key=canary", 1, "without user, password"),
        (WHOLE, "{subject_id}/hold", "1/hold", 4, "must send {subject_id}"),
        (WHOLE, '"/orders', '"//evil.example', 7, "must start with one slash"),
        (WHOLE, '"/orders', '"https://evil.example', 7, "must start with one slash"),
        (WHOLE, "/orders/", "/orders/../", 7, "must not climb"),
        (WHOLE, "/orders/", "/orders/%2e%2e/", 7, "must not climb"),
        (WHOLE, "/hold", "/hold?x=1", 7, "put parameters under `query`"),
        (WHOLE, "/hold", "/{name}", 7, "names {name}, which is no placeholder"),
        (WHOLE, "/hold", "/{reason!r}", 7, "names {reason}, which is no placeholder"),
        (WHOLE, "/hold", "/{", 7, "has a brace without its partner"),
        (WHOLE, '/hold"', '/hold", method: GET', 7, "`verbs.hold.request.method`"),
        (WHOLE, '/hold"', '/hold", body: {a: 1}, form: {a: b}', 7, "not both"),
        (WHOLE, '/hold"', '/hold", headers: {X-Why: "{reason}"}', 7, "into a header"),
        (WHOLE, '/hold"', '/hold", headers: {X-Api-Key: canary}', 7, "keep secrets out"),
        (WHOLE, '/hold"', '/hold", query: {api_key: canary}', 7, "keep secrets out"),
        (WHOLE, '/hold"', '/hold", headers: {Host: evil.example}', 7, "the connection's own"),
        (WHOLE, "class: none", "class: key", 4, "must have `key_window_s`"),
        (KEYED, "    key_header: Idempotency-Key\n", "", 4, "must have `key_header`"),
        (KEYED, "class: key", "class: none", 4, "must be of class key"),
        (WHOLE, "class: none", "class: lookup", 4, "must have `lookup`"),
        (WHOLE, "class: none", "class: manual", 4, "carried out by people"),
        (WHOLE, "class: none", "class: none\n    pending: {status: 202}", 4, "must not have `pending`"),
        (WHOLE, "class: none", "class: none\n    nothing_done: [500]", 6, "nothing_done"),
        (WHOLE, "class: none", "class: none\n    refused: [{status: 500}]", 6, "status"),
        (WHOLE, "class: none", "class: none\n    refused: [{status: 302}]", 6, "redirect"),
        (WHOLE, "class: none", "class: none\n    refused: [{status: 200}]", 6, "differs from a success"),
        (
            WHOLE,
            "class: none",
            "class: none\n    refused: [{status: 200, where: {/ok: false}}]",
            4,
            "must say in `success.where`",
        ),
        (WHOLE, "class: none", "class: none\n    success: {where: {ok: true}}", 6, "JSON pointer"),
        (WHOLE, "class: none", "class: none\n    fixed: {reason: x}", 4, "`reason` does not"),
        (WHOLE, "/hold", "/hold/{amount}", 4, "belongs to another verb"),
        (WHOLE, "/hold", "/hold/{plan_token}", 4, "must both read a token"),
        (WHOLE, "  hold:", "  cancel:", 4, "must send {refund_policy}"),
        (WHOLE, "  hold:", "  warn:", 4, "must send {template}"),
        (WHOLE, "  hold:", "  remove_follows:", 4, "must send {since}"),
        (WHOLE, "verbs:", "verbs: {}\nothers:", 3, "verbs"),
        (WHOLE, "verbs:", "id_pattern: '['\nverbs:", 3, "regular expression"),
        (WHOLE, "verbs:", "headers: {Cookie: canary}\nverbs:", 3, "keep secrets out"),
        (WHOLE, "verbs:", "admin_urls: {order: 'javascript:{subject_id}'}\nverbs:", 3, "admin_urls"),
        (WHOLE, "verbs:", "verbs:\n  hold: {class: manual}", 5, "stands there twice"),
        (WHOLE, "verbs:", "verbs: [", 1, "is not YAML"),
        (WHOLE, WHOLE, "- hold", 1, "must have `verbs` at its top"),
        (WHOLE, WHOLE, "", 1, "must have `verbs` at its top"),
        (REFUNDING, "{amount_decimal}", "9.50", 4, "must send {amount}"),
        (REFUNDING, ", in: \"{currency}\"", "", 4, "must send {currency}"),
        (REFUNDING, "      refund_amount: /left\n", "", 4, "never more is given back than is left"),
        (REFUNDING, "      currency: /currency\n", "", 8, "where the `currency`"),
        (
            REFUNDING,
            "class: none",
            "class: lookup\n    lookup: {by: state, path: '/o/{subject_id}', done: {/refunded: true}}",
            4,
            "must be looked up by operation",
        ),
        (
            REFUNDING,
            "class: none",
            "class: lookup\n    lookup: {by: operation, path: '/r/{operation_id}', done: {/ok: true}}",
            4,
            "the shop cannot find what it was never told",
        ),
        (
            KEYED,
            "class: key",
            "class: key\n    lookup: {by: operation, path: '/r/{subject_id}', done: {/ok: true}}",
            6,
            "must ask for {operation_id}",
        ),
        (
            KEYED,
            "class: key",
            "class: key\n    lookup: {by: state, path: '/r/{subject_id}', done: {}}",
            6,
            "done",
        ),
    ],
)  # fmt: skip
def test_a_map_that_is_wrong_or_unsafe_is_refused_with_its_line(
    tmp_path: Path, text: str, old: str, new: str, line: int, words: str
) -> None:
    assert old in text
    with pytest.raises(SayableError) as caught:
        read(tmp_path, text.replace(old, new, 1))
    told = str(caught.value)
    assert words in told
    assert "canary" not in told
    assert "\n" not in told
    if "YAML" not in words and "at its top" not in words:
        assert f"line {line}:" in told


def test_a_map_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SayableError, match=r"cannot be read .* set VERB_MAP_FILE"):
        read_verb_map(tmp_path / "none.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SayableError, match="is not YAML"):
        read_verb_map(tmp_path / "binary.yml")


async def test_amounts_with_a_point_are_read_and_written_by_their_currency(
    old_shop: OldShop, tmp_path: Path
) -> None:
    text = REFUNDING.replace("https://admin.shop.example", old_shop.url)
    subject = Subject(SubjectKind.ORDER, "A-1")
    async with aiohttp.ClientSession() as session:
        market = MappedMarket(session, read(tmp_path, text), SECRET)
        for left, currency, expected in (
            ("92.50", "EUR", 9250),
            (92.5, "EUR", 9250),
            ("9200", "JPY", 9200),
            ("1.234", "BHD", 1234),
        ):
            shown = {"left": left, "currency": currency, "pay": "credit"}
            old_shop.answer = json_answer(200, shown)
            assert (await market.plan(Verb.REFUND, subject)).refund_amount == expected
        for left, currency, pay in (
            ("92.505", "EUR", "credit"),
            ("1", "XXY", "credit"),
            ("-1", "EUR", "credit"),
            ("1e3", "EUR", "credit"),
            (True, "EUR", "credit"),
            ("1", "EUR", "cheque"),
        ):
            shown = {"left": left, "currency": currency, "pay": pay}
            old_shop.answer = json_answer(200, shown)
            with pytest.raises(MarketUnreachable):
                await market.plan(Verb.REFUND, subject)
        body = {**REASON, "amount": 1205, "currency": "EUR"}
        await market.send(Verb.REFUND, subject, key=KEY, body=body)
    assert json.loads(old_shop.told[-1][1]) == {"sum": "12.05", "in": "EUR"}


def test_the_maps_in_the_documentation_are_accepted(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "adoption.md").read_text(encoding="utf-8")
    by_hand, whole = (part.split("```")[0] for part in text.split("```yaml\n")[1:])
    classes = {one.operation_class for one in read(tmp_path, by_hand).verbs.values()}
    assert classes == {OperationClass.MANUAL}
    assert len(read(tmp_path, whole).verbs) == 6
