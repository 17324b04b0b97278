from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot.handlers import front_door
from bot.handlers.errands import Errands
from bot.handlers.front_door import HTTP_LOGGER, FrontDoor, MalformedError
from tests.planting import planted

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
        self.then: Callable[[], Awaitable[None]] | None = None
        app = AsyncApp(
            authorize=authorize,
            signing_secret="unused",
            process_before_response=True,
            request_verification_enabled=False,
        )

        @app.action("act:hold")
        async def clicked(ack: Any) -> None:
            self.reached += 1
            if self.then is not None:
                await self.then()
            await ack()

        self.front = FrontDoor(app, [SECRET, OLD_SECRET], now=lambda: NOW)

    async def post(self, body: bytes, head: Mapping[str, str]) -> tuple[int, str]:
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
    runner = web.AppRunner(app, logger=HTTP_LOGGER)
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
        (b"{=1", "application/json"),
        (b"payload=%7B%7D&payload=%7B%7D", FORM),
        (b"text=%00&command=/cre", FORM),
        (b"&".join(b"a%d=1" % n for n in range(200)), FORM),
        (BODY, FORM + "; charset=bogus"),
        (BODY, FORM + "; charset=utf-16"),
        (BODY, "application/json"),
        (b'{"type":"block_actions","text":"\\ud800"}', "application/json"),
        (b'{"type":"block_actions","text":"\\u0000"}', "application/json"),
        (b'{"\\udfff":1}', "application/json"),
        (b'{"a":NaN}', "application/json"),
        (b'{"a":' + b"9" * 5000 + b"}", "application/json"),
        (b'{"type":["block_actions"]}', "application/json"),
        (b'{"user":7}', "application/json"),
        (b'{"user":{"id":[]}}', "application/json"),
        (b'{"authorizations":[1]}', "application/json"),
        (b'{"authorizations":{"0":1}}', "application/json"),
        (b'{"actions":"act:hold"}', "application/json"),
        (b'{"event":"message"}', "application/json"),
        (b'{"event":{"user":{"id":{}}}}', "application/json"),
        (b'{"response_urls":[[]]}', "application/json"),
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


@pytest.mark.parametrize(
    "name", ["X-Slack-Bolt-Lazy-Only", "x-slack-bolt-lazy-function-name", "X-SLACK-BOLT-ANYTHING"]
)
async def test_bolts_own_headers_from_the_wire_are_refused(door: Door, name: str) -> None:
    status, text = await door.post(BODY, headers(BODY, **{name: "1"}))
    assert (status, door.reached) == (400, 0)
    assert json.loads(text) == {"error": "bolt_header"}


