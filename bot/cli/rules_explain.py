"""`mimawari rules explain`: what a run of a detection costs, or its SQL to paste elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from bot.cli.kit import run_async
from bot.cli.rules import rules
from bot.cli.rules_kit import needed_setting, reader_of, the_detection
from bot.detections.detection import Detection
from bot.detections.explaining import plan_of, scans_of, sql_for_psql, sql_for_redash
from bot.domain.errors import SayableError
from bot.market.selecting import SelectFault
from bot.settings import Settings, read_settings


@rules.command("explain")
@click.argument("name")
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL with every value filled in.")
@click.option(
    "--for",
    "place",
    type=click.Choice(["psql", "redash"]),
    default="psql",
    show_default=True,
    help="Where the SQL is pasted.",
)
def rules_explain(name: str, *, as_sql: bool, place: str) -> None:
    """Print what Postgres does in one run of a detection (a name, or a .sql file), or its SQL to paste.

    The plan is that of an incremental run, of what moved since the last one; nothing is run. With
    `--sql` the whole window is asked: at this moment (psql), or whenever it runs (redash).
    """
    settings = read_settings()
    detection = the_detection(settings, name)
    if as_sql:
        click.echo(run_async(_sql(settings, detection, place)))
    else:
        click.echo(run_async(_plan(settings, detection)))


async def _sql(settings: Settings, detection: Detection, place: str) -> str:
    reader = reader_of(settings, detection)
    present = None if reader is None else await reader.relations()
    write = sql_for_psql if place == "psql" else sql_for_redash
    return write(detection, now=datetime.now(UTC), schema=settings.market_schema, present=present)


async def _plan(settings: Settings, detection: Detection) -> str:
    reader = reader_of(settings, detection)
    if reader is None:
        raise SayableError(
            f"Set {needed_setting(detection)}: the plan is Postgres's own. `--sql` prints the SQL without it."
        )
    now = datetime.now(UTC)
    try:
        plan = await plan_of(detection, reader, now=now, form="TEXT")
        scans = await scans_of(detection, reader, now=now)
    except SelectFault as fault:
        raise SayableError(f"{detection.name}: {fault}") from fault
    notes = [f"note: {scan.sentence}" for scan in scans] or [
        "No large relation is read whole in an incremental run."
    ]
    return "\n".join([plan, "", *notes])
