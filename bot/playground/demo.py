"""`mimawari demo`: Postgres, a marketplace with fraud in it, a Slack-like page and the bot, in one process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import SecretStr
from sqlalchemy.pool import NullPool

from bot import app
from bot.domain.errors import SayableError
from bot.ledger import cases
from bot.ledger.engine import create_engine
from bot.ledger.migrate import migrate
from bot.playground.market.demo import prepare_demo
from bot.playground.market.flavours import DEFAULT, Flavour
from bot.playground.market.server import Marketplace, create_schema, serve_marketplace
from bot.playground.postgres import (
    DATABASES,
    LEDGER_APP,
    LEDGER_DATABASE,
    LEDGER_OWNER,
    LEDGER_READER,
    MARKET_DATABASE,
    MARKET_OWNER,
    MARKET_READER,
    Server,
    embedded_postgres,
    only_one,
)
from bot.playground.workspace.seed import Seed, demo_seed
from bot.playground.workspace.seed_english import in_english
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from bot.settings import Settings

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
MARKET_PORT = 8900
TAKE_BACK_S = 10.0
"""Long enough to try it, short enough to wait for."""
PAGE_PORT = 8910
MARKET_TOKEN = "demo-market-token"  # noqa: S105 - opens nothing but this machine's demo
BOT_TOKEN = "xoxb-demo-token"  # noqa: S105
SIGNING_SECRET = "demo-signing-secret"  # noqa: S105
ALERTS = "C0ALERTS"
DIGEST = "C0DIGEST"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line chose."""

    market_dir: Path | None
    speed: float | None
    seed: int
    fresh: bool
    flavour: Flavour = DEFAULT


async def run_demo(settings: Settings, options: DemoOptions, *, data_dir: Path) -> None:
    """Run until Ctrl-C. With a bot token in the settings, real Slack takes the local page's place."""
    stop = asyncio.Event()
    app.stop_on_signals(stop)
    real_slack = settings.slack_bot_token is not None
    settings = _with_flavour(settings, options.flavour)
    with only_one(data_dir, "demo"):
        async with AsyncExitStack() as stack:
            click.echo("Starting: database, marketplace, Slack page, bot …", err=True)
            server = await stack.enter_async_context(embedded_postgres(data_dir / "postgres"))
            if options.fresh:
                await _start_over(server)
            await _prepare_databases(server)
            market_dsn = server.dsn(MARKET_DATABASE, MARKET_OWNER)
            clock, runner = await prepare_demo(
                market_dsn,
                market_dir=options.market_dir,
                speed=options.speed,
                seed=options.seed,
                flavour=options.flavour,
            )
            marketplace = Marketplace(
                market_dsn, token=MARKET_TOKEN, clock=clock, flavour=options.flavour
            )
            market_url = await stack.enter_async_context(
                serve_marketplace(marketplace, HOST, free_port(MARKET_PORT))
            )
            port = free_port(settings.port)
            settings = _with_playground(settings, server, market_url, port=port)
            workspace: Workspace | None = None
            page_url = None
            if not real_slack:
                workspace = Workspace(
                    _seed(options.flavour, market_url),
                    request_url=f"http://{HOST}:{port}/slack/events",
                )
                page_url = await stack.enter_async_context(
                    serve_workspace(workspace, HOST, free_port(PAGE_PORT))
                )
                settings = _with_local_slack(settings, page_url)
                await _post_cards_again(settings)
                workspace.channel_locale = settings.locale
            bot = await stack.enter_async_context(
                app.running_parts(
                    settings, clock=clock, pace=max(clock.speed, 1.0), take_back_s=TAKE_BACK_S
                )
            )
            if workspace is not None:
                workspace.on_channel_locale = bot.set_channel_locale
            _say_where(page_url, market_url)
            await _run_until(stop, bot.run(stop), runner.run(stop))
    click.echo("Stopped. Everything is kept for the next time; `--fresh` starts over.", err=True)


