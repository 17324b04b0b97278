from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from bot.playground.market.effects import create_schema
from tests.playground.market.campaigns.play import Play


@pytest.fixture
async def market(market_dsn: str) -> AsyncIterator[Any]:
    await create_schema(market_dsn)
    connection = await asyncpg.connect(market_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def start_play(market_dsn: str, market: Any) -> AsyncIterator[Callable[..., Play]]:
    """Begins demos, and leaves none running."""
    begun: list[Play] = []

    def start(**chosen: Any) -> Play:
        begun.append(Play(market_dsn, market, **chosen))
        return begun[-1]

    yield start
    for play in begun:
        await play.restart()


@pytest.fixture
def play(start_play: Callable[..., Play]) -> Play:
    return start_play()
