"""Wires Slack to the handlers: one dispatching listener a kind of payload."""

from __future__ import annotations

import logging
import re
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.handlers.buttons import on_click
from bot.handlers.commands import on_command
from bot.handlers.desk import Desk
from bot.handlers.events import on_event
from bot.handlers.payloads import PayloadError, parse_click, parse_command, parse_submission
from bot.handlers.submissions import on_submission

logger = logging.getLogger(__name__)

# Bolt tries listeners one after another; one a kind and a table of our own costs the same for any number.
_ANY = re.compile("")


def make_app(
    client: AsyncWebClient, *, authorized: AuthorizeResult, desk: Desk, signing_secret: str
) -> AsyncApp:
    """The Bolt app. It acknowledges after the listener has run (`process_before_response`), and asks Slack
    nothing before: who we are was learned at the start.
    """

    async def authorize(**_: Any) -> AuthorizeResult:
        return authorized

    app = AsyncApp(
        # Without a token of its own: each request gets the one that `authorize` gives.
        client=AsyncWebClient(base_url=client.base_url, session=client.session, retry_handlers=[]),
        authorize=authorize,
        signing_secret=signing_secret,
        process_before_response=True,
        # The front door has done it, strictly and before anything was parsed; sockets need none.
        request_verification_enabled=False,
        logger=logging.getLogger("bot.bolt"),
    )

    @app.action(_ANY)
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _guarded(ack, "click", lambda: on_click(desk, parse_click(body), ack))

    @app.view(_ANY)
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _guarded(ack, "submission", lambda: on_submission(desk, parse_submission(body), ack))

    @app.view_closed(_ANY)
    async def closed(ack: AsyncAck) -> None:
        await ack()

    @app.command(_ANY)
    async def commanded(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _guarded(ack, "command", lambda: on_command(desk, parse_command(body), ack))

    @app.event(_ANY)
    async def happened(event: dict[str, Any], body: dict[str, Any]) -> None:
        await on_event(desk, event, team_id=str(body.get("team_id") or ""))

    async def _guarded(ack: AsyncAck, kind: str, handle: Any) -> None:
        """A payload that is not ours is acknowledged and dropped; a fault of ours is Slack's to show."""
        try:
            await handle()
        except PayloadError:
            logger.warning("a %s that is not ours was dropped", kind)
            await ack()

    @app.error
    async def failed(error: Exception) -> None:
        # Never the body: it holds tokens and text of users. The 500 makes Slack say that it failed.
        logger.error("a handler failed", exc_info=error)
        raise error

    return app
