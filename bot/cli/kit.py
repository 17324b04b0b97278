"""What the commands share: the group itself, running coroutines, and the ledger of the settings."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from bot.domain.errors import SayableError
from bot.ledger.engine import create_engine
from bot.ledger.migrate import migrate as migrate_ledger
from bot.settings import DATA_DIR, Settings, read_settings

T = TypeVar("T")

POSTGRES_DIR = DATA_DIR / "postgres"
WRONG = 1
"""Exit code of a check that found something wrong; 2 is wrong usage or settings."""


class Commands(click.Group):
    """Reads a command's module when the command is asked for: reading all takes longer than most commands do."""

    def __init__(self, *args: Any, homes: Mapping[str, str], **kwargs: Any) -> None:
        """Args:
        homes: the module of this package that each command stands in.
        """
        super().__init__(*args, **kwargs)
        self._homes = homes

    def get_command(  # type: ignore[explicit-override] # typing has it from 3.12 on
        self, ctx: click.Context, name: str
    ) -> click.Command | None:
        if name in self._homes:
            importlib.import_module(f"{__package__}.{self._homes[name]}")
        return super().get_command(ctx, name)

    def list_commands(  # type: ignore[explicit-override]
        self,
        ctx: click.Context,  # noqa: ARG002 - click gives it
    ) -> list[str]:
        return sorted(self._homes)


@click.group(
    cls=Commands,
    homes={
        "access": "access",
        "audit": "audit",
        "contract": "contract",
        "db": "databases",
        "demo": "running",
        "digest": "digest",
        "doctor": "running",
        "manifest": "manifest",
        "market": "databases",
        "migrate": "databases",
        "pause": "braking",
        "resume": "braking",
        "rules": "rules",
        "run": "running",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Start here:
  mimawari demo             everything on this machine, nothing to set up
  mimawari doctor           what is missing for a real Slack and a real marketplace
  mimawari rules list       what is detected
Settings come from the environment or .env: see .env.example.""",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.version_option(package_name="mimawari")
def cli(*, verbose: bool) -> None:
    """Mimawari (見回り) watches a marketplace for fraud and spam, and carries out in Slack what people decide."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # These log whole requests, tokens included, below WARNING.
    for name in ("slack_bolt", "slack_sdk", "bot.bolt", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("alembic", "sqlalchemy", "sqlglot"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns whenever a poll takes longer than its interval, which is what a busy machine does.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@asynccontextmanager
async def with_ledger(settings: Settings) -> AsyncIterator[Settings]:
    """Settings whose ledger exists: the one named, or the embedded one, migrated."""
    if settings.database_url is not None:
        yield settings
        return
    from bot.playground.postgres import (
        LEDGER_APP,
        LEDGER_DATABASE,
        LEDGER_OWNER,
        LEDGER_READER,
        embedded_postgres,
    )

    async with embedded_postgres(POSTGRES_DIR) as server:
        owner = server.dsn(LEDGER_DATABASE, LEDGER_OWNER)
        await asyncio.to_thread(migrate_ledger, owner, LEDGER_APP, reader_role=LEDGER_READER)
        yield settings.model_copy(
            update={
                "database_url": SecretStr(server.dsn(LEDGER_DATABASE, LEDGER_APP)),
                "database_owner_url": SecretStr(owner),
                "database_reader_url": SecretStr(server.dsn(LEDGER_DATABASE, LEDGER_READER)),
            }
        )


@asynccontextmanager
async def ledger_connection() -> AsyncIterator[Any]:
    async with with_ledger(read_settings()) as settings:
        url = settings.database_url
        engine = create_engine(url.get_secret_value() if url else "", poolclass=NullPool)
        try:
            async with engine.connect() as conn:
                yield conn
        except (SQLAlchemyError, OSError) as error:
            raise SayableError(
                f"The ledger cannot be read ({type(error).__name__}): {first_line(error)} "
                "Is it migrated (`mimawari migrate`)?"
            ) from error
        finally:
            await engine.dispose()


def first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
