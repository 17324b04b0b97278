"""A sample of what `make fuzz` sends, and by name whatever once broke something."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.fuzz.inputs import FORM, JSON, Input, Inputs, encoded, request, signature
from tests.fuzz.running import Wire, a_bot, fuzz, wrong_lines
from tests.journeys.stage import Stage

INPUTS = 1200
MAY_GROW_MB = 30.0


def signed(document: dict[str, Any], content_type: str = FORM, body: bytes | None = None) -> Input:
    body = encoded(content_type, document) if body is None else body
    stamp = str(int(time.time()))
    return request("case", body, content_type, stamp, signature(body, stamp))


BY = {"user": {"id": "U0SATO", "team_id": "T0MIMAWARI"}, "team": {"id": "T0MIMAWARI"}}
CLICK = {"type": "block_actions", **BY}
SENT = {"type": "view_submission", **BY}
REPLY = {"type": "message", "user": "U0SATO", "text": "x"}

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "no actions": ({**CLICK, "actions": []}, FORM),
    "a click with an event that is nothing": (
        {**CLICK, "event": None, "actions": [{"action_id": "act:hold", "value": "2001|1"}]},
        FORM,
    ),
    "a modal without response urls": (
        {**SENT, "view": {"type": "modal", "callback_id": "act:x"}, "response_urls": None},
        FORM,
    ),
    "an action without an id": ({**CLICK, "actions": [{"value": "2001|1"}]}, FORM),
    "a case beyond every column": (
        {**CLICK, "actions": [{"action_id": "act:hold", "value": "9" * 30 + "|1"}]},
        FORM,
    ),
    "a version beyond every column": (
        {**CLICK, "actions": [{"action_id": "act:hold", "value": "2001|" + "9" * 12}]},
        FORM,
    ),
    "a value that is an object": (
        {**CLICK, "actions": [{"action_id": "act:hold", "value": {"a": 1}}]},
        FORM,
    ),
    "a user that is a number": ({**CLICK, "user": 7, "actions": [{"action_id": "a"}]}, FORM),
    "a modal without a type": ({**SENT, "view": {"callback_id": "act:cancel"}}, FORM),
    "plans that are an object": (
        {
            **SENT,
            "view": {
                "type": "modal",
                "callback_id": "act:cancel",
                "private_metadata": '{"case":2001,"version":1,"plans":{"a":1}}',
            },
        },
        FORM,
    ),
    "metadata that is a list": (
        {**SENT, "view": {"type": "modal", "callback_id": "act:cancel", "private_metadata": "[]"}},
        FORM,
    ),
    "an event that is a text": ({"type": "event_callback", "event": "message"}, JSON),
    "a reply without a channel": (
        {
            "type": "event_callback",
            "team_id": "T0MIMAWARI",
            "event": {**REPLY, "thread_ts": "1.1", "ts": "1.2"},
        },
        JSON,
    ),
    "a command of nobody": ({"command": "/cre", "text": "queue"}, FORM),
    "a command with NUL": ({"command": "/cre", "text": "case \x00", "user_id": "U0SATO"}, FORM),
    "a digest of no day": (
        {
            "command": "/cre",
            "text": "digest 9999-99-99",
            "user_id": "U0SATO",
            "team_id": "T0MIMAWARI",
            "channel_id": "C0ALERTS",
        },
        FORM,
    ),
    "half of a surrogate pair": (
        {**CLICK, "actions": [{"action_id": "act:\ud800", "value": "\udfff"}]},
        FORM,
    ),
    "a form that begins like JSON": ({"{": "1"}, FORM),
}


@pytest.mark.timeout(300)
async def test_a_sample_of_garbage_breaks_nothing(quiet_stage: Stage, tmp_path: Path) -> None:
    for n in range(3):
        await quiet_stage.self_dealing(f"O-{n}")
    seed = random.SystemRandom().randrange(2**32)
    found = await fuzz(
        quiet_stage.settings,
        [(2001, 1), (2002, 1), (2003, 1)],
        tmp_path / "log",
        inputs=INPUTS,
        seed=seed,
        first=[signed(document, kind) for document, kind in CASES.values()],
    )
    assert found.broken == [], found.as_text()
    assert found.sent >= INPUTS
    assert found.statuses["sound/200"] > 20, found.as_text()
    assert found.statuses["mutated/200"] > 100, found.as_text()
    assert found.statuses["redash/200"] > 30, found.as_text()
    assert found.statuses["redash/401"] > 10, found.as_text()
    assert found.grown_mb < MAY_GROW_MB, found.as_text()
    assert (await quiet_stage.verified()).ok


async def test_what_once_broke_something_is_refused_or_answered(
    quiet_stage: Stage, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with a_bot(quiet_stage.settings, log):
        wire = Wire(quiet_stage.settings.port)
        for name, (document, kind) in CASES.items():
            status = await wire.send(signed(document, kind).raw)
            assert status in {200, 400, 404}, name
        whole = request("case", b"x" * 100, FORM, "1", "v0=" + "0" * 64).raw
        await half_sent(quiet_stage.settings.port, whole[:-50])
        for encoding in ("gzip", "deflate"):
            body = b"no " + encoding.encode()
            stamp = str(int(time.time()))
            extra = [("Content-Encoding", encoding)]
            sent = request("case", body, FORM, stamp, signature(body, stamp), extra)
            assert await wire.send(sent.raw) == 400
        await wire.close()
    assert wrong_lines(log) == []


async def half_sent(port: int, raw: bytes) -> None:
    """Somebody who goes away in the middle of a request."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    await writer.drain()
    writer.transport.abort()


async def test_a_fault_is_seen_by_the_fuzz(quiet_stage: Stage, tmp_path: Path) -> None:
    """The harness itself: an answer of 5xx and a word of the body in the log are both told."""
    log = tmp_path / "log"
    log.write_text("2026-11-23 WARNING x: canary-of-the-body-5e1f\nTraceback (most\n", "utf-8")
    assert len(wrong_lines(log)) == 2
    async with quiet_stage.engine.connect() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM ledger.cases")) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_draws_the_same_again(seed: int) -> None:
    first, second = Inputs(seed, [(1, 1)]), Inputs(seed, [(1, 1)])
    drawn = [(first.draw(), second.draw()) for _ in range(200)]
    assert all(one.kind == other.kind for one, other in drawn)
    assert len({json.dumps(one.raw.decode("latin-1"))[:400] for one, _ in drawn}) > 100
