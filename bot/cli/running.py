"""Running the bot, or all of it on one machine: run, demo, doctor."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bot import app
from bot.cli.kit import (
    WRONG,
    cli,
    run_async,
    with_ledger,
)
from bot.doctor import Diagnosis, examine
from bot.settings import DATA_DIR, read_settings


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
