"""The detections: list, check and test them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from bot import parts
from bot.actions import registry
from bot.cli.kit import (
    POSTGRES_DIR,
    WRONG,
    Commands,
    cli,
    run_async,
)
from bot.cli.rules_kit import the_detection
from bot.detections.detection import LEDGER, Detection, Loaded, Problem
from bot.detections.explaining import scans_of
from bot.detections.listing import check_detections, list_detections
from bot.detections.loading import load_detection, load_detections
from bot.detections.proving import TestResult, run_tests
from bot.market.reader import MarketReader
from bot.market.selecting import SelectFault
from bot.settings import Settings, read_settings


@cli.group(
    cls=Commands,
    homes={
        "backtest": "rules_backtest",
        "check": "rules",
        "explain": "rules_explain",
        "import-redash": "rules_import_redash",
        "list": "rules",
        "new": "rules_new",
        "test": "rules",
        "try": "rules_try",
    },
)
def rules() -> None:
    """The detections: list, check and test them."""


_FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path))


@rules.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def rules_list(*, as_json: bool) -> None:
    """List every detection, built in and your own (DETECTIONS_DIR)."""
    loaded = _load(read_settings(), ())
    listed = list_detections(loaded)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in listed], ensure_ascii=False))
    else:
        for one in listed:
            click.echo(
                f"{one.name:28} {one.severity}  {one.subject:8} {one.mode:9} every {one.every_s:>4} s"
                f"  {one.title_en} / {one.title_ja}"
            )
    for problem in loaded.problems:
        click.echo(problem.sentence, err=True)
    if loaded.problems:
        raise click.exceptions.Exit(WRONG)


@rules.command("check")
@_FILES
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def rules_check(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Check files (or every detection): head, SQL, parameters, and what the marketplace lacks.

    Exit code 1 if a file is refused. With MARKET_DATABASE_URL set, names missing columns as well, and
    large relations that a run reads whole.
    """
    settings = read_settings()
    loaded = _load(settings, files)
    present, costs = run_async(_ask(settings, loaded))
    checked = check_detections(loaded, present, costs)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in checked], ensure_ascii=False))
    else:
        for one in checked:
            click.echo(f"{'ok   ' if not one.problems else 'WRONG'} {one.name or one.path}")
            for problem in one.problems:
                click.echo(f"      {one.path}: {problem}")
            for warning in one.warnings:
                click.echo(f"      note: {warning}")
    if any(one.problems for one in checked):
        raise click.exceptions.Exit(WRONG)


async def _ask(
    settings: Settings, loaded: Loaded
) -> tuple[Mapping[str, frozenset[str]] | None, dict[str, list[str]]]:
    """What the marketplace has, and what the runs of each detection would cost it."""
    url = settings.market_database_url
    market = MarketReader(url.get_secret_value(), settings.market_schema) if url else None
    ledger = parts.ledger_reader_of(settings)
    costs: dict[str, list[str]] = {}
    for detection in loaded.detections:
        reader = ledger if detection.source == LEDGER else market
        if reader is None:
            continue
        try:
            scans = await scans_of(detection, reader, now=datetime.now(UTC))
        except SelectFault as fault:
            costs[detection.name] = [f"it cannot run here: {fault}"]
        else:
            costs[detection.name] = [scan.sentence for scan in scans]
    return (await market.relations() if market else None), costs


@rules.command("test")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def rules_test(names: tuple[str, ...], *, as_json: bool) -> None:
    """Run the examples beside each detection (or those of the named ones, or .sql files) in a scratch schema.

    Exit code 1 if one fails.
    """
    settings = read_settings()
    chosen = [the_detection(settings, name) for name in dict.fromkeys(names)] or list(
        _load(settings, ()).detections
    )
    results = run_async(_prove(chosen))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in results], ensure_ascii=False))
    else:
        for one in results:
            click.echo(f"{'ok  ' if one.failure is None else 'FAIL'} {one.detection}: {one.title}")
            if one.failure is not None:
                click.echo(f"     {one.failure}")
        failed = sum(one.failure is not None for one in results)
        click.echo(f"{len(results) - failed} passed, {failed} failed")
    if any(one.failure is not None for one in results):
        raise click.exceptions.Exit(WRONG)


async def _prove(detections: list[Detection]) -> list[TestResult]:
    from bot.playground.postgres import MARKET_DATABASE, MARKET_OWNER, embedded_postgres

    async with embedded_postgres(POSTGRES_DIR) as server:
        return await run_tests(detections, server.dsn(MARKET_DATABASE, MARKET_OWNER))


def _load(settings: Settings, files: tuple[Path, ...]) -> Loaded:
    if not files:
        return load_detections(parts.detection_folders(settings), actions=registry())
    detections: list[Detection] = []
    problems: list[Problem] = []
    for path in files:
        found = load_detection(path, actions=registry())
        if isinstance(found, Detection):
            detections.append(found)
        else:
            problems += found
    return Loaded(detections=tuple(detections), problems=tuple(problems))
