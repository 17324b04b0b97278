"""Running the bot, or all of it on one machine: run, demo, migrate, doctor, manifest."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import click
from sqlalchemy.exc import SQLAlchemyError

from bot import app
from bot.cli.kit import (
    WRONG,
    cli,
    first_line,
    run_async,
    with_ledger,
)
from bot.doctor import Diagnosis, examine
from bot.domain.errors import SayableError
from bot.ledger.migrate import migrate as migrate_ledger
from bot.settings import DATA_DIR, Settings, read_settings

MANIFEST = Path(__file__).parent.parent.parent / "app_manifest.yml"


@cli.command()
def run() -> None:
    """Run the bot against the Slack and the marketplace of the settings.

    Without DATABASE_URL the ledger lives in an embedded Postgres below .data/, good for a trial.
    """
    run_async(_run())


async def _run() -> None:
    async with with_ledger(read_settings()) as settings:
        await app.run(settings)


@cli.command()
@click.option(
    "--market",
    "market_dir",
    type=click.Path(path_type=Path),
    help="Play this market directory in its own time order instead of the built-in shoppers.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.01),
    help="How many market seconds pass in one second of yours.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another seed, other shoppers."
)
@click.option(
    "--flavour",
    type=click.Choice(["minato", "harbour"]),
    default="minato",
    show_default=True,
    help="Whose shop: minato is Japanese and in yen, harbour English and in euros.",
)
@click.option("--fresh", is_flag=True, help="Forget the demo's past and start over.")
def demo(
    *, market_dir: Path | None, speed: float | None, seed: int, flavour: str, fresh: bool
) -> None:
    """Run everything on this machine: Postgres, a marketplace with fraud in it, a Slack-like page, the bot.

    Open the page that it prints and press a button. With SLACK_BOT_TOKEN set, the cards go to your real
    Slack instead. Ctrl-C stops it; what happened stays for the next time.
    """
    from bot.playground.demo import DemoOptions, run_demo
    from bot.playground.market.flavours import FLAVOURS

    options = DemoOptions(
        market_dir=market_dir,
        speed=speed,
        seed=seed,
        flavour=FLAVOURS[flavour],
        fresh=fresh,
    )
    run_async(run_demo(read_settings(), options, data_dir=DATA_DIR))


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


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, as_json: bool) -> None:
    """Try everything that the settings name, and say what is wrong and what to do (exit code 1)."""
    found = run_async(_examine())
    if as_json:
        click.echo(
            json.dumps(
                [
                    {"what": d.what, "ok": d.problem is None, "told": d.told, "problem": d.problem}
                    for d in found
                ],
                ensure_ascii=False,
            )
        )
    else:
        for d in found:
            mark = "ok   " if d.problem is None else "WRONG" if d.grave else "note "
            click.echo(f"{mark} {d.what:22} {d.problem or d.told}")
    if any(d.problem is not None and d.grave for d in found):
        raise click.exceptions.Exit(WRONG)


async def _examine() -> list[Diagnosis]:
    settings = read_settings()
    return [diagnosis async for diagnosis in examine(settings)]


@cli.command()
@click.option(
    "--url", required=True, help="Where Slack reaches this bot, such as https://bot.example.com."
)
def manifest(*, url: str) -> None:
    """Print the Slack app's manifest with your address in it: paste it at api.slack.com/apps."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise SayableError("--url must start with https://: Slack sends to nothing else.")
    address = f"https://{parts.netloc}{parts.path.rstrip('/')}/slack/events"
    try:
        content = MANIFEST.read_text(encoding="utf-8")
    except OSError as error:
        raise SayableError(
            f"{MANIFEST} is not there: run this from a clone of the repository."
        ) from error
    click.echo(content.replace("https://example.invalid/slack/events", address), nl=False)
