"""Socket Mode with Slack's own client: everything comes over the websocket and is acknowledged there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import ALERTS, SEED, AppSide, modal, text_input


class SocketApp:
    """An app that takes everything over a websocket; `payloads` are its next answers."""

    def __init__(self, client: SocketModeClient) -> None:
        self.client = client
        self.received: list[SocketModeRequest] = []
        self.payloads: list[dict[str, Any] | None] = []
        self.silent = False

    async def take(self, _client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        self.received.append(request)
        if not self.silent:
            payload = self.payloads.pop(0) if self.payloads else None
            await self.client.send_socket_mode_response(
                SocketModeResponse(envelope_id=request.envelope_id, payload=payload)
            )


@pytest.fixture
async def socket_app(
    workspace: Workspace, session: aiohttp.ClientSession
) -> AsyncIterator[SocketApp]:
    client = SocketModeClient(
        app_token=SEED.app_token,
        web_client=AsyncWebClient(
            token=SEED.app_token, base_url=f"{workspace.base_url}/api/", session=session
        ),
    )
    app = SocketApp(client)
    client.socket_mode_request_listeners.append(app.take)
    await client.connect()  # type: ignore[no-untyped-call]  # the SDK's
    assert await workspace.until(lambda: workspace.socket.connected, 5)
    yield app
    await client.close()  # type: ignore[no-untyped-call]  # the SDK's


async def test_commands_come_over_the_socket_and_not_by_http(
    workspace: Workspace, socket_app: SocketApp, side: AppSide
) -> None:
    socket_app.payloads = [{"text": "from the socket"}]
    result = await workspace.command("U0SATO", ALERTS, "/cre", "help")
    assert (result.ok, result.status) == (True, 200)
    (request,) = socket_app.received
    assert (request.type, request.payload["text"]) == ("slash_commands", "help")
    assert request.accepts_response_payload is True
    assert [m.text for m in workspace.ephemerals("U0SATO")] == ["from the socket"]
    assert side.received == []


async def test_a_modal_is_sent_and_refused_over_the_socket(
    workspace: Workspace, socket_app: SocketApp, client: AsyncWebClient
) -> None:
    await workspace.command("U0SATO", ALERTS, "/cre")
    trigger_id = socket_app.received[0].payload["trigger_id"]
    await client.views_open(trigger_id=trigger_id, view=modal(text_input("note")))
    socket_app.payloads = [{"response_action": "errors", "errors": {"note": "no"}}]
    result = await workspace.submit("U0SATO", {"note": "x"})
    assert result.errors == {"note": "no"}
    assert socket_app.received[-1].type == "interactive"
    assert (await workspace.submit("U0SATO", {"note": "y"})).view is None


async def test_events_come_over_the_socket_again_until_acknowledged(
    workspace: Workspace, socket_app: SocketApp
) -> None:
    socket_app.silent = True
    await workspace.post("U0SATO", ALERTS, "hello")
    assert await workspace.until(lambda: len(socket_app.received) == 2)
    socket_app.silent = False
    await workspace.delivery.settle()
    first, second = socket_app.received[:2]
    assert first.type == "events_api"
    assert first.payload["event"]["text"] == "hello"
    assert (first.retry_attempt, second.retry_attempt) == (0, 1)
    assert second.retry_reason == "http_timeout"


async def test_an_app_that_does_not_acknowledge_fails_the_press(
    workspace: Workspace, socket_app: SocketApp
) -> None:
    socket_app.silent = True
    result = await workspace.command("U0SATO", ALERTS, "/cre")
    assert (result.status, result.error) == (None, "operation_timeout")


async def test_an_app_that_is_sent_away_comes_back(
    workspace: Workspace, socket_app: SocketApp
) -> None:
    await workspace.socket.disconnect()
    assert not workspace.socket.connected
    await workspace.command("U0SATO", ALERTS, "/cre")
    assert socket_app.received == [], "over HTTP while nobody is connected"
    assert await workspace.until(lambda: workspace.socket.connected, 10)
    assert (await workspace.command("U0SATO", ALERTS, "/cre")).ok
    assert len(socket_app.received) == 1


async def test_an_address_works_once(workspace: Workspace, session: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {SEED.app_token}"}
    async with session.post(
        f"{workspace.base_url}/api/apps.connections.open", headers=headers
    ) as answer:
        url = (await answer.json())["url"]
    assert url.startswith("ws://127.0.0.1:")
    async with session.ws_connect(url) as socket:
        hello = await socket.receive_json()
        assert hello["type"] == "hello"
        assert hello["num_connections"] == 1
        assert hello["connection_info"] == {"app_id": "A0MIMAWARI"}
        assert hello["debug_info"]["approximate_connection_time"] > 0
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect(url)
