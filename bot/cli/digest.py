"""The digest of a day."""

from __future__ import annotations

from datetime import date, datetime

import click
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from bot.cards.digest_card import digest_card
from bot.cli.kit import (
    cli,
    first_line,
    run_async,
)
from bot.domain.clock import WallClock
from bot.domain.digests import Digest
from bot.domain.errors import SayableError
from bot.jobs.digest import market_now, read_digest
from bot.ledger.engine import create_engine
from bot.ledger.values import to_json
from bot.locale import messages_for
from bot.market.reader import MarketReader
from bot.settings import Settings, read_settings, require


@cli.command("digest")
@click.option(
    "--day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="A past day, such as 2026-11-22; without it, today so far.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def digest_command(*, day: datetime | None, as_json: bool) -> None:
    """Print the digest of a day as it was posted, or as it can be told now; changes and posts nothing."""
    settings = read_settings()
    made = run_async(_digest(settings, day.date() if day is not None else None))
    if as_json:
        click.echo(to_json(made, Digest))
    else:
        drawn = digest_card(made, tz=settings.zone, messages=messages_for("en"))
        click.echo("\n".join(drawn.lines))


async def _digest(settings: Settings, day: date | None) -> Digest:
    require(settings, "database_url", "market_database_url")
    ledger, market_url = settings.database_url, settings.market_database_url
    engine = create_engine(ledger.get_secret_value() if ledger else "", poolclass=NullPool)
    try:
        reader = MarketReader(
            market_url.get_secret_value() if market_url else "", settings.market_schema
        )
        now = await market_now(engine, WallClock())
        if day is not None and day > now.astimezone(settings.zone).date():
            raise SayableError("--day must be a past day, or today.")
        return await read_digest(engine, reader, day, settings.zone, now=now)
    except (SQLAlchemyError, OSError) as error:
        raise SayableError(
            f"The ledger cannot be read ({type(error).__name__}): {first_line(error)} "
            "Is it migrated (`mimawari migrate`)?"
        ) from error
    finally:
        await engine.dispose()
