from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from bot.cases.room import Room
from bot.market.reader import MarketReader
from tests.cases.conftest import room
from tests.digests.stage import DayClock, Shop

__all__ = ["room"]


@pytest.fixture
async def shop(
    room: Room,
    market_dsn: str,
    market_reader_dsn: str,
) -> AsyncIterator[Shop]:
    """A ledger and a marketplace whose days a test fills by hand."""
    clock = DayClock()
    market = await asyncpg.connect(market_dsn)
    yield Shop(
        room=replace(room, clock=clock),
        clock=clock,
        market=market,
        reader=MarketReader(market_reader_dsn),
    )
    await market.close()
