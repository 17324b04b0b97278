"""The page's own API: reading the workspace as somebody sees it, and acting as them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from bot.playground.workspace.acting import Acted, Submitted
from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.people import LOCALES
from bot.playground.workspace.state import Channel, Json, NotKnown, User, as_object
from bot.playground.workspace.stream import News
from bot.playground.workspace.ui_shapes import message_shape, state_shape
from bot.playground.workspace.workspace import Workspace

HEARTBEAT_S = 15.0
# The page scrolls no further back; the Web API does.
SHOWN_MESSAGES = 300
_CHOSEN = (
    "value",
    "selected_option",
    "selected_options",
    "selected_date",
    "selected_user",
    "selected_users",
)


class PageError(Exception):
    """A request that the page should not have made; answered with 400 and this sentence."""


class PageApi:
    """One method a route; everything that changes something goes through the workspace's own methods."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def routes(self) -> list[web.RouteDef]:
        posts: Mapping[str, Callable[[Json], Awaitable[Json]]] = {
            "action": self._action,
            "view_action": self._view_action,
            "view_submit": self._view_submit,
            "view_close": self._view_close,
            "command": self._command,
            "message": self._message,
            "read": self._read,
            "locale": self._locale,
            "channel_locale": self._channel_locale,
            "fault": self._fault,
            "faults_clear": self._clear_faults,
        }
        return [
            web.get("/ui/state", _answering(self._state)),
            web.get("/ui/channels/{channel}/messages", _answering(self._messages)),
            web.get("/ui/channels/{channel}/threads/{ts}", _answering(self._thread)),
            web.get("/ui/traffic", _answering(self._traffic)),
            web.get("/ui/stream", self._stream),
            *(web.post(f"/ui/{name}", _taking(act)) for name, act in posts.items()),
        ]

    # ---- Reading

    async def _state(self, request: web.Request) -> Json:
        workspace = self._workspace
        me = _acting(workspace, request.query.get("as"))
        return state_shape(workspace, me)

    async def _messages(self, request: web.Request) -> Json:
        me, channel = self._reading(request)
        found = [
            message
            for message in channel.messages.values()
            if message.thread_ts is None and message.ephemeral_to in (None, me.user_id)
        ]
        newest = found[-SHOWN_MESSAGES:]
        return {"messages": [message_shape(self._workspace, channel, m) for m in newest]}

    async def _thread(self, request: web.Request) -> Json:
        me, channel = self._reading(request)
        ts = request.match_info["ts"]
        return {
            "messages": [
                message_shape(self._workspace, channel, message)
                for message in channel.messages.values()
                if ts in (message.ts, message.thread_ts)
                and message.ephemeral_to in (None, me.user_id)
            ]
        }

    async def _traffic(self, request: web.Request) -> Json:
        after = request.query.get("after") or "0"
        if not after.isdecimal():
            raise PageError("after must be a number")
        return {"entries": [entry.as_json() for entry in self._workspace.traffic.after(int(after))]}

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        try:
            me = _acting(self._workspace, request.query.get("as"))
        except PageError as error:
            return web.json_response({"ok": False, "error": str(error)}, status=400)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            # It listens before the page is told that it does, and looks again then.
            async with self._workspace.stream.listening(me.user_id) as queue:
                await response.prepare(request)
                await self._tell_news(response, me.user_id, queue)
        except ConnectionResetError:
            # The page was closed; it asks again when it is opened.
            pass
        return response

    async def _tell_news(
        self, response: web.StreamResponse, user_id: str, queue: asyncio.Queue[News | None]
    ) -> None:
        # A page that was opened anew finds the modal that it had.
        view = self._workspace.open_view(user_id)
        shown = None if view is None else self._workspace.views.payload(view)
        await _write_event(response, "view", {"view": shown})
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    news = await queue.get()
            except TimeoutError:
                await response.write(b": still here\n\n")
                continue
            if news is None:
                return
            await _write_event(response, news.event, news.data)

    # ---- Acting

    async def _action(self, body: Json) -> Json:
        return _acted(
            await self._workspace.click(
                _text(body, "as"),
                _text(body, "channel"),
                _text(body, "message_ts"),
                _text(body, "action_id"),
                block_id=_text(body, "block_id"),
                chosen=_chosen(body),
            )
        )

    async def _view_action(self, body: Json) -> Json:
        return _acted(
            await self._workspace.view_click(
                _text(body, "as"),
                _text(body, "action_id"),
                view_id=_text(body, "view_id"),
                block_id=_text(body, "block_id"),
                chosen=_chosen(body),
                values=as_object(body.get("state_values")),
            )
        )

    async def _view_submit(self, body: Json) -> Json:
        result = await self._workspace.submit(
            _text(body, "as"), as_object(body.get("values")), view_id=_text(body, "view_id")
        )
        return self._submitted(result)

    async def _view_close(self, body: Json) -> Json:
        return _acted(await self._workspace.close_view(_text(body, "as"), _text(body, "view_id")))

    async def _command(self, body: Json) -> Json:
        return _acted(
            await self._workspace.command(
                _text(body, "as"),
                _text(body, "channel"),
                _text(body, "command"),
                str(body.get("text") or ""),
            )
        )

    async def _message(self, body: Json) -> Json:
        thread_ts = body.get("thread_ts")
        posted = await self._workspace.post(
            _text(body, "as"),
            _text(body, "channel"),
            str(body.get("text") or ""),
            thread_ts=str(thread_ts) if thread_ts else None,
        )
        return {**_acted(posted), "ts": posted.ts}

    async def _read(self, body: Json) -> Json:
        self._workspace.mark_read(_text(body, "as"), _text(body, "channel"), _text(body, "ts"))
        return {"ok": True}

    async def _locale(self, body: Json) -> Json:
        self._workspace.set_locale(_text(body, "as"), _locale_of(body))
        return {"ok": True}

    async def _channel_locale(self, body: Json) -> Json:
        await self._workspace.set_channel_locale(_locale_of(body))
        return {"ok": True}

    async def _fault(self, body: Json) -> Json:
        """Switch a fault on: `method`, `kind`, and if wanted `after`, `times`, `code`."""
        try:
            kind = FaultKind(str(body.get("kind")))
        except ValueError:
            kinds = ", ".join(FaultKind)
            raise PageError(f"kind must be one of {kinds}") from None
        times = body.get("times")
        self._workspace.fail(
            str(body.get("method") or "*"),
            kind,
            after=body.get("after") is True,
            times=times if isinstance(times, int) else None,
            code=str(body.get("code") or "internal_error"),
        )
        return {"ok": True}

    async def _clear_faults(self, body: Json) -> Json:  # noqa: ARG002 - every post has a body
        self._workspace.faults.clear()
        return {"ok": True}

    # ---- Shapes

    def _reading(self, request: web.Request) -> tuple[User, Channel]:
        me = _acting(self._workspace, request.query.get("as"))
        channel = self._workspace.state.channel(request.match_info["channel"])
        if channel.is_private and me.user_id not in channel.members:
            raise PageError("channel_not_found")
        return me, channel

    def _submitted(self, result: Submitted) -> Json:
        shown = None if result.view is None else self._workspace.views.payload(result.view)
        answer: Json = {**_acted(result), "view": shown}
        if result.response_action is not None:
            answer["response_action"] = result.response_action
        if result.errors:
            answer["errors"] = dict(result.errors)
        return answer


