"""A served workspace, an app beside it, and Slack's own client as the app's hand."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import SEED, AppSide, serving


@pytest.fixture
async def side() -> AsyncIterator[AppSide]:
    async with serving(AppSide()) as running:
        yield running


@pytest.fixture
async def workspace(side: AppSide) -> AsyncIterator[Workspace]:
    """Fast limits, half a second to answer, and events again at once."""
    workspace = Workspace(
        SEED,
        request_url=side.url,
        rate_scale=1000,
        ack_timeout_s=0.5,
        event_retries_s=(0, 0.01, 0.01),
    )
    async with serve_workspace(workspace):
        yield workspace


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def client(workspace: Workspace, session: aiohttp.ClientSession) -> AsyncWebClient:
    """The bot's hand: no retries, so that what is refused is seen."""
    return AsyncWebClient(
        token=SEED.bot_token,
        base_url=f"{workspace.base_url}/api/",
        session=session,
        retry_handlers=[],
    )
