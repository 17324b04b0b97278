"""What the measurements stand on: a Postgres with its own settings, a marketplace, a workspace, bot processes."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from pydantic import SecretStr

from bot.ledger.migrate import migrate
from bot.playground.market.server import Marketplace, create_schema, serve_marketplace
from bot.playground.postgres import (
    LEDGER_APP,
    LEDGER_OWNER,
    MARKET_OWNER,
    MARKET_READER,
    Server,
    embedded_postgres,
)
from bot.playground.workspace.seed import demo_seed
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from bot.settings import Settings
from tests.journeys.stage import write_policy

HOST = "127.0.0.1"
TOKEN = "bench-market-token"
ALERTS = "C0ALERTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One empty ledger and marketplace, and the settings of a bot between them."""

    folder: Path
    server: Server
    ledger: str
    market: str
    workspace: Workspace
    marketplace: Marketplace
    market_url: str
    settings: Settings
    owner: Any
    """A connection of the ledger's owner, to prepare and to count."""
    shop: Any
    """A connection of the marketplace's owner."""

    @property
    def ledger_dsn(self) -> str:
        return self.server.dsn(self.ledger, LEDGER_APP)


@asynccontextmanager
async def a_server(folder: Path) -> AsyncIterator[Server]:
    """Postgres as `make demo` runs it: fsync and synchronous commits stay on."""
    async with embedded_postgres(folder / "postgres") as server:
        yield server


@asynccontextmanager
async def a_world(server: Server, folder: Path, name: str) -> AsyncIterator[World]:
    """Fresh databases, a marketplace, a workspace and a policy without a time to take back."""
    ledger, market = f"bench_ledger_{name}", f"bench_market_{name}"
    for database, owner, guest in (
        (ledger, LEDGER_OWNER, LEDGER_APP),
        (market, MARKET_OWNER, MARKET_READER),
    ):
        await server.drop_database(database)
        await server.create_database(database, owner=owner, guests=(guest,))
    await asyncio.to_thread(migrate, server.dsn(ledger, LEDGER_OWNER), LEDGER_APP)
    market_dsn = server.dsn(market, MARKET_OWNER)
    await create_schema(market_dsn)
    await _grant_reader(market_dsn)
    port = free_port()
    workspace = Workspace(
        demo_seed(), request_url=f"http://{HOST}:{port}/slack/events", rate_scale=100
    )
    marketplace = Marketplace(market_dsn, token=TOKEN)
    owner = await asyncpg.connect(server.dsn(ledger, LEDGER_OWNER))
    shop = await asyncpg.connect(market_dsn)
    policy = folder / name
    policy.mkdir(exist_ok=True)
    try:
        async with (
            serve_workspace(workspace, HOST, 0) as page_url,
            serve_marketplace(marketplace, HOST, 0) as market_url,
        ):
            settings = Settings(
                slack_bot_token=SecretStr("xoxb-demo-token"),
                slack_signing_secret=SecretStr("demo-signing-secret"),
                slack_app_token=None,
                slack_api_url=f"{page_url}/api/",
                database_url=SecretStr(server.dsn(ledger, LEDGER_APP)),
                market_database_url=SecretStr(server.dsn(market, MARKET_READER)),
                market_api_url=market_url,
                market_api_token=SecretStr(TOKEN),
                alert_channel=ALERTS,
                port=port,
                policy_file=write_policy(policy, take_back_seconds=0, cards_for=[]),
            )
            yield World(
                folder=folder,
                server=server,
                ledger=ledger,
                market=market,
                workspace=workspace,
                marketplace=marketplace,
                market_url=market_url,
                settings=settings,
                owner=owner,
                shop=shop,
            )
    finally:
        await owner.close()
        await shop.close()
        for database in (ledger, market):
            await server.drop_database(database)


async def _grant_reader(market_dsn: str) -> None:
    conn = await asyncpg.connect(market_dsn)
    try:
        await conn.execute(
            f"GRANT USAGE ON SCHEMA market TO {MARKET_READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA market TO {MARKET_READER}"
        )
    finally:
        await conn.close()


