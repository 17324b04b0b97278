"""Serves a local workspace over HTTP: Slack's Web API, response URLs, Socket Mode and the page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from bot.domain.errors import SayableError
from bot.playground.workspace import api_files, hooks, web_api
from bot.playground.workspace.ui import PageApi
from bot.playground.workspace.workspace import Workspace

STATIC = Path(__file__).parent / "static"
MAX_BODY = 4 * 1024 * 1024
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serve_workspace(
    workspace: Workspace, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve until the block ends; yields the address, without a slash at its end.

    Raises:
        SayableError: the port is taken, or the host is not of this machine.
    """
    if host not in LOOPBACK and host != "::1":
        raise SayableError("The local workspace has no passwords: serve it on 127.0.0.1 only.")
    # No access log: the inspector tells more. Whoever hangs on at the end is let go.
    runner = web.AppRunner(workspace_app(workspace), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise SayableError(
                f"The local workspace cannot listen on {host}:{port}: {error.strerror}."
            ) from error
        workspace.base_url = f"http://{_name(host)}:{_port_of(runner)}"
        await workspace.delivery.open()
        try:
            yield workspace.base_url
        finally:
            workspace.closing.set()
            workspace.stream.close()
            await workspace.delivery.close()
            await workspace.socket.close()
    finally:
        await runner.cleanup()


def workspace_app(workspace: Workspace) -> web.Application:
    """The routes of a workspace."""

    async def call(request: web.Request) -> web.StreamResponse:
        return await web_api.call(workspace, request)

    async def respond(request: web.Request) -> web.StreamResponse:
        return await hooks.respond(workspace, request)

    async def upload(request: web.Request) -> web.StreamResponse:
        return await api_files.take_upload(workspace, request)

    async def file(request: web.Request) -> web.StreamResponse:
        return await api_files.show(workspace, request)

    async def index(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-store"})

    async def permalink(request: web.Request) -> web.StreamResponse:
        channel = request.match_info["channel"]
        raise web.HTTPFound(f"/#{channel}")

    app = web.Application(middlewares=[_only_from_here], client_max_size=MAX_BODY)
    app.add_routes(
        [
            web.get("/api/{method}", call),
            web.post("/api/{method}", call),
            web.post("/actions/{team}/{secret}", respond),
            web.post("/commands/{team}/{secret}", respond),
            web.post("/upload/v1/{secret}", upload),
            web.get("/files/{file}", file),
            web.get("/link/", workspace.socket.serve),
            *PageApi(workspace).routes(),
            web.get("/", index),
            web.get("/archives/{channel}/{ts}", permalink),
            web.static("/static", STATIC),
        ]
    )
    return app


@web.middleware
async def _only_from_here(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """No page of the internet may read or drive the workspace, though it can reach this machine."""
    host = request.headers.get("Host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name not in LOOPBACK:
        # A foreign name that resolves to this machine.
        return web.json_response({"ok": False, "error": "open it as 127.0.0.1"}, status=403)
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return web.json_response({"ok": False, "error": "foreign origin"}, status=403)
    if request.headers.get("Sec-Fetch-Site", "none") == "cross-site" and request.method != "GET":
        return web.json_response({"ok": False, "error": "foreign origin"}, status=403)
    response = await handler(request)
    if not response.prepared:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        if request.path.startswith("/static/"):
            response.headers.setdefault("Cache-Control", "no-cache")
    return response


def _name(host: str) -> str:
    return f"[{host}]" if host == "::1" else host


def _port_of(runner: web.AppRunner) -> int:
    address = runner.addresses[0]
    return int(address[1])
