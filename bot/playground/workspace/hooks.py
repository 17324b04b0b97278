"""The addresses to which an app answers an interaction or a command."""

from __future__ import annotations

import json

from aiohttp import web

from bot.playground.workspace.acting import answered
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.state import Json, Message
from bot.playground.workspace.triggers import ResponseUrl

# As a method's name in the faults and in the traffic.
NAME = "response_url"
_GONE = frozenset({"invalid_url", "expired_url", "used_url"})


async def respond(core: Core, request: web.Request) -> web.StreamResponse:
    """Answer one post to a response URL."""
    fault = core.faults.strike(NAME)
    if fault is not None and not fault.after and request.transport is not None:
        if fault.kind is FaultKind.SERVER_ERROR:
            return web.Response(status=500)
        request.transport.abort()
        return web.Response(status=500)
    body: object = None
    status, answer = 200, {"ok": True}
    error: str | None = None
    try:
        body = json.loads(await request.text())
        if not isinstance(body, dict):
            raise ApiError("invalid_payload")
        _carry_out(core, core.response_urls.use(request.match_info["secret"]), body)
    except ValueError:
        error = "invalid_payload"
    except ApiError as refused:
        error = refused.code
    shown: Json = dict(answer)
    if error is not None:
        status, shown = (404 if error in _GONE else 400), {"ok": False, "error": error}
    core.traffic.note(
        "in",
        NAME,
        request=body,
        response=shown,
        status=status,
        ok=error is None,
        error=error,
        ms=0,
    )
    return web.json_response(shown, status=status)


def _carry_out(core: Core, lent: ResponseUrl, body: Json) -> None:
    channel = core.state.channel(lent.channel)
    pressed: Message | None = None
    if lent.message_ts is not None:
        pressed = core.state.visible(lent.channel, lent.message_ts, lent.user_id)
    if body.get("delete_original") is True:
        if pressed is None:
            raise ApiError("message_not_found")
        core.board.delete(channel, pressed)
        return
    draft = answered(body)
    if body.get("replace_original") is True:
        if pressed is None:
            raise ApiError("message_not_found")
        core.board.update(channel, pressed, draft)
        return
    thread_ts = body.get("thread_ts")
    core.board.post(
        channel,
        draft,
        user_id=core.seed.bot_user_id,
        thread_ts=str(thread_ts) if thread_ts else lent.thread_ts,
        ephemeral_to=None if body.get("response_type") == "in_channel" else lent.user_id,
    )
