"""`mimawari rules import-redash`: a detection file of a query that a team has in Redash."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import click

from bot import parts
from bot.actions import registry
from bot.cli.kit import run_async
from bot.cli.rules import rules
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.detections.redash_import import Draft, draft_detection
from bot.domain.errors import SayableError
from bot.market.redash import RedashFault
from bot.settings import Settings, read_settings


@rules.command("import-redash")
@click.argument("query_id", type=click.IntRange(min=1))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The folder to write to; not given: DETECTIONS_DIR.",
)
def rules_import_redash(query_id: int, out: Path | None) -> None:
    """Make a detection file, and the beginning of its test, of query QUERY_ID of Redash.

    Writes over nothing. What it cannot translate stands in comments of the file.
    """
    settings = read_settings()
    folder = out or settings.detections_dir
    if folder is None:
        raise SayableError("Say where to write: set DETECTIONS_DIR, or name a folder with --out.")
    if not folder.is_dir():
        raise SayableError(f"{folder} is no folder: make it first.")
    draft = run_async(_draft(settings, query_id))
    sql, test = _write(folder, draft)
    click.echo(f"wrote {sql}")
    click.echo(f"wrote {test}")
    for note in draft.notes:
        click.echo(f"▶ {note}")
    found = load_detection(sql, actions=registry())
    if not isinstance(found, Detection):
        click.echo("Until it is corrected it does not run:")
        for problem in found:
            click.echo(f"  {problem.sentence}")
    click.echo(f"Next: edit it, then `mimawari rules check {sql}` and `mimawari rules test`.")


async def _draft(settings: Settings, query_id: int) -> Draft:
    queries = parts.redash_queries_of(settings) if settings.redash_map is not None else ()
    mapped = {one.query_id: one for one in queries}.get(query_id)
    async with aiohttp.ClientSession(timeout=parts.HTTP_TIMEOUT) as session:
        api = parts.redash_api_of(settings, queries, session)
        try:
            info = await api.query(query_id)
        except RedashFault as fault:
            raise SayableError(f"Query {query_id} cannot be read. {fault}") from fault
    return draft_detection(info, mapped)


def _write(folder: Path, draft: Draft) -> tuple[Path, Path]:
    sql, test = folder / f"{draft.name}.sql", folder / f"{draft.name}.test.yml"
    for path in (sql, test):
        if path.exists():
            raise SayableError(f"{path} is there already, and is not written over: move it first.")
    try:
        # The test first: a detection without one is refused nowhere, one that is half there may be.
        for path, content in ((test, draft.test), (sql, draft.sql)):
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        raise SayableError(f"{folder} cannot be written to ({error.strerror}).") from error
    return sql, test
