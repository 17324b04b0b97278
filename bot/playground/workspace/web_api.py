"""The Web API: who calls what, whether they may, and what goes wrong on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from bot.playground.workspace import (
    api_chat,
    api_conversations,
    api_files,
    api_people,
    api_views,
)
from bot.playground.workspace.api_access import need_scope
from bot.playground.workspace.api_args import Args, read_call
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.faults import Fault, FaultKind
from bot.playground.workspace.rate_limits import Tier
from bot.playground.workspace.state import Json

# How long a connection is held open on which nothing will be answered.
HELD_S = 120.0


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its tier, the scopes of which one is needed, and whose token calls it."""

    tier: Tier
    carry_out: Callable[[Core, Args], Json]
    scopes: tuple[str, ...] = ()
    by_app: bool = False
    """Called with the app's own token, not the bot's."""


_HISTORY = ("channels:history", "groups:history")
_READ = ("channels:read", "groups:read")

METHODS: Mapping[str, Method] = {
    "auth.test": Method(Tier.SPECIAL, api_people.auth_test),
    "apps.connections.open": Method(Tier.ONE, api_people.open_connection, by_app=True),
    "chat.postMessage": Method(Tier.POSTS, api_chat.post_message, ("chat:write",)),
    "chat.update": Method(Tier.THREE, api_chat.update, ("chat:write",)),
    "chat.postEphemeral": Method(Tier.FOUR, api_chat.post_ephemeral, ("chat:write",)),
    "chat.getPermalink": Method(Tier.SPECIAL, api_chat.get_permalink),
    "conversations.history": Method(Tier.THREE, api_conversations.history, _HISTORY),
    "conversations.replies": Method(Tier.THREE, api_conversations.replies, _HISTORY),
    "conversations.info": Method(Tier.THREE, api_conversations.info, _READ),
    "files.getUploadURLExternal": Method(Tier.FOUR, api_files.get_upload_url, ("files:write",)),
    "files.completeUploadExternal": Method(Tier.FOUR, api_files.complete_upload, ("files:write",)),
    "users.info": Method(Tier.FOUR, api_people.user_info, ("users:read",)),
    "users.list": Method(Tier.TWO, api_people.user_list, ("users:read",)),
    "usergroups.list": Method(Tier.TWO, api_people.usergroup_list, ("usergroups:read",)),
    "usergroups.users.list": Method(Tier.TWO, api_people.usergroup_users, ("usergroups:read",)),
    "views.open": Method(Tier.FOUR, api_views.open_view),
    "views.update": Method(Tier.FOUR, api_views.update),
    "views.push": Method(Tier.FOUR, api_views.push),
    "views.publish": Method(Tier.FOUR, api_views.publish),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What goes back; `body` None: the connection breaks instead."""

    status: int | None
    body: Json | None
    retry_after: int | None = None


async def call(core: Core, request: web.Request) -> web.StreamResponse:
    """Answer one call of `/api/<method>`."""
    started = time.monotonic()
    name = request.match_info["method"]
    values: Json = {}
    reply = _Reply(status=None, body=None)
    fault = core.faults.strike(name)
    if fault is None or fault.after:
        values, reply = await _answer(core, name, request)
    if fault is not None:
        reply = _faulty(fault)
    core.traffic.note(
        "in",
        name,
        request=values,
        response=reply.body,
        status=reply.status,
        ok=bool(reply.body and reply.body.get("ok")),
        error=_error_of(reply, fault),
        ms=round((time.monotonic() - started) * 1000),
    )
    if reply.body is None:
        return await _break_off(core, request, fault)
    headers = {"X-OAuth-Scopes": ",".join(sorted(core.scopes))}
    if reply.retry_after is not None:
        headers["Retry-After"] = str(reply.retry_after)
    return web.json_response(reply.body, status=reply.status or 200, headers=headers)


async def _answer(core: Core, name: str, request: web.Request) -> tuple[Json, _Reply]:
    values: Json = {}
    try:
        values, token = await read_call(request)
        body = {"ok": True, **carry_out(core, name, values, token)}
        return values, _Reply(status=200, body=body)
    except ApiError as error:
        status = 200 if error.retry_after is None else 429
        body = refusal(core, error)
        return values, _Reply(status=status, body=body, retry_after=error.retry_after)


def carry_out(core: Core, name: str, values: Json, token: str | None) -> Json:
    """Carry out one method, if Slack would.

    Raises:
        ApiError: it would not.
    """
    method = METHODS.get(name)
    if method is None:
        raise ApiError("unknown_method")
    if not token:
        raise ApiError("not_authed")
    if token not in (core.seed.bot_token, core.seed.app_token):
        raise ApiError("invalid_auth")
    if core.revoked:
        raise ApiError("account_inactive")
    if (token == core.seed.app_token) != method.by_app and name != "auth.test":
        raise ApiError("not_allowed_token_type")
    core.limits.take(method.tier, name)
    need_scope(core, *method.scopes)
    return method.carry_out(core, Args(values))


def refusal(core: Core, error: ApiError) -> Json:
    """An error as Slack writes it."""
    answer: Json = {"ok": False, "error": error.code}
    if error.messages:
        answer["response_metadata"] = {"messages": error.messages}
    if error.needed is not None:
        answer |= {"needed": error.needed, "provided": ",".join(sorted(core.scopes))}
    return answer


def _faulty(fault: Fault) -> _Reply:
    match fault.kind:
        case FaultKind.SERVER_ERROR:
            return _Reply(status=500, body={"ok": False, "error": "internal_error"})
        case FaultKind.UNAVAILABLE:
            return _Reply(status=503, body={"ok": False, "error": "service_unavailable"})
        case FaultKind.RATELIMITED:
            body: Json = {"ok": False, "error": "ratelimited"}
            return _Reply(status=429, body=body, retry_after=fault.retry_after)
        case FaultKind.REFUSED:
            return _Reply(status=200, body={"ok": False, "error": fault.code})
        case FaultKind.TIMEOUT | FaultKind.DROPPED:
            return _Reply(status=None, body=None)


async def _break_off(core: Core, request: web.Request, fault: Fault | None) -> web.StreamResponse:
    if fault is not None and fault.kind is FaultKind.TIMEOUT:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELD_S):
                await core.closing.wait()
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _error_of(reply: _Reply, fault: Fault | None) -> str | None:
    if reply.body is None:
        return None if fault is None else str(fault.kind)
    error = reply.body.get("error")
    return None if error is None else str(error)
