"""A tiny real app for the workspace to talk to: it records what it gets and answers as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from slack_sdk.signature import SignatureVerifier

from bot.playground.workspace.seed import demo_seed

ALERTS = "C0ALERTS"
DIGEST = "C0DIGEST"
GENERAL = "C0GENERAL"
SEED = demo_seed()
VERIFIER = SignatureVerifier(SEED.signing_secret)


@dataclass(kw_only=True)
class Received:
    """One signed request."""

    headers: Mapping[str, str]
    body: str
    payload: dict[str, Any]


@dataclass
class AppSide:
    """What the app got, and what it will say; `delay_s` is slept before every answer."""

    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, object]] = field(default_factory=list)
    """Status and body of the next answers; afterwards 200 and nothing."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0
    url: str = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of one type: `block_actions`, `event_callback`, a command's name and so on."""
        return [
            r.payload
            for r in self.received
            if kind in (r.payload.get("type"), r.payload.get("command"))
        ]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [p["event"] for p in self.of("event_callback") if p["event"]["type"] == kind]

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        headers = dict(request.headers)
        assert VERIFIER.is_valid_request(body, {k: str(v) for k, v in headers.items()})
        self.received.append(
            Received(headers=headers, body=body, payload=_payload(request.content_type, body))
        )
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        status, answer = self.answers.pop(0) if self.answers else (200, "")
        if isinstance(answer, str):
            return web.Response(status=status, text=answer, headers=self.answer_headers)
        return web.json_response(answer, status=status, headers=self.answer_headers)


def _payload(content_type: str, body: str) -> dict[str, Any]:
    if content_type == "application/json":
        return dict(json.loads(body))
    fields = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
    return dict(json.loads(fields["payload"])) if "payload" in fields else fields


@asynccontextmanager
async def serving(side: AppSide) -> AsyncIterator[AppSide]:
    app = web.Application()
    app.add_routes([web.post("/slack/events", side.take)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    side.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    try:
        yield side
    finally:
        await runner.cleanup()


def plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text}


def section(text: str, **more: object) -> dict[str, object]:
    return {"type": "section", "text": mrkdwn(text), **more}


def button(action_id: str, value: str = "1|1", **more: object) -> dict[str, object]:
    return {
        "type": "button",
        "action_id": action_id,
        "text": plain("Press"),
        "value": value,
        **more,
    }


def actions(*elements: dict[str, object], **more: object) -> dict[str, object]:
    return {"type": "actions", "elements": list(elements), **more}


def option(value: str) -> dict[str, object]:
    return {"text": plain(value.title()), "value": value}


def text_input(name: str, *, optional: bool = False, **element: object) -> dict[str, object]:
    return {
        "type": "input",
        "block_id": name,
        "label": plain(name),
        "optional": optional,
        "element": {"type": "plain_text_input", "action_id": name, **element},
    }


def select_input(name: str, *values: str, **element: object) -> dict[str, object]:
    return {
        "type": "input",
        "block_id": name,
        "label": plain(name),
        "element": {
            "type": "static_select",
            "action_id": name,
            "options": [option(value) for value in values],
            **element,
        },
    }


def modal(*blocks: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "type": "modal",
        "callback_id": "act:cancel",
        "title": plain("Cancel"),
        "submit": plain("Send"),
        "blocks": list(blocks) or [section("Sure?")],
        **more,
    }
