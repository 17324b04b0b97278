"""Socket Mode: websockets over which the app fetches what else would be posted to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import secrets
from collections.abc import Callable
from uuid import uuid4

from aiohttp import WSMsgType, web

from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.seed import Seed
from bot.playground.workspace.state import Json, as_object

MAX_CONNECTIONS = 10
# What a connection says of its own length; Slack renews "once every few hours".
APPROXIMATE_CONNECTION_S = 18_060
KEPT_TICKETS = 100
# How long a connection that was asked to leave may stay.
GRACE_S = 10.0


class SocketMode:
    """The app's open connections."""

    def __init__(self, seed: Seed, changed: Callable[[], None]) -> None:
        self._seed = seed
        self._changed = changed
        self._tickets: list[str] = []
        self._sockets: list[web.WebSocketResponse] = []
        self._leaving: dict[web.WebSocketResponse, asyncio.Task[None]] = {}
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._turn = 0

    @property
    def connected(self) -> bool:
        return bool(self._sockets)

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def ticket(self) -> str:
        """The secret part of an address that works once."""
        if len(self._sockets) >= MAX_CONNECTIONS:
            raise ApiError("too_many_websockets")
        ticket = str(uuid4())
        self._tickets = [*self._tickets[-KEPT_TICKETS:], ticket]
        return ticket

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, until either side ends it."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.json_response({"ok": False, "error": "invalid_ticket"}, status=403)
        self._tickets.remove(ticket)
        # The SDK pings on its own; Slack's pings keep dead connections from looking alive.
        socket = web.WebSocketResponse(heartbeat=30.0)
        await socket.prepare(request)
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": len(self._sockets) + 1,
                "connection_info": {"app_id": self._seed.app_id},
                "debug_info": {
                    "host": "local-workspace",
                    "build_number": 1,
                    "approximate_connection_time": APPROXIMATE_CONNECTION_S,
                },
            }
        )
        self._sockets.append(socket)
        self._changed()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._take_ack(message.data)
        finally:
            self._forget(socket)
        return socket

    async def send(
        self,
        kind: str,
        payload: Json,
        *,
        timeout_s: float,
        retry: tuple[int, str] | None = None,
    ) -> Json | None:
        """Send one envelope to any connection; what the app acknowledged it with, None: nothing in time."""
        if not self._sockets:
            return None
        self._turn += 1
        socket = self._sockets[self._turn % len(self._sockets)]
        envelope_id = str(uuid4())
        envelope: Json = {
            "envelope_id": envelope_id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            number, reason = retry or (0, "")
            envelope |= {"retry_attempt": number, "retry_reason": reason}
        acked: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[envelope_id] = acked
        try:
            async with asyncio.timeout(timeout_s):
                await socket.send_json(envelope)
                return await acked
        except (TimeoutError, ConnectionError):
            return None
        finally:
            del self._waiting[envelope_id]

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Ask every connection to come anew, as Slack does every few hours; none gets anything more."""
        for socket in list(self._sockets):
            self._sockets.remove(socket)
            with contextlib.suppress(ConnectionError, RuntimeError):
                await socket.send_json(
                    {
                        "type": "disconnect",
                        "reason": reason,
                        "debug_info": {"host": "local-workspace"},
                    }
                )
            # A good client comes anew first and then closes this one.
            task = asyncio.create_task(_close(socket, after_s=GRACE_S))
            self._leaving[socket] = task
            task.add_done_callback(functools.partial(self._left, socket))

    async def close(self) -> None:
        """End every connection at once."""
        await self.disconnect("link_disabled")
        leaving, tasks = list(self._leaving), list(self._leaving.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(_close(socket, after_s=0) for socket in leaving))

    def _left(self, socket: web.WebSocketResponse, _task: asyncio.Task[None]) -> None:
        self._leaving.pop(socket, None)

    def _take_ack(self, text: str) -> None:
        try:
            ack = as_object(json.loads(text))
        except ValueError:
            return
        waiting = self._waiting.get(str(ack.get("envelope_id")))
        if waiting is not None and not waiting.done():
            waiting.set_result(as_object(ack.get("payload")))

    def _forget(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ValueError):
            self._sockets.remove(socket)
        self._changed()


async def _close(socket: web.WebSocketResponse, *, after_s: float) -> None:
    await asyncio.sleep(after_s)
    # A client that never says goodbye must not hold up our end.
    with contextlib.suppress(ConnectionError, RuntimeError, TimeoutError):
        async with asyncio.timeout(1):
            await socket.close()


def link_path(ticket: str, app_id: str) -> str:
    """The path of a connection's address."""
    return f"/link/?ticket={ticket}&app_id={app_id}&v={secrets.token_hex(2)}"
