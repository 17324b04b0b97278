from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.domain.outcomes import OutcomeKind
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import OperationClass, Verb
from bot.market.api import MarketApi, MarketUnreachable, SubjectNotFound
from bot.playground.market.faults import Fault
from tests.playground.market.conftest import Shop, shop

__all__ = ["shop"]

ORDER = Subject(SubjectKind.ORDER, "O-1")
BODY = {"reason": "Stolen card", "actor": "U0SATO"}
KEY = "op_0123456789"


async def test_capabilities_tell_how_far_each_verb_can_be_trusted(shop: Shop) -> None:
    shop.market.classes["refund"] = "lookup"
    offered = await shop.api.capabilities()
    assert offered[Verb.CANCEL].operation_class is OperationClass.KEY
    assert offered[Verb.REFUND].operation_class is OperationClass.LOOKUP
    assert offered[Verb.CANCEL].key_window_s == 7 * 24 * 3600


async def test_a_plan_says_what_would_happen(shop: Shop) -> None:
    plan = await shop.api.plan(Verb.CANCEL, ORDER, {"refund_policy": "withhold"})
    assert plan.allowed
    assert not plan.reversible
    assert (plan.refund_amount, plan.refund_route, plan.currency) == (9200, "card", "JPY")
    refused = await shop.api.plan(Verb.CANCEL, Subject(SubjectKind.ORDER, "O-shipped"))
    assert (refused.allowed, refused.refusal_code) == (False, "already_shipped")
    with pytest.raises(SubjectNotFound):
        await shop.api.plan(Verb.CANCEL, Subject(SubjectKind.ORDER, "no/such?order"))


async def test_a_send_succeeds_and_its_outcome_can_be_looked_up(shop: Shop) -> None:
    sent = await shop.api.send(Verb.HOLD, ORDER, key=KEY, body=BODY)
    found = await shop.api.lookup(KEY)
    assert sent.kind is OutcomeKind.SUCCEEDED
    assert found == sent
    assert await shop.api.lookup("op_never_sent") is None


@pytest.mark.parametrize(
    ("fault", "kind", "effects"),
    [
        (Fault.ANSWER_LOST, OutcomeKind.UNKNOWN, 1),
        (Fault.ERROR_BEFORE, OutcomeKind.UNKNOWN, 0),
        (Fault.ERROR_AFTER, OutcomeKind.UNKNOWN, 1),
        (Fault.UNAVAILABLE, OutcomeKind.NOT_DONE, 0),
        (Fault.TOO_MANY, OutcomeKind.NOT_DONE, 0),
        (Fault.PENDING, OutcomeKind.PENDING, 0),
        (Fault.STEP_FAILS, OutcomeKind.PARTLY_SUCCEEDED, 1),
    ],
)
async def test_each_fault_is_read_for_what_it_is(
    shop: Shop, fault: Fault, kind: OutcomeKind, effects: int
) -> None:
    shop.market.faults.switch_on(fault, times=1, seconds=3)
    sent = await shop.api.send(Verb.HOLD, ORDER, key=KEY, body=BODY)
    assert sent.kind is kind
    assert len(await shop.market.effects()) == effects


async def test_an_answer_that_comes_too_late_is_unknown_not_failed(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=0.5)
    sent = await shop.api.send(Verb.HOLD, ORDER, key=KEY, body=BODY, timeout_s=0.1)
    assert (sent.kind, sent.code) == (OutcomeKind.UNKNOWN, "timeout")
    await asyncio.sleep(0.7)
    found = await shop.api.lookup(KEY)
    assert found is not None
    assert found.kind is OutcomeKind.SUCCEEDED


async def test_a_refusal_is_definite_and_says_why(shop: Shop) -> None:
    sent = await shop.api.send(
        Verb.HOLD, Subject(SubjectKind.ORDER, "O-shipped"), key=KEY, body=BODY
    )
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "already_shipped")
    found = await shop.api.lookup(KEY)
    assert found is not None
    assert (found.kind, found.code) == (OutcomeKind.REFUSED, "already_shipped")


