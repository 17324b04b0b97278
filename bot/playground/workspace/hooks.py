"""The addresses to which an app answers an interaction or a command."""

from __future__ import annotations

import json

from aiohttp import web

from bot.playground.workspace.acting import answered
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.state import Json, Message
from bot.playground.workspace.triggers import ResponseUrl

# As a method's name in the faults and in the traffic.
NAME = "response_url"
_GONE = frozenset({"invalid_url", "expired_url", "used_url"})


async def respond(core: Core, request: web.Request) -> web.StreamResponse:
    """Answer one post to a response URL; every fault of it breaks the connection."""
    if core.faults.strike(NAME) is not None and request.transport is not None:
        request.transport.abort()
        return web.Response(status=500)
    body = await _read(request)
    error = _refusal(core, request.match_info["secret"], body)
    status = 200 if error is None else 404 if error in _GONE else 400
    answer: Json = {"ok": True} if error is None else {"ok": False, "error": error}
    core.traffic.note(
        "in",
        NAME,
        request=body,
        response=answer,
        status=status,
        ok=error is None,
        error=error,
        ms=0,
    )
    return web.json_response(answer, status=status)


async def _read(request: web.Request) -> object:
    try:
        return json.loads(await request.text())
    except (ValueError, RecursionError):
        return None


def _refusal(core: Core, secret: str, body: object) -> str | None:
    """Do what it asks; why not, if not."""
    if not isinstance(body, dict):
        return "invalid_payload"
    try:
        _carry_out(core, core.response_urls.use(secret), body)
    except ApiError as error:
        return error.code
    return None


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
