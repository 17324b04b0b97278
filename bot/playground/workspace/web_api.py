"""The Web API: who calls what, whether they may, and what goes wrong on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from bot.playground.workspace import api_chat, api_conversations, api_people, api_views
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
    "users.info": Method(Tier.FOUR, api_people.user_info, ("users:read",)),
    "users.list": Method(Tier.TWO, api_people.user_list, ("users:read",)),
    "usergroups.list": Method(Tier.TWO, api_people.usergroup_list, ("usergroups:read",)),
    "usergroups.users.list": Method(Tier.TWO, api_people.usergroup_users, ("usergroups:read",)),
    "views.open": Method(Tier.FOUR, api_views.open_view),
    "views.update": Method(Tier.FOUR, api_views.update),
    "views.push": Method(Tier.FOUR, api_views.push),
    "views.publish": Method(Tier.FOUR, api_views.publish),
}


async def call(core: Core, request: web.Request) -> web.StreamResponse:
    """Answer one call of `/api/<method>`."""
    started = time.monotonic()
    name = request.match_info["method"]
    values: Json = {}
    answer: Json | None = None
    retry_after: int | None = None
    status: int | None = 200
    fault = core.faults.strike(name)
    try:
        if fault is not None and not fault.after:
            raise _Struck(fault)
        values, token = await read_call(request)
        answer = {"ok": True, **carry_out(core, name, values, token)}
        if fault is not None:
            raise _Struck(fault)
    except ApiError as error:
        answer, retry_after = refusal(core, error), error.retry_after
        status = 200 if retry_after is None else 429
    except _Struck as struck:
        status, answer, retry_after = _faulty_answer(struck.fault)
    finally:
        # A connection that breaks is in the log as well.
        core.traffic.note(
            "in",
            name,
            request=values,
            response=answer,
            status=status,
            ok=bool(answer and answer.get("ok")),
            error=None if answer is None else _error_of(answer),
            ms=round((time.monotonic() - started) * 1000),
        )
    if answer is None:
        return await _break_off(core, request, fault)
    headers = {"X-OAuth-Scopes": ",".join(sorted(core.scopes))}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return web.json_response(answer, status=status or 200, headers=headers)


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


class _Struck(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind)
        self.fault = fault


def _faulty_answer(fault: Fault) -> tuple[int | None, Json | None, int | None]:
    """Status, body and Retry-After; no body: nothing is answered."""
    match fault.kind:
        case FaultKind.SERVER_ERROR:
            return 500, {"ok": False, "error": "internal_error"}, None
        case FaultKind.UNAVAILABLE:
            return 503, {"ok": False, "error": "service_unavailable"}, None
        case FaultKind.RATELIMITED:
            return 429, {"ok": False, "error": "ratelimited"}, fault.retry_after
        case FaultKind.REFUSED:
            return 200, {"ok": False, "error": fault.code}, None
        case FaultKind.TIMEOUT | FaultKind.DROPPED:
            return None, None, None


async def _break_off(core: Core, request: web.Request, fault: Fault | None) -> web.StreamResponse:
    if fault is not None and fault.kind is FaultKind.TIMEOUT:
        try:
            async with asyncio.timeout(HELD_S):
                await core.closing.wait()
        except TimeoutError:
            pass
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _error_of(answer: Json) -> str | None:
    error = answer.get("error")
    return None if error is None else str(error)
