from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
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

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, body=self.body, content_type="application/json")


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
        (200, b" " * (1024 * 1024 + 1), OutcomeKind.UNKNOWN),
        (200, b'{"state": "succeeded"}', OutcomeKind.UNKNOWN),
        (200, {**GOOD, "idempotency_key": "another-key"}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "kind": "cancel"}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "subject_id": "O-2"}, OutcomeKind.UNKNOWN),
        (200, {**GOOD, "state": "fine"}, OutcomeKind.UNKNOWN),
        (200, GOOD, OutcomeKind.SUCCEEDED),
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
