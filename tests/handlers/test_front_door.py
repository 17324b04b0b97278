from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot.handlers.front_door import FrontDoor

NOW = 1_790_000_000
SECRET = "the-new-secret"
OLD_SECRET = "the-old-secret"
FORM = "application/x-www-form-urlencoded"
CANARY = "canary-7f3a"

BODY = urlencode(
    {
        "payload": json.dumps(
            {
                "type": "block_actions",
                "token": CANARY,
                "team": {"id": "T1"},
                "user": {"id": "U1"},
                "actions": [{"type": "button", "action_id": "act:hold", "block_id": "b"}],
            }
        )
    }
).encode()


def signature(body: bytes, *, secret: str = SECRET, timestamp: str = str(NOW)) -> str:
    signed = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def headers(body: bytes, **changes: str) -> dict[str, str]:
    return {
        "Content-Type": FORM,
        "X-Slack-Request-Timestamp": str(NOW),
        "X-Slack-Signature": signature(body),
        **changes,
    }


async def authorize(**_: Any) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1")


class Door:
    """A front door with a real Bolt app behind it that counts what it is given."""

    def __init__(self) -> None:
        self.reached = 0
        self.url = ""
        app = AsyncApp(
            authorize=authorize,
            signing_secret="unused",
            process_before_response=True,
            request_verification_enabled=False,
        )

        @app.action("act:hold")
        async def clicked(ack: Any) -> None:
            self.reached += 1
            await ack()

        self.front = FrontDoor(app, [SECRET, OLD_SECRET], now=lambda: NOW)

    async def post(self, body: bytes, head: dict[str, str]) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=io.BytesIO(body), headers=head) as answer,
        ):
            return answer.status, await answer.text()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    app = web.Application(client_max_size=2**21)
    app.router.add_post("/slack/events", door.front.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    door.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    yield door
    await runner.cleanup()


async def test_what_slack_signed_comes_in(door: Door) -> None:
    status, _ = await door.post(BODY, headers(BODY))
    assert (status, door.reached) == (200, 1)


async def test_the_previous_secret_is_good_during_rotation(door: Door) -> None:
    status, _ = await door.post(
        BODY, headers(BODY, **{"X-Slack-Signature": signature(BODY, secret=OLD_SECRET)})
    )
    assert (status, door.reached) == (200, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=é" + "0" * 63},
        {"X-Slack-Signature": signature(BODY, secret="another")},
        {"X-Slack-Signature": signature(BODY).upper()},
        {"X-Slack-Signature": signature(BODY) + "0"},
        {"X-Slack-Request-Timestamp": "abc"},
        {"X-Slack-Request-Timestamp": "9" * 400},
        {"X-Slack-Request-Timestamp": "1_790_000_000"},
        {"X-Slack-Request-Timestamp": "١٧٩٠٠٠٠٠٠٠"},
        {"X-Slack-Request-Timestamp": str(NOW - 301)},
        {"X-Slack-Request-Timestamp": str(NOW + 301)},
        {"X-Slack-Request-Timestamp": f"{NOW}.5"},
        {"X-Slack-Request-Timestamp": f"-{NOW}"},
    ],
)
async def test_a_forged_request_is_refused_and_reaches_nobody(
    door: Door, changes: dict[str, str]
) -> None:
    head = headers(BODY, **changes)
    status, _ = await door.post(BODY, head)
    assert (status, door.reached) == (401, 0)


async def test_a_signed_timestamp_outside_five_minutes_is_refused(door: Door) -> None:
    old = str(NOW - 301)
    status, text = await door.post(
        BODY,
        headers(
            BODY,
            **{
                "X-Slack-Request-Timestamp": old,
                "X-Slack-Signature": signature(BODY, timestamp=old),
            },
        ),
    )
    assert (status, json.loads(text)) == (401, {"error": "skew"})


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000 + b"]" * 100_000, "application/json"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json"),
        (b"payload=", FORM),
        (b"payload=[]", FORM),
        (b"payload=not-json", FORM),
        (b"payload=%ff%fe", FORM),
        (b"a", FORM),
        (b"", FORM),
        (BODY, "text/plain"),
        (BODY, "multipart/form-data; boundary=x"),
    ],
)
async def test_signed_garbage_is_a_400_without_a_traceback(
    door: Door, body: bytes, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    status, _ = await door.post(body, headers(body, **{"Content-Type": content_type}))
    assert (status, door.reached) == (400, 0)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_huge_body_is_refused_before_it_is_read_whole(door: Door) -> None:
    body = b"x" * (1024 * 1024 + 1)
    status, _ = await door.post(body, headers(body))
    assert status == 413


async def test_bolts_own_headers_from_the_wire_are_dropped(door: Door) -> None:
    status, _ = await door.post(
        BODY,
        headers(
            BODY,
            **{"X-Slack-Bolt-Lazy-Only": "1", "x-slack-bolt-lazy-function-name": "clicked"},
        ),
    )
    assert (status, door.reached) == (200, 1)


async def test_no_word_of_a_refused_body_is_logged(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await door.post(BODY, headers(BODY, **{"X-Slack-Signature": "v0=" + "0" * 64}))
    assert "refused: signature" in caplog.text
    assert CANARY not in caplog.text
    assert door.front.refused["signature"] == 1