@asynccontextmanager
async def embedded_market(folder: Path) -> AsyncIterator[str]:
    """The owner's address of the embedded demo marketplace, with its schema."""
    async with embedded_postgres(folder) as server:
        dsn = server.dsn(MARKET_DATABASE, MARKET_OWNER)
        await create_schema(dsn)
        yield dsn


def free_port(preferred: int) -> int:
    """The preferred port, or the next free one of the twenty after it.

    Raises:
        SayableError: none of them is free.
    """
    for port in range(preferred, preferred + 20):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise SayableError(f"No port from {preferred} to {preferred + 19} is free on {HOST}: free one.")


async def _run_until(stop: asyncio.Event, *parts: object) -> None:
    """Run all parts; if one ends or fails, stop the others in good order."""
    tasks = [asyncio.ensure_future(part) for part in parts]  # type: ignore[call-overload]  # coroutines
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    await asyncio.gather(*tasks)


async def _prepare_databases(server: Server) -> None:
    await asyncio.to_thread(
        migrate,
        server.dsn(LEDGER_DATABASE, LEDGER_OWNER),
        LEDGER_APP,
        reader_role=LEDGER_READER,
    )
    await create_schema(server.dsn(MARKET_DATABASE, MARKET_OWNER))


async def _start_over(server: Server) -> None:
    for name, owner, guests in DATABASES:
        await server.drop_database(name)
        await server.create_database(name, owner=owner, guests=guests)


async def _post_cards_again(settings: Settings) -> None:
    """The local workspace forgets its messages when it stops: open cases get a new card."""
    url = settings.database_url
    engine = create_engine(url.get_secret_value() if url else "", poolclass=NullPool)
    try:
        async with engine.begin() as conn:
            await cases.forget_messages(conn)
    finally:
        await engine.dispose()


def _seed(flavour: Flavour, market_url: str) -> Seed:
    seed = demo_seed(market_url=market_url)
    if flavour.locale == "ja":
        return seed
    return in_english(seed, team_name=flavour.shop[flavour.locale])


def _with_flavour(settings: Settings, flavour: Flavour) -> Settings:
    """The language, clock and words of the shop that is played, where no setting says otherwise."""
    own = {
        "locale": flavour.locale,
        "timezone": flavour.zone.key,
        "glossary_file": flavour.glossary_file,
    }
    return settings.model_copy(
        update={name: own[name] for name in own.keys() - settings.model_fields_set}
    )


def _with_playground(settings: Settings, server: Server, market_url: str, *, port: int) -> Settings:
    return settings.model_copy(
        update={
            "database_url": SecretStr(server.dsn(LEDGER_DATABASE, LEDGER_APP)),
            "database_owner_url": SecretStr(server.dsn(LEDGER_DATABASE, LEDGER_OWNER)),
            "database_reader_url": SecretStr(server.dsn(LEDGER_DATABASE, LEDGER_READER)),
            "market_database_url": SecretStr(server.dsn(MARKET_DATABASE, MARKET_READER)),
            "market_api_url": market_url,
            "market_api_token": SecretStr(MARKET_TOKEN),
            # What is decided in the demo must never reach a real shop.
            "verb_map_file": None,
            "port": port,
        }
    )


def _with_local_slack(settings: Settings, page_url: str) -> Settings:
    return settings.model_copy(
        update={
            "slack_bot_token": SecretStr(BOT_TOKEN),
            "slack_signing_secret": SecretStr(SIGNING_SECRET),
            "slack_app_token": None,
            "slack_api_url": f"{page_url.rstrip('/')}/api/",
            "alert_channel": ALERTS,
            "digest_channel": DIGEST,
        }
    )


def _say_where(page_url: str | None, market_url: str) -> None:
    click.echo("")
    if page_url is not None:
        click.echo(f"  Open this page:   {page_url}")
    else:
        click.echo("  Cards go to your Slack: the channel of ALERT_CHANNEL")
    click.echo(f"  The marketplace:  {market_url}")
    click.echo("  The log, proven:  mimawari audit verify   (while this runs, in another terminal)")
    click.echo("  Stop:             Ctrl-C")
    click.echo("")
