"""The baseline of the clicks: a Bolt app behind the same front door that only acknowledges."""

from __future__ import annotations

import asyncio
import os
import re

from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot.handlers.front_door import FrontDoor


def make_bare_app() -> AsyncApp:
    async def authorize(**_: object) -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None, team_id="T0MIMAWARI", bot_token="x", bot_id="B", bot_user_id="U"
        )

    app = AsyncApp(
        authorize=authorize,
        signing_secret="demo-signing-secret",
        process_before_response=True,
        request_verification_enabled=False,
    )

    @app.action(re.compile(""))
    async def clicked(ack: AsyncAck) -> None:
        await ack()

    return app


async def main() -> None:
    door = FrontDoor(make_bare_app(), ["demo-signing-secret"])
    app = web.Application(client_max_size=2 * 1024 * 1024)
    app.router.add_post("/slack/events", door.handle)

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app.router.add_get("/healthz", alive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
