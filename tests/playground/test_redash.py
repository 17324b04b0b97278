"""The local Redash behaves as Redash does where that hurts; what it sends in every version is understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.domain.redash import AlertState, StrangePayloadError, read_webhook
from bot.playground.redash import QueryFailsError, Redash, Webhook, serve_redash

AT = datetime(2026, 11, 22, 7, 1, 3, 412000, tzinfo=UTC)
KEY = "the-user-key"


@dataclass
class Clock:
    at: datetime = AT

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Receiver:
    """Somebody who takes webhooks, and answers as told."""

    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    hold: asyncio.Event | None = None
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        if self.hold is not None:
            await self.hold.wait()
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    if receiver.hold is not None:
        receiver.hold.set()
    await runner.cleanup()


def a_redash(receiver: Receiver, rows: list[dict[str, Any]], **options: Any) -> Redash:
    redash = Redash(user_key=KEY, webhook=Webhook(url=receiver.url), now=Clock())
    redash.add_query(318, lambda _: list(rows), columns=("cnt",))
    redash.add_alert(42, 318, column="cnt", **options)
    return redash


def states(redash: Redash) -> list[str]:
    return [one.payload["alert"]["state"] for one in redash.sent]


async def test_it_tells_a_change_once_and_is_silent_while_triggered(receiver: Receiver) -> None:
    rows: list[dict[str, Any]] = [{"cnt": 1}]
    redash = a_redash(receiver, rows)
    await redash.refresh(318)
    rows.append({"cnt": 2})
    await redash.refresh(318)
    assert states(redash) == ["triggered"]


async def test_it_tells_again_after_the_rearm_time_alone(receiver: Receiver) -> None:
    redash = a_redash(receiver, [{"cnt": 1}], rearm=60)
    await redash.refresh(318)
    redash.now = Clock(AT + timedelta(seconds=59))
    await redash.refresh(318)
    assert states(redash) == ["triggered"]
    redash.now = Clock(AT + timedelta(seconds=61))
    await redash.refresh(318)
    assert states(redash) == ["triggered", "triggered"]
    first, second = (read_webhook(body) for body in receiver.bodies)
    assert first.key != second.key


async def test_zero_rows_are_unknown_and_not_ok(receiver: Receiver) -> None:
    rows: list[dict[str, Any]] = [{"cnt": 1}]
    redash = a_redash(receiver, rows)
    await redash.refresh(318)
    rows.clear()
    await redash.refresh(318)
    assert states(redash) == ["triggered", "unknown"]
    # From unknown to ok it says nothing.
    rows.append({"cnt": 0})
    await redash.refresh(318)
    assert (states(redash), redash.alerts[42].state) == (["triggered", "unknown"], "ok")


async def test_a_failing_query_evaluates_nothing(receiver: Receiver) -> None:
    redash = a_redash(receiver, [])

    def fails(_: object) -> list[dict[str, Any]]:
        raise QueryFailsError("no such table")

    redash.queries[318].run = fails
    assert not await redash.refresh(318)
    assert (redash.sent, redash.alerts[42].state) == ([], "unknown")


async def test_a_null_under_max_kills_the_job_and_a_template_without_selector_the_webhook(
    receiver: Receiver,
) -> None:
    redash = a_redash(receiver, [{"cnt": 1}, {"cnt": None}], selector="max")
    await redash.refresh(318)
    assert (redash.sent, redash.alerts[42].state) == ([], "unknown")
    redash = a_redash(receiver, [{"cnt": 1}], selector=None, custom_body="{{QUERY_RESULT_ROWS}}")
    await redash.refresh(318)
    assert (redash.sent, redash.alerts[42].state) == ([], "triggered")


async def test_it_never_tries_again_whatever_it_is_answered(receiver: Receiver) -> None:
    receiver.status = 500
    redash = a_redash(receiver, [{"cnt": 1}])
    await redash.refresh(318)
    await redash.refresh(318)
    assert [one.status for one in redash.sent] == [500]
    assert len(receiver.bodies) == 1


async def test_it_hangs_up_when_its_time_is_over(receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    redash = a_redash(receiver, [{"cnt": 1}])
    redash.webhook_timeout_s = 0.1
    await redash.refresh(318)
    assert [one.status for one in redash.sent] == [None]


@pytest.mark.parametrize("version", [10, 2019, 25])
async def test_what_each_version_sends_is_the_same_to_us(receiver: Receiver, version: int) -> None:
    redash = a_redash(receiver, [{"cnt": 1}])
    assert redash.webhook is not None
    redash.webhook.version = version
    await redash.refresh(318)
    (body,) = receiver.bodies
    assert ("metadata" in json.loads(body)) == (version == 25)
    assert ("description" in json.loads(body)) == (version == 2019)
    assert read_webhook(body) == AlertState(
        alert_id=42, query_id=318, state="triggered", last_triggered_at=AT
    )


def test_the_payload_as_it_stands_in_the_source_is_understood() -> None:
    body = json.dumps(
        {
            "event": "alert_state_change",
            "alert": {
                "id": 42,
                "name": "[P1] self-dealing orders",
                "options": {
                    "column": "cnt",
                    "op": ">",
                    "value": "0",
                    "selector": "first",
                    "muted": False,
                    "custom_subject": "{{ALERT_NAME}} {{ALERT_STATUS}}",
                },
                "state": "triggered",
                "last_triggered_at": "2026-11-22T07:01:03.412Z",
                "updated_at": "2026-11-22T07:01:03.415Z",
                "created_at": "2026-10-01T02:11:09.100Z",
                "rearm": 3600,
                "query_id": 318,
                "user_id": 7,
                "description": "自己取引",
                "title": "[P1] self-dealing orders TRIGGERED",
            },
            "url_base": "https://redash.example.com",
            "metadata": {"query_id": 318, "Scheduled": True},
        },
        # Before December 2025 everything beyond ASCII was escaped.
        ensure_ascii=True,
    ).encode()
    told = read_webhook(body)
    assert (told.alert_id, told.query_id, told.state) == (42, 318, "triggered")
    assert told.last_triggered_at == AT


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": True},
        {"id": 0},
        {"id": "42"},
        {"query_id": None},
        {"query_id": 2**64},
        {"state": None},
        {"state": ""},
        {"state": "a" * 41},
        {"state": "a\x00"},
        {"last_triggered_at": 17},
        {"last_triggered_at": "soon"},
        {"last_triggered_at": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_what_no_version_sends_is_strange(change: dict[str, Any]) -> None:
    alert = {"id": 42, "query_id": 318, "state": "ok", "last_triggered_at": None, **change}
    body = json.dumps({"event": "alert_state_change", "alert": alert}).encode()
    with pytest.raises(StrangePayloadError):
        read_webhook(body)


@asynccontextmanager
async def asking(redash: Redash, key: str) -> AsyncIterator[Any]:
    async with serve_redash(redash) as url, aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, Any]:
            headers = {"Authorization": f"Key {key}"} if key else {}
            async with session.get(url + path, headers=headers) as answer:
                return answer.status, await answer.json()

        yield get


async def test_who_has_no_key_is_told_that_there_is_nothing(receiver: Receiver) -> None:
    redash = a_redash(receiver, [])
    for key in ("", "wrong", "Key", redash.queries[318].api_key[:-1]):
        async with asking(redash, key) as get:
            for path in ("/api/alerts", "/api/queries/318", "/api/queries/999"):
                status, told = await get(path)
                assert (status, "Please login" in told["message"]) == (404, True), (key, path)


async def test_a_querys_own_key_opens_that_query_alone(receiver: Receiver) -> None:
    redash = a_redash(receiver, [{"cnt": 1}])
    redash.add_query(319, [])
    async with asking(redash, redash.queries[318].api_key) as get:
        assert (await get("/api/queries/318"))[0] == 200
        assert (await get("/api/queries/319"))[0] == 404
        assert (await get("/api/alerts"))[0] == 404
        # There is such a query, and no result yet.
        status, told = await get("/api/queries/318/results.json")
        assert (status, told) == (404, {"message": "No cached result found for this query."})
        await redash.refresh(318)
        status, told = await get("/api/queries/318/results.json")
        assert (status, told["query_result"]["data"]["rows"]) == (200, [{"cnt": 1}])
        assert told["query_result"]["retrieved_at"] == "2026-11-22T07:01:03.412Z"
