"""Wires Slack to the handlers: one dispatching listener a kind of payload."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.cards import modals
from bot.cases.trouble import Trouble, trouble_of
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.tracing import traced
from bot.handlers.buttons import on_click
from bot.handlers.commands import on_command
from bot.handlers.desk import Desk
from bot.handlers.events import on_event
from bot.handlers.payloads import (
    PayloadError,
    Sender,
    parse_click,
    parse_command,
    parse_event,
    parse_sender,
    parse_submission,
)
from bot.handlers.submissions import on_submission

logger = logging.getLogger(__name__)

# Bolt tries listeners one after another; one a kind and a table of our own costs the same for any number.
_ANY = re.compile("")

Answering = Callable[[Desk, Sender, Refusal, AsyncAck], Awaitable[None]]


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
        logger=_quiet(logging.getLogger("bot.bolt")),
    )

    @app.action(_ANY)
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _answered(
            desk,
            body,
            ack,
            _tell_clicker,
            lambda: on_click(desk.for_one_press(), parse_click(body), ack),
        )

    @app.view(_ANY)
    async def submitted(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _answered(
            desk,
            body,
            ack,
            _show_in_modal,
            lambda: on_submission(desk.for_one_press(), parse_submission(body), ack),
        )

    @app.view_closed(_ANY)
    async def closed(ack: AsyncAck) -> None:
        await ack()

    @app.command(_ANY)
    async def commanded(ack: AsyncAck, body: dict[str, Any]) -> None:
        await _answered(
            desk,
            body,
            ack,
            _answer_command,
            lambda: on_command(desk.for_one_press(), parse_command(body), ack),
        )

    @app.event(_ANY)
    async def happened(body: dict[str, Any]) -> None:
        await on_event(desk, parse_event(body))

    @app.error
    async def failed(error: Exception) -> BoltResponse:
        # Never the body: it holds tokens and text of users. The 5xx makes Slack say that it failed.
        trouble = trouble_of(error)
        logger.error("a handler failed: %s", traced(error))
        return BoltResponse(status=500 if trouble is None else 503)

    return app


async def _answered(
    desk: Desk,
    body: Mapping[str, Any],
    ack: AsyncAck,
    answer: Answering,
    handle: Callable[[], Awaitable[None]],
) -> None:
    """Handle it, so that there is one answer whatever happens: what is not ours, or what the ledger's guards
    did not take, is refused with a sentence; a ledger that is away and a fault of ours are Slack's to show.
    """
    try:
        await handle()
    except PayloadError as error:
        logger.warning("a payload that is not ours was refused: %s", error)
        refusal = Refusal(code=RefusalCode.UNKNOWN_BUTTON)
    except Exception as error:
        if trouble_of(error) is not Trouble.CONFLICT:
            raise
        logger.warning("the ledger did not take a press: %s", traced(error))
        refusal = Refusal(code=RefusalCode.CONFLICT)
    else:
        return
    await answer(desk, parse_sender(body), refusal, ack)


async def _tell_clicker(desk: Desk, sender: Sender, refusal: Refusal, ack: AsyncAck) -> None:
    await ack()
    if sender.user_id:
        await desk.refuse(
            refusal,
            user_id=sender.user_id,
            channel=sender.channel,
            response_url=sender.response_url,
        )


async def _show_in_modal(desk: Desk, sender: Sender, refusal: Refusal, ack: AsyncAck) -> None:
    messages = await desk.messages_of(sender.user_id)
    sentence = await desk.sentence(sender.user_id, refusal)
    await ack(response_action="update", view=modals.message_modal(sentence, messages=messages))


async def _answer_command(desk: Desk, sender: Sender, refusal: Refusal, ack: AsyncAck) -> None:
    await ack(text=await desk.sentence(sender.user_id, refusal))


def _quiet(logger: logging.Logger) -> logging.Logger:
    """Bolt writes whole events at DEBUG, and what it found no listener for at WARNING."""
    logger.setLevel(logging.ERROR)
    return logger
