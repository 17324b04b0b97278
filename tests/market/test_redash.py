"""The client of Redash against answers that are not as they should be, each with a sentence and without the key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.market.redash import (
    RedashApi,
    RedashAway,
    RedashFault,
    RedashHasNone,
    RedashKeyRefused,
    RedashQueryFails,
)
from bot.playground.redash import QueryFailsError, Redash, serve_redash

KEY = "canary-key"
Answer = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def answering(answer: Answer, **limits: Any) -> AsyncIterator[RedashApi]:
    """A client of somebody who answers everything so."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield RedashApi(session, f"http://127.0.0.1:{runner.addresses[0][1]}/", KEY, **limits)
    finally:
        await runner.cleanup()


def result(data: Any, **changes: Any) -> dict[str, Any]:
    told = {"id": 7, "retrieved_at": "2026-11-22T07:01:03.412Z", "data": data, **changes}
    return {"query_result": told}


ROWS = {"columns": [{"name": "a", "type": "float"}], "rows": [{"a": 0.1}]}


@pytest.mark.parametrize("data", [ROWS, json.dumps(ROWS)])
async def test_rows_come_with_exact_decimals_as_text_in_old_versions_too(data: Any) -> None:
    async with answering(lambda _: web.json_response(result(data))) as api:
        found = await api.result(318)
    assert found.rows == ({"a": Decimal("0.1")},)
    assert found.columns == ("a",)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, "<html>", RedashAway),
        (200, "[]", RedashAway),
        (200, "{}", RedashAway),
        (200, json.dumps(result({"columns": [], "rows": [1]})), RedashAway),
        (200, json.dumps(result(ROWS, retrieved_at="soon")), RedashAway),
        (200, json.dumps(result(ROWS, id="x")), RedashAway),
        (200, "[" * 100_000, RedashAway),
        (302, "", RedashKeyRefused),
        (403, "{}", RedashKeyRefused),
        (404, '{"message": "No cached result found for this query."}', RedashHasNone),
        (404, "gone", RedashHasNone),
        (429, "", RedashAway),
        (500, '{"message": "canary"}', RedashAway),
        (502, "", RedashAway),
    ],
)
async def test_every_other_answer_is_a_fault_of_its_kind(
    status: int, body: str, kind: type[RedashFault]
) -> None:
    def answer(request: web.Request) -> web.Response:
        # A redirect is not followed: our key would go along.
        assert request.path != "/elsewhere"
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere"})

    async with answering(answer) as api:
        with pytest.raises(kind) as caught:
            await api.result(318)
    assert "canary" not in str(caught.value)


async def test_a_result_that_is_too_large_is_not_read_to_its_end() -> None:
    async with answering(lambda _: web.Response(body=b"x" * 200_000), largest=100_000) as api:
        with pytest.raises(RedashFault, match="larger than 100,000 bytes"):
            await api.result(318)


@pytest.mark.parametrize(
    "job",
    [None, {}, {"status": "1"}, {"status": 1, "id": "../alerts"}, {"status": 3, "id": "a"}],
)
async def test_a_job_that_is_none_is_not_waited_for(job: Any) -> None:
    async with answering(lambda _: web.json_response({"job": job}), job_poll_s=0) as api:
        with pytest.raises(RedashAway):
            await api.run(318, {}, timedelta())


async def test_a_job_that_never_ends_is_given_up() -> None:
    job = {"job": {"id": "a-b", "status": 2}}
    async with answering(lambda _: web.json_response(job), job_poll_s=0, job_timeout_s=0.05) as api:
        with pytest.raises(RedashAway, match="still runs"):
            await api.run(318, {}, timedelta())


async def test_a_job_of_a_query_that_fails_says_so_and_quotes_nothing() -> None:
    redash = Redash(user_key=KEY)

    def fails(_: object) -> list[dict[str, Any]]:
        raise QueryFailsError("canary row")

    redash.add_query(318, fails)
    async with serve_redash(redash) as url, aiohttp.ClientSession() as session:
        api = RedashApi(session, url, KEY, job_poll_s=0)
        with pytest.raises(RedashQueryFails, match="query 318") as caught:
            await api.run(318, {}, timedelta())
        assert "canary" not in str(caught.value)
        redash.queries[318].parameters = ("least",)
        with pytest.raises(RedashQueryFails):
            await api.run(318, {}, timedelta())


async def test_without_any_key_nothing_is_sent() -> None:
    async with aiohttp.ClientSession() as session:
        api = RedashApi(session, "http://127.0.0.1:9", None)
        assert not api.sees_alerts
        with pytest.raises(RedashKeyRefused, match="set REDASH_API_KEY"):
            await api.alerts()