def _answering(
    read: Callable[[web.Request], Awaitable[Json]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await _safely(read(request))

    return handle


def _taking(
    act: Callable[[Json], Awaitable[Json]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        # A form of a foreign page cannot be of this type without asking first.
        if request.content_type != "application/json":
            return web.json_response({"ok": False, "error": "send JSON"}, status=415)
        try:
            body = json.loads(await request.text())
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return web.json_response({"ok": False, "error": "send a JSON object"}, status=400)
        return await _safely(act(body))

    return handle


async def _safely(answer: Awaitable[Json]) -> web.StreamResponse:
    try:
        return web.json_response(await answer)
    except PageError as error:
        return web.json_response({"ok": False, "error": str(error)}, status=400)
    except NotKnown as error:
        return web.json_response({"ok": False, "error": str(error)}, status=404)


async def _write_event(response: web.StreamResponse, event: str, data: Json) -> None:
    text = json.dumps(data, ensure_ascii=False)
    await response.write(f"event: {event}\ndata: {text}\n\n".encode())


def _acting(workspace: Workspace, user_id: str | None) -> User:
    """Whoever the page acts as; without a name the first person."""
    if user_id is None:
        return next(user for user in workspace.state.users.values() if not user.is_bot)
    user = workspace.state.users.get(user_id)
    if user is None:
        raise PageError(f"the workspace has no user {user_id}")
    return user


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise PageError(f"{name} is missing")
    return value


def _locale_of(body: Json) -> str:
    locale = _text(body, "locale")
    if locale not in LOCALES:
        raise PageError("locale must be ja or en")
    return locale


def _chosen(body: Json) -> object:
    """The choice in Slack's own shape; None for a button."""
    if str(body.get("type")) == "overflow":
        return body.get("selected_option")
    return {name: body[name] for name in _CHOSEN if name in body}


def _acted(result: Acted) -> Json:
    answer: Json = {"ok": result.ok, "status": result.status, "ms": result.ms}
    if result.error is not None:
        answer["error"] = result.error
    return answer
