from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from bot.market.api import MarketApi
from bot.playground.market.server import Marketplace, serve_marketplace
from tests.playground.market.stage import StillClock, add_account, add_listing, add_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A running marketplace with a few rows, and the bot's client of it."""

    market: Marketplace
    url: str
    session: aiohttp.ClientSession
    api: MarketApi
    clock: StillClock


@pytest.fixture
async def shop(market_dsn: str) -> AsyncIterator[Shop]:
    clock = StillClock()
    market = Marketplace(market_dsn, token="right-token", clock=clock)
    async with (
        serve_marketplace(market, "127.0.0.1", 0) as url,
        aiohttp.ClientSession() as session,
    ):
        async with market.pool.acquire() as conn:
            await add_account(conn, "b-1")
            await add_account(conn, "s-1", is_seller=True)
            await add_account(conn, "closed-1", status="closed")
            await add_order(conn, "O-1")
            await add_order(conn, "O-konbini", payment_method="konbini")
            await add_order(conn, "O-shipped", status="shipped", shipped_at=clock.now())
            await add_order(conn, "O-unpaid", status="pending", paid_at=None)
            await add_listing(conn, "L-1")
            await add_listing(conn, "L-gone", status="removed")
            await conn.execute(
                """INSERT INTO market.posts VALUES
                     ('P-1', 'b-1', 'comment', NULL, 'hello', '{}', now(), now())"""
            )
            await conn.execute(
                """INSERT INTO market.follow_events VALUES
                     ('F-1', 'b-1', 's-1', 'follow', '2026-11-22 00:00+00')"""
            )
        yield Shop(
            market=market,
            url=url,
            session=session,
            api=MarketApi(session, url, "right-token", timeout_s=2),
            clock=clock,
        )
