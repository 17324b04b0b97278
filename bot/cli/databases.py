"""The embedded databases, and market directories loaded into one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bot.cli.kit import (
    POSTGRES_DIR,
    cli,
    run_async,
)


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
