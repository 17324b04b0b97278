from __future__ import annotations

import asyncio
import io
import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy.pool import NullPool

from bot.cases.room import Room
from bot.handlers.front_door import HTTP_LOGGER, MAX_BODY
from bot.handlers.redash_door import RedashDoor
from bot.jobs.redash_intake import Stored, store_webhook
from bot.ledger.engine import create_engine
from tests.cases.conftest import room
from tests.planting import planted
from tests.redash_stage import WEBHOOK_PASSWORD, WEBHOOK_SECRET, WEBHOOK_USER

__all__ = ["room"]

BODY = json.dumps({"event": "alert_state_change", "canary": "canary-of-the-body"}).encode()


def basic(user: str = WEBHOOK_USER, password: str = WEBHOOK_PASSWORD) -> dict[str, str]:
    coded = b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {coded}", "Content-Type": "application/json"}


class Door:
    """The door over real HTTP; what it stores is kept here."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.then: Callable[[], Awaitable[Stored]] | None = None
        self.base = ""
        self.door = RedashDoor(
            self.store,
            user=WEBHOOK_USER,
            password=WEBHOOK_PASSWORD,
            secret=WEBHOOK_SECRET,
            # So that no slow machine fails what is about something else.
            answer_s=60,
        )

    async def store(self, body: bytes) -> Stored:
        self.bodies.append(body)
        return Stored.NEW if self.then is None else await self.then()

    async def post(
        self,
        body: bytes = BODY,
        headers: dict[str, str] | None = None,
        *,
        secret: str = WEBHOOK_SECRET,
    ) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.base}/webhooks/redash/{secret}",
                data=io.BytesIO(body),
                headers=basic() if headers is None else headers,
            ) as answer,
        ):
            return answer.status


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    app = web.Application(client_max_size=2**21)
    door.door.add_to(app)
    runner = web.AppRunner(app, access_log=None, logger=HTTP_LOGGER)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    door.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield door
    await runner.cleanup()


async def test_who_knows_address_and_password_is_let_in_and_answered_200(door: Door) -> None:
    assert await door.post() == 200
    assert door.bodies == [BODY]


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({}, WEBHOOK_SECRET),
        (basic(), WEBHOOK_SECRET[:-1]),
        (basic(), WEBHOOK_SECRET + "0"),
        (basic(), WEBHOOK_SECRET.upper()),
        (basic(), "%00"),
        (basic(), "%ff%fe"),
        (basic(password="another"), WEBHOOK_SECRET),
        (basic(password=""), WEBHOOK_SECRET),
        (basic(user="another"), WEBHOOK_SECRET),
        (basic(user="", password=f"{WEBHOOK_USER}:{WEBHOOK_PASSWORD}"), WEBHOOK_SECRET),
        ({"Authorization": basic()["Authorization"].replace("Basic", "Bearer")}, WEBHOOK_SECRET),
        ({"Authorization": "Basic not-base64!"}, WEBHOOK_SECRET),
        ({"Authorization": "Basic"}, WEBHOOK_SECRET),
        ({"Authorization": "é"}, WEBHOOK_SECRET),
    ],
)
async def test_whoever_lacks_one_of_both_is_refused_and_nothing_is_stored(
    door: Door, headers: dict[str, str], secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert await door.post(headers=headers, secret=secret) == 401
    assert door.bodies == []
    assert "canary" not in caplog.text


async def test_two_authorizations_are_none(door: Door) -> None:
    async with aiohttp.ClientSession() as session:
        twice = [("Authorization", basic()["Authorization"])] * 2
        async with session.post(
            f"{door.base}/webhooks/redash/{WEBHOOK_SECRET}", data=BODY, headers=twice
        ) as answer:
            assert answer.status in {400, 401}
    assert door.bodies == []


async def test_a_huge_or_compressed_body_is_refused_before_it_is_stored(door: Door) -> None:
    assert await door.post(b"x" * (MAX_BODY + 1)) == 413
    assert await door.post(BODY, {**basic(), "Content-Encoding": "gzip"}) == 400
    assert door.bodies == []


async def test_a_body_without_a_length_is_read_only_so_far(door: Door) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{door.base}/webhooks/redash/{WEBHOOK_SECRET}", data=endless(), headers=basic()
        ) as answer,
    ):
        assert answer.status == 413
    assert door.bodies == []


async def test_what_cannot_be_stored_in_time_is_said_before_redash_hangs_up(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async def never() -> Stored:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    door.then = never
    with planted(door.door, _answer_s=0.2):
        assert await door.post() == 503
    assert "could not be stored in time" in caplog.text


async def test_garbage_of_somebody_who_may_is_stored_all_the_same(door: Door) -> None:
    async def unreadable() -> Stored:
        return Stored.UNREADABLE

    door.then = unreadable
    assert await door.post(b"{") == 200
    assert door.bodies == [b"{"]


async def test_with_the_ledger_away_the_answer_is_a_loud_503(
    door: Door, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = create_engine("postgresql://nobody:nothing@127.0.0.1:9/none", poolclass=NullPool)
    away = replace(room, engine=nowhere)
    door.then = partial(store_webhook, away, BODY)
    assert await door.post() == 503
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    assert "canary" not in caplog.text
    await nowhere.dispose()
