"""One seed of the demo, played step by step: the marketplace waits until the bot has looked at each step."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import aiohttp
import asyncpg
from pydantic import SecretStr

from bot.app import Bot, running_parts
from bot.jobs import ticker
from bot.ledger.migrate import migrate
from bot.playground.market.clock import PlayClock
from bot.playground.market.demo import prepare_demo
from bot.playground.market.flavours import Flavour
from bot.playground.market.player import Player
from bot.playground.market.server import Marketplace, create_schema, serve_marketplace
from bot.playground.postgres import LEDGER_APP, LEDGER_OWNER, MARKET_OWNER, MARKET_READER, Server
from bot.playground.workspace.seed import demo_seed
from bot.playground.workspace.seed_english import in_english
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from bot.publisher import Limits
from bot.settings import Settings

HOST = "127.0.0.1"
ALERTS = "C0ALERTS"
MARKET_TOKEN = "campaigns-market-token"
SLACK_SCALE = 400.0
"""A market minute passes in a fraction of a second of ours: Slack's limits are wider by as much."""
LIMITS = Limits(posts_per_s=0.9 * SLACK_SCALE, updates_per_s=0.75 * SLACK_SCALE)
PATIENCE_S = 60.0


@dataclass(kw_only=True)
class Shop:
    """A marketplace that is played, the bot that watches it, and the workspace between bot and people."""

    clock: PlayClock
    player: Player
    marketplace: Marketplace
    workspace: Workspace
    bot: Bot
    ledger: Any
    """A connection of the ledger's owner, to look at; nothing is written but when a tick is due."""
    market: Any
    """A connection of the marketplace's owner, who alone may read the truth."""
    errors: SimpleQueue[logging.LogRecord]
    """What was logged as an error: a run in which the bot stumbled is no good run."""

    async def pass_time(self, by: timedelta) -> None:
        """Let this much happen in the marketplace, and wait until every detection has looked at it."""
        self.clock.advance(by)
        await self.player.step()
        now = self.clock.now()
        async with asyncio.timeout(PATIENCE_S):
            while await self._behind(now):
                # Time does not flow by the wall here, so the timer is told when a tick is due.
                await self.ledger.execute(
                    """UPDATE ledger.ticks SET due_at = clock_timestamp()
                        WHERE (name LIKE 'detection:%' AND watermark IS DISTINCT FROM $1
                               OR name = 'job:watch_members') AND lease_until IS NULL""",
                    now,
                )
                await self._until_looked(now)

    async def _until_looked(self, now: datetime) -> None:
        for _ in range(100):
            await asyncio.sleep(0.005)
            if not await self._behind(now):
                return

    async def _behind(self, now: datetime) -> int:
        count: int = await self.ledger.fetchval(
            """SELECT count(*) FROM ledger.ticks WHERE name LIKE 'detection:%'
                  AND watermark IS DISTINCT FROM $1 AND last_error IS NULL""",
            now,
        )
        return count

    async def until_shown(self) -> None:
        """Wait until every card says what the ledger says and every operation has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.ledger.fetchval(
                """SELECT EXISTS (SELECT FROM ledger.cards WHERE stale AND in_channel)
                       OR EXISTS (SELECT FROM ledger.operations WHERE ended_at IS NULL)"""
            ):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_shop(
    server: Server, *, seed: int, flavour: Flavour, policy_file: Path | None = None
) -> AsyncIterator[Shop]:
    """Fresh databases, the demo's marketplace at the start of this seed's story, and the real bot."""
    names = {"ledger": f"ledger_{flavour.name}_{seed}", "market": f"market_{flavour.name}_{seed}"}
    roles = {"ledger": (LEDGER_OWNER, LEDGER_APP), "market": (MARKET_OWNER, MARKET_READER)}
    for part, name in names.items():
        owner, guest = roles[part]
        await server.drop_database(name)
        await server.create_database(name, owner=owner, guests=(guest,))
    ledger_dsn = server.dsn(names["ledger"], LEDGER_OWNER)
    market_dsn = server.dsn(names["market"], MARKET_OWNER)
    await asyncio.to_thread(migrate, ledger_dsn, LEDGER_APP)
    await create_schema(market_dsn)
    # The timer looks as often as a machine that has to keep up with this clock must.
    ticker.POLL_S, ticker.PARALLEL = 0.02, 6
    errors: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listening = QueueHandler(errors)
    listening.setLevel(logging.ERROR)
    logging.getLogger().addHandler(listening)
    async with AsyncExitStack() as stack:
        clock, runner = await prepare_demo(
            market_dsn, market_dir=None, speed=1.0, seed=seed, flavour=flavour
        )
        clock.pause()
        assert isinstance(runner, Player)
        marketplace = Marketplace(market_dsn, token=MARKET_TOKEN, clock=clock, flavour=flavour)
        market_url = await stack.enter_async_context(serve_marketplace(marketplace, HOST, 0))
        port = _free_port()
        people = demo_seed(market_url=market_url)
        if flavour.locale != "ja":
            people = in_english(people, team_name=flavour.shop[flavour.locale])
        workspace = Workspace(
            people, request_url=f"http://{HOST}:{port}/slack/events", rate_scale=SLACK_SCALE
        )
        page_url = await stack.enter_async_context(serve_workspace(workspace, HOST, 0))
        settings = Settings(
            slack_bot_token=SecretStr("xoxb-demo-token"),
            slack_signing_secret=SecretStr("demo-signing-secret"),
            slack_app_token=None,
            slack_api_url=f"{page_url}/api/",
            database_url=SecretStr(server.dsn(names["ledger"], LEDGER_APP)),
            market_database_url=SecretStr(server.dsn(names["market"], MARKET_READER)),
            market_api_url=market_url,
            market_api_token=SecretStr(MARKET_TOKEN),
            alert_channel=ALERTS,
            digest_channel="C0DIGEST",
            locale=flavour.locale,
            timezone=flavour.zone.key,
            glossary_file=flavour.glossary_file,
            port=port,
            policy_file=policy_file,
        )
        bot = await stack.enter_async_context(
            running_parts(settings, clock=clock, limits=LIMITS, pace=SLACK_SCALE, take_back_s=0)
        )
        stop = asyncio.Event()
        running = asyncio.create_task(bot.run(stop))
        try:
            await _until_it_listens(port)
            ledger = await asyncpg.connect(ledger_dsn)
            market = await asyncpg.connect(market_dsn)
            yield Shop(
                clock=clock,
                player=runner,
                marketplace=marketplace,
                workspace=workspace,
                bot=bot,
                ledger=ledger,
                market=market,
                errors=errors,
            )
            await ledger.close()
            await market.close()
        finally:
            stop.set()
            bot.room.bell.ring("operations", "cards", "posts")
            await running
            await runner.disconnect()
            logging.getLogger().removeHandler(listening)
    for name in names.values():
        await server.drop_database(name)


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{HOST}:{port}/healthz"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