async def test_a_marketplace_that_is_not_there_did_nothing(shop: Shop) -> None:
    api = MarketApi(shop.session, "http://127.0.0.1:9", "t")
    sent = await api.send(Verb.HOLD, ORDER, key=KEY, body=BODY)
    assert (sent.kind, sent.code) == (OutcomeKind.NOT_DONE, "unreachable")
    with pytest.raises(MarketUnreachable):
        await api.lookup(KEY)


async def test_a_wrong_token_is_refused_and_never_told(shop: Shop) -> None:
    api = MarketApi(shop.session, shop.url, "canary-token")
    sent = await api.send(Verb.HOLD, ORDER, key=KEY, body=BODY)
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "unauthorized")
    assert "canary" not in repr(sent)


@dataclass
class Liar:
    """A marketplace that answers whatever a test tells it to."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.raw_path)
        return web.Response(
            status=self.status,
            body=self.body,
            content_type="application/json",
            headers=self.headers,
        )


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    liar = Liar()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", liar.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    liar.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield liar
    await runner.cleanup()


GOOD: dict[str, Any] = {
    "operation_id": "m",
    "idempotency_key": KEY,
    "kind": "hold",
    "subject_id": "O-1",
    "state": "succeeded",
    "received_at": "2026-11-23T00:00:00Z",
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", OutcomeKind.UNKNOWN),
        (200, b"null", OutcomeKind.UNKNOWN),
        (200, b"[" * 100_000, OutcomeKind.UNKNOWN),
        (200, json.dumps(GOOD).encode() + b" " * (1024 * 1024), OutcomeKind.UNKNOWN),
        (200, b'{"state": "succeeded"}', OutcomeKind.UNKNOWN),
        (200, {**GOOD, "idempotency_key": "another-key"}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "kind": "cancel"}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "subject_id": "O-2"}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "state": "fine"}, OutcomeKind.UNKNOWN),
        (
            200,
            {**GOOD, "steps": [{"name": "notify_buyer", "state": "perhaps"}]},
            OutcomeKind.UNKNOWN,
        ),
        (200, {**GOOD, "steps": [{"name": 3, "state": "done"}]}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "steps": "many"}, OutcomeKind.UNKNOWN),
        (
            200,
            {**GOOD, "steps": [{"name": "a", "state": "done", "amount": "1"}]},
            OutcomeKind.UNKNOWN,
        ),
        (200, GOOD, OutcomeKind.SUCCEEDED),
        (202, {**GOOD, "state": "pending"}, OutcomeKind.PENDING),
        (400, {"code": "malformed", "message": ""}, OutcomeKind.REFUSED),
        (403, b"", OutcomeKind.REFUSED),
        (404, {"code": "not_found", "message": ""}, OutcomeKind.REFUSED),
        (409, b"{}", OutcomeKind.UNKNOWN),
        (429, b"", OutcomeKind.NOT_DONE),
        (500, {"code": "already_held", "message": ""}, OutcomeKind.UNKNOWN),
        (302, b"", OutcomeKind.UNKNOWN),
        (404, b"<html>", OutcomeKind.UNKNOWN),
        (409, {"code": "in_progress", "message": ""}, OutcomeKind.IN_PROGRESS),
        (409, {"code": "already_held", "message": ""}, OutcomeKind.REFUSED),
        (502, b"", OutcomeKind.UNKNOWN),
        (503, b"", OutcomeKind.UNKNOWN),
    ],
)
async def test_only_what_the_contract_documents_is_believed(
    liar: Liar, status: int, body: bytes | dict[str, Any], kind: OutcomeKind
) -> None:
    liar.status, liar.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session:
        sent = await MarketApi(session, liar.url, "t").send(Verb.HOLD, ORDER, key=KEY, body=BODY)
    assert sent.kind is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("-3", 0),
        ("nan", 1),
        ("inf", 1),
        ("1e9", 3600),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1),
    ],
)
async def test_a_wait_that_the_marketplace_asks_for_is_bounded(
    liar: Liar, header: str, seconds: float
) -> None:
    liar.status, liar.headers = 503, {"Retry-After": header}
    async with aiohttp.ClientSession() as session:
        sent = await MarketApi(session, liar.url, "t").send(Verb.HOLD, ORDER, key=KEY, body=BODY)
    assert (sent.kind, sent.retry_after_s) == (OutcomeKind.NOT_DONE, seconds)


@pytest.mark.parametrize("subject_id", ["", ".", "..", "\ud800"])
async def test_an_id_that_no_address_can_hold_is_not_found_and_nobody_is_asked(
    liar: Liar, subject_id: str
) -> None:
    subject = Subject(SubjectKind.ORDER, subject_id)
    async with aiohttp.ClientSession() as session:
        api = MarketApi(session, liar.url, "t")
        sent = await api.send(Verb.HOLD, subject, key=KEY, body=BODY)
        with pytest.raises(SubjectNotFound):
            await api.plan(Verb.HOLD, subject)
    assert (sent.kind, sent.code) == (OutcomeKind.REFUSED, "not_found")
    assert liar.asked == []


async def test_an_id_stays_inside_its_place_in_the_address(liar: Liar) -> None:
    async with aiohttp.ClientSession() as session:
        api = MarketApi(session, liar.url, "t")
        await api.send(Verb.HOLD, Subject(SubjectKind.ORDER, "../a?b#c%2F"), key=KEY, body=BODY)
    assert liar.asked == ["/v1/orders/..%2Fa%3Fb%23c%252F/hold"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(liar: Liar, status: int) -> None:
    liar.status, liar.headers = status, {"Location": f"{liar.url}/elsewhere"}
    async with aiohttp.ClientSession() as session:
        api = MarketApi(session, liar.url, "t")
        sent = await api.send(Verb.HOLD, ORDER, key=KEY, body=BODY)
        with pytest.raises(MarketUnreachable):
            await api.lookup(KEY)
    assert sent.kind is OutcomeKind.UNKNOWN
    assert liar.asked == ["/v1/orders/O-1/hold", f"/v1/operations/{KEY}"]


PLAN: dict[str, Any] = {
    "kind": "hold",
    "subject_id": "O-1",
    "allowed": True,
    "reversible": True,
    "plan_token": "p",
    "steps": [],
}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "cancel"},
        {"subject_id": "O-2"},
        {"allowed": "false"},
        {"reversible": 1},
        {"plan_token": None},
        {"refund_amount": "9"},
        {"refund_amount": True},
        {"steps": None},
        {"messages": [{"to": "buyer"}]},
        {"affects": [{"kind": "order", "id": 1}]},
    ],
)
async def test_a_plan_that_is_not_as_the_contract_says_is_no_plan(
    liar: Liar, change: dict[str, Any]
) -> None:
    async with aiohttp.ClientSession() as session:
        api = MarketApi(session, liar.url, "t")
        liar.body = json.dumps(PLAN).encode()
        assert (await api.plan(Verb.HOLD, ORDER)).allowed
        liar.body = json.dumps({**PLAN, **change}).encode()
        with pytest.raises(MarketUnreachable):
            await api.plan(Verb.HOLD, ORDER)


async def test_a_connection_that_breaks_after_sending_leaves_the_outcome_unknown() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        api = MarketApi(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "t")
        assert (await api.send(Verb.HOLD, ORDER, key=KEY, body=BODY)).kind is OutcomeKind.UNKNOWN
        assert (await api.retry_steps(KEY)).kind is OutcomeKind.UNKNOWN
        with pytest.raises(MarketUnreachable):
            await api.lookup(KEY)


async def test_operations_are_read_page_by_page(shop: Shop) -> None:
    for n in range(101):
        await shop.api.send(
            Verb.RELEASE if n % 2 else Verb.HOLD, ORDER, key=f"op_number_{n:03}", body=BODY
        )
    first = await shop.api.operations(shop.clock.now(), None)
    second = await shop.api.operations(shop.clock.now(), first.next_cursor)
    received = first.operations + second.operations
    assert [one.key for one in received] == [f"op_number_{n:03}" for n in range(101)]
    assert second.next_cursor is None
    assert received[0].received_at == shop.clock.now()


async def test_only_failed_steps_are_retried(shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.STEP_FAILS, times=1)
    await shop.api.send(Verb.CANCEL, ORDER, key=KEY, body=BODY)
    again = await shop.api.retry_steps(KEY)
    assert again.kind is OutcomeKind.SUCCEEDED
    assert len(await shop.market.effects()) == 1
    once_more = await shop.api.retry_steps(KEY)
    assert (once_more.kind, once_more.code) == (OutcomeKind.REFUSED, "nothing_to_retry")
