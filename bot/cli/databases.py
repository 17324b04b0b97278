"""The databases: the ledger's tables, the embedded Postgres, and market directories loaded into one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
from sqlalchemy.exc import SQLAlchemyError

from bot.cli.kit import POSTGRES_DIR, cli, first_line, run_async, with_ledger
from bot.domain.errors import SayableError
from bot.ledger.migrate import migrate as migrate_ledger
from bot.settings import Settings, read_settings


@cli.group()
def db() -> None:
    """The embedded Postgres."""


@db.command("start")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as JSON.")
def db_start(*, as_json: bool) -> None:
    """Keep the embedded Postgres running until Ctrl-C, for several processes; prints their settings."""
    from bot.playground.postgres import serve_database

    run_async(serve_database(POSTGRES_DIR, as_json=as_json, write=click.echo))


@cli.group()
def market() -> None:
    """The demo marketplace's data."""


@market.command("load")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--dsn",
    help="Owner's address of an empty database; without it, the embedded demo marketplace.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def market_load(directory: Path, *, dsn: str | None, as_json: bool) -> None:
    """Load a market directory (one CSV or .csv.gz a relation) into the demo marketplace, all or nothing."""
    run_async(_market_load(directory, dsn, as_json=as_json))


async def _market_load(directory: Path, dsn: str | None, *, as_json: bool) -> None:
    from bot.playground.demo import embedded_market
    from bot.playground.market.load import load_directory

    with click.progressbar(length=1, label="Loading", file=sys.stderr, width=40) as bar:

        def progress(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        if dsn is not None:
            report = await load_directory(directory, dsn, progress=progress)
        else:
            async with embedded_market(POSTGRES_DIR) as market_dsn:
                report = await load_directory(directory, market_dsn, progress=progress)
    if as_json:
        click.echo(json.dumps({"rows": dict(report.rows)}))
    else:
        for relation, rows in report.rows.items():
            click.echo(f"{relation:20} {rows:>9,}")


@cli.command()
def migrate() -> None:
    """Bring the ledger's tables up to date, as DATABASE_OWNER_URL, and grant DATABASE_URL's role its rights."""
    settings = read_settings()
    if settings.database_url is None:
        run_async(_migrate_embedded(settings))
    elif settings.database_owner_url is None:
        raise SayableError(
            "Set DATABASE_OWNER_URL to the ledger's owner: the application role must not own its tables."
        )
    else:
        _migrate(settings)
    click.echo("The ledger is up to date.")


async def _migrate_embedded(settings: Settings) -> None:
    async with with_ledger(settings):
        pass


def _migrate(settings: Settings) -> None:
    app_url, owner_url = settings.database_url, settings.database_owner_url
    if app_url is None or owner_url is None:
        raise SayableError("Set DATABASE_URL and DATABASE_OWNER_URL.")
    role = urlsplit(app_url.get_secret_value()).username
    if not role:
        raise SayableError(
            "DATABASE_URL must name its user: postgresql://user:password@host/database."
        )
    try:
        migrate_ledger(
            owner_url.get_secret_value(),
            role,
            settings.database_verifier_role,
            reader_role=_reader_role(settings),
        )
    except (SQLAlchemyError, OSError) as error:
        raise SayableError(
            f"The ledger could not be migrated ({type(error).__name__}): {first_line(error)}"
        ) from error


def _reader_role(settings: Settings) -> str | None:
    if settings.database_reader_url is None:
        return None
    role = urlsplit(settings.database_reader_url.get_secret_value()).username
    if not role:
        raise SayableError(
            "DATABASE_READER_URL must name its user: postgresql://user:password@host/database."
        )
    return role