async def test_two_timestamps_or_two_signatures_are_refused(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    for twice in ("X-Slack-Request-Timestamp", "X-Slack-Signature"):
        head = CIMultiDict(headers(BODY))
        head.add(twice, head[twice])
        status, _ = await door.post(BODY, head)
        assert (status, door.reached) == (401, 0)
    head = CIMultiDict(headers(BODY))
    head.add("Content-Type", FORM)
    assert (await door.post(BODY, head))[0] == 400
    # A content type twice is no HTTP: the server itself refuses it, and quotes no header in the log.
    assert door.front.refused == {"timestamp": 1, "signature": 1}
    assert "a request was refused: BadHttpMessage" in caplog.text
    assert "Traceback" not in caplog.text
    assert head["X-Slack-Signature"] not in caplog.text


async def test_nothing_is_parsed_before_it_is_verified(door: Door) -> None:
    parsed: list[bytes] = []

    def parse(body: bytes, content_types: object) -> dict[str, Any]:
        parsed.append(body)
        raise MalformedError("asked to parse")

    with planted(front_door, parse=parse, AsyncBoltRequest=parse):
        for changes in (
            {"X-Slack-Signature": "v0=" + "0" * 64},
            {"X-Slack-Request-Timestamp": "1"},
        ):
            assert (await door.post(BODY, headers(BODY, **changes)))[0] == 401
        assert parsed == []
        assert (await door.post(BODY, headers(BODY)))[0] == 400
    assert parsed == [BODY]


async def test_ssl_checks_and_challenges_need_a_signature_too(door: Door) -> None:
    for body, content_type in (
        (b"ssl_check=1&token=x", FORM),
        (b'{"type":"url_verification","challenge":"c"}', "application/json"),
    ):
        unsigned = {"Content-Type": content_type}
        assert (await door.post(body, unsigned))[0] == 401
        signed = headers(body, **{"Content-Type": content_type})
        assert (await door.post(body, signed))[0] == 200


async def test_a_compressed_body_is_refused_before_it_grows(door: Door) -> None:
    body = gzip.compress(b"payload=" + b" " * 50_000_000)
    status, _ = await door.post(body, headers(body, **{"Content-Encoding": "gzip"}))
    assert (status, door.reached) == (400, 0)
    status, _ = await door.post(b"not gzip", headers(b"not gzip", **{"Content-Encoding": "gzip"}))
    assert status == 400


async def test_a_body_of_text_that_holds_the_word_payload_is_a_form_all_the_same(
    door: Door,
) -> None:
    body = urlencode({"command": "/cre", "text": "payload {", "user_id": "U1"}).encode()
    await door.post(body, headers(body))
    assert door.front.refused == {}


def problem(door: Door) -> str | None:
    return door.front.problem


@pytest.mark.parametrize(
    "document",
    [
        {"type": "block_actions"},
        {"type": "block_actions", "actions": []},
        {"type": "block_actions", "actions": [{"block_id": "b"}]},
        {"type": "view_submission", "view": {}},
        {"type": "view_submission", "view": None},
        {"type": "view_submission", "view": {"callback_id": "c"}},
        {"type": "event_callback", "event": {"user": "U1"}},
        {"type": "event_callback"},
        {"type": "dialog_submission"},
        {"type": "block_suggestion", "action_id": "a"},
        {"type": "shortcut", "callback_id": "c"},
        {},
    ],
    ids=str,
)
async def test_what_is_for_nobody_is_a_404_before_bolt_sees_it(
    door: Door, document: dict[str, Any]
) -> None:
    body = json.dumps(document).encode()
    status, text = await door.post(body, headers(body, **{"Content-Type": "application/json"}))
    assert (status, json.loads(text)) == (404, {"error": "unknown"})


async def test_nulls_where_bolt_expects_objects_are_as_good_as_missing(door: Door) -> None:
    click = json.loads(dict(parse_qsl(BODY.decode()))["payload"])
    for name in ("event", "response_urls", "view", "message", "authorizations", "channel"):
        body = json.dumps({**click, name: None}).encode()
        status, _ = await door.post(body, headers(body, **{"Content-Type": "application/json"}))
        assert status == 200, name
    assert door.reached == 6


async def test_what_a_press_starts_begins_when_its_answer_is_on_the_wire(door: Door) -> None:
    order: list[str] = []
    errands = Errands()

    async def errand() -> None:
        order.append("errand")

    async def press() -> None:
        errands.start(errand())
        for _ in range(10):
            await asyncio.sleep(0)
        order.append("answered")

    door.then = press
    status, _ = await door.post(BODY, headers(BODY))
    assert status == 200
    await asyncio.sleep(0)
    await errands.drain()
    assert order == ["answered", "errand"]


async def test_our_clock_is_in_question_when_slacks_requests_come_from_another_time(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async def post(skew_s: int, secret: str = SECRET) -> int:
        then = str(NOW - skew_s)
        signed = signature(BODY, secret=secret, timestamp=then)
        changes = {"X-Slack-Request-Timestamp": then, "X-Slack-Signature": signed}
        return (await door.post(BODY, headers(BODY, **changes)))[0]

    # What nobody signed says nothing about our clock, and one late request is not the clock.
    assert [await post(400, "another") for _ in range(5)] == [401] * 5
    assert [await post(400), await post(400)] == [401, 401]
    assert problem(door) is None
    assert await post(90) == 200
    assert problem(door) == "clock: +90 s from Slack's"
    assert "our clock is +90 s from Slack's" in caplog.text
    assert door.front.refused == {"signature": 5, "skew": 2}
    assert await post(2) == 200
    assert problem(door) is None


@pytest.mark.parametrize("charset", ["; charset=utf-8", ";charset=UTF-8", '; charset="utf-8"', ""])
async def test_utf_8_may_be_named(door: Door, charset: str) -> None:
    status, _ = await door.post(BODY, headers(BODY, **{"Content-Type": FORM + charset}))
    assert (status, door.reached) == (200, 1)


async def test_no_word_of_a_refused_body_is_logged(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await door.post(BODY, headers(BODY, **{"X-Slack-Signature": "v0=" + "0" * 64}))
    assert "refused: signature" in caplog.text
    assert CANARY not in caplog.text
    assert door.front.refused["signature"] == 1