async def fill_shop(world: World, orders: int) -> None:
    """Accounts and paid orders O-1 … O-n that no detection finds: everybody buys once, years after signing up."""
    await world.shop.execute(
        """INSERT INTO market.accounts (account_id, display_name, status, is_seller, created_at, updated_at)
           SELECT p || n, p || n, 'active', p = 'S-', now() - interval '900 days', now() - interval '90 days'
             FROM generate_series(1, $1) n CROSS JOIN unnest(ARRAY['S-', 'B-']) p""",
        orders,
    )
    await world.shop.execute(
        """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                                      ordered_at, paid_at, ship_due_at, updated_at)
           SELECT 'O-' || n, 'B-' || n, 'S-' || n, 'paid', 4000, 'card', now() - interval '3 days',
                  now() - interval '3 days', now() + interval '9 days', now() - interval '3 days'
             FROM generate_series(1, $1) n""",
        orders,
    )


async def fill_cases(world: World, cases: int, *, subjects: int = 1) -> list[tuple[int, int]]:
    """Open cases about these orders as detections leave them; ids with versions."""
    rows = await world.owner.fetch(
        """WITH opened AS (
             INSERT INTO ledger.cases (severity, opened_at)
             SELECT 'P2', now() FROM generate_series(1, $1) RETURNING case_id, version),
           numbered AS (SELECT case_id, row_number() OVER (ORDER BY case_id) AS n FROM opened),
           cards AS (
             INSERT INTO ledger.cards (case_id, channel, priority, in_channel)
             SELECT case_id, 'C0ALERTS', 1, false FROM opened),
           members AS (
             INSERT INTO ledger.case_members (case_id, subject_kind, subject_id, is_subject, facts, joined_at)
             SELECT case_id, 'order', 'O-' || (n - 1) * $2 + s, true,
                    jsonb_build_object('status', 'paid', 'amount', 4000, 'currency', 'JPY',
                                       'name_masked', '山＊＊＊', 'payment_method', 'card'), now()
               FROM numbered CROSS JOIN generate_series(1, $2::int) s),
           findings AS (
             INSERT INTO ledger.findings (detection, subject_kind, subject_id, window_key, severity, mode, amount,
                                          currency, occurred_at, body, case_id, found_at)
             SELECT 'bench', 'order', 'O-' || (n - 1) * $2 + 1, 'w', 'P2', 'review', 4000, 'JPY', now(),
                    jsonb_build_object('detection', 'bench', 'detection_hash', '', 'title_ja', '計測',
                      'title_en', 'Bench', 'severity', 'P2', 'mode', 'review',
                      'subject', jsonb_build_object('kind', 'order', 'id', 'O-' || (n - 1) * $2 + 1),
                      'window_key', 'w', 'occurred_at', now(), 'amount', 4000, 'currency', 'JPY',
                      'actions', '["hold", "cancel"]'::jsonb), case_id, now() FROM numbered)
           SELECT case_id, version FROM opened ORDER BY case_id""",
        cases,
        subjects,
    )
    return [(row["case_id"], row["version"]) for row in rows]


@asynccontextmanager
async def a_process(
    *arguments: str, settings: Settings
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process with the settings in its environment; stopped at the end."""
    environment = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            environment[name.upper()] = str(plain)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until_ready(port: int, *, path: str = "/readyz", within_s: float = 40) -> float:
    """Seconds until it answers 200."""
    began = time.perf_counter()
    async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{HOST}:{port}{path}") as answer:
                    if answer.status == 200:
                        return time.perf_counter() - began
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)


def rss_mb(pid: int) -> tuple[float, float]:
    """Memory of a process now and at its peak, in MB; source: /proc (Linux alone)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return tuple(int(values[k].split()[0]) / 1024 for k in ("VmRSS", "VmHWM"))  # type: ignore[return-value]  # two keys, two values


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
