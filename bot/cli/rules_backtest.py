"""`mimawari rules backtest`: what the detections would have flagged in a market directory, and how often rightly."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot.actions import registry
from bot.cli.kit import POSTGRES_DIR, run_async
from bot.cli.rules import rules
from bot.detections.backtesting import Backtest, Measured, Score, judge, play
from bot.detections.detection import Detection
from bot.detections.head import parse_duration
from bot.detections.listing import missing_columns
from bot.detections.loading import load_detections
from bot.detections.proving import CONTRACT_FILE
from bot.detections.replaying import ARCHIVE, filled_columns, replay, scratch_schemas, write_changes
from bot.domain.errors import SayableError
from bot.domain.subjects import SubjectKind
from bot.parts import detection_folders
from bot.settings import read_settings

if TYPE_CHECKING:
    from bot.playground.postgres import Server

_LABELS = ("subject_kind", "subject_id", "label", "labelled_at")
_LABELLED = ("order", "account", "listing", "post")
_MOST_STEP = timedelta(days=1)


@rules.command("backtest")
@click.option(
    "--market",
    "directory",
    required=True,
    type=click.Path(path_type=Path),
    help="A market directory: one CSV or .csv.gz a relation.",
)
@click.option(
    "--labels",
    "labels_file",
    type=click.Path(path_type=Path),
    help="A CSV of labels; not given: labels.csv of the directory, if it has one.",
)
@click.option(
    "--subject",
    "subject",
    type=click.Choice(["order", "account"]),
    default="order",
    show_default=True,
    help="What is judged.",
)
@click.option("--step", default="10m", show_default=True, help="How often the detections look.")
@click.option("--only", help="Names of detections with commas between; not given: all.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def rules_backtest(
    *,
    directory: Path,
    labels_file: Path | None,
    subject: str,
    step: str,
    only: str | None,
    as_json: bool,
) -> None:
    """Play a market's past to the detections and measure them: precision, recall, money.

    Each step sees only what had come by then. Nothing is written to the ledger.
    """
    try:
        stride = parse_duration(step)
    except ValueError as error:
        raise SayableError(f"--step: {error}.") from error
    if not timedelta() < stride <= _MOST_STEP:
        raise SayableError("--step: write at most 1d, and more than nothing.")
    chosen = _chosen(only)
    result = run_async(_backtest(directory, labels_file, SubjectKind(subject), stride, chosen))
    if as_json:
        click.echo(json.dumps(backtest_json(result), ensure_ascii=False))
    else:
        tell_backtest(result)


def _chosen(only: str | None) -> Sequence[Detection]:
    loaded = load_detections(detection_folders(read_settings()), actions=registry())
    for problem in loaded.problems:
        click.echo(str(problem), err=True)
    detections = [one for one in loaded.detections if one.source == "market"]
    if only is None:
        return detections
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := sorted(set(names) - {one.name for one in detections}):
        raise SayableError(
            f"There is no detection {', '.join(unknown)} over the marketplace: see `mimawari rules list`."
        )
    return [one for one in detections if one.name in names]


async def _backtest(
    directory: Path,
    labels_file: Path | None,
    kind: SubjectKind,
    step: timedelta,
    detections: Sequence[Detection],
) -> Backtest:
    from bot.playground.postgres import embedded_postgres

    async with embedded_postgres(POSTGRES_DIR) as server:
        return await measure(
            server, directory, labels_file=labels_file, kind=kind, step=step, detections=detections
        )


async def measure(
    server: Server,
    directory: Path,
    *,
    labels_file: Path | None = None,
    kind: SubjectKind = SubjectKind.ORDER,
    step: timedelta = timedelta(minutes=10),
    detections: Sequence[Detection],
) -> Backtest:
    """Load, play and judge in a database that is made for it and gone afterwards.

    Raises:
        SayableError: the directory or the labels are refused; the sentence says where and why.
    """
    from bot.playground.market.directory import find_relation_files
    from bot.playground.market.load import load_directory

    find_relation_files(directory)
    labels = _read_labels(directory, labels_file)
    async with _scratch_database(server) as dsn, scratch_schemas(dsn, CONTRACT_FILE) as conn:
        await load_directory(directory, dsn, ARCHIVE)
        await conn.execute(
            f"CREATE TABLE {ARCHIVE}.labels (subject_kind text, subject_id text, label text,"
            " PRIMARY KEY (subject_kind, subject_id))"
        )
        await conn.copy_records_to_table("labels", schema_name=ARCHIVE, records=labels)
        await write_changes(conn, step)
        present = await filled_columns(conn)
        with click.progressbar(length=1, label="Playing", file=sys.stderr, width=40) as bar:

            def progress(done: int, total: int) -> None:
                bar.length = max(total, 1)
                bar.update(done - bar.pos)

            async with replay(dsn, step=step, connections=_connections()) as played:
                named, faults, steps = await play(played, detections, kind=kind, progress=progress)
        return await judge(
            conn,
            detections,
            named,
            faults,
            kind=kind,
            step=step,
            steps=steps,
            missing=lambda detection: missing_columns(detection, present),
        )


def _connections() -> int:
    """One a core: a detection is one query at a time, and Postgres runs it on one of them."""
    return min(max(os.cpu_count() or 1, 2), 8)


@asynccontextmanager
async def _scratch_database(server: Server) -> AsyncIterator[str]:
    """A database that is gone afterwards, on the embedded Postgres."""
    from bot.playground.postgres import SUPERUSER

    name = f"backtest_{secrets.token_hex(6)}"
    await server.create_database(name, owner=SUPERUSER)
    try:
        yield server.dsn(name, SUPERUSER)
    finally:
        await server.drop_database(name)


def _read_labels(directory: Path, labels_file: Path | None) -> list[tuple[str, str, str]]:
    """Labels by subject.

    Raises:
        SayableError: the file is not there or a line of it is wrong.
    """
    from bot.playground.market.directory import RelationFile, read_records

    found = (
        [labels_file] if labels_file else [directory / "labels.csv", directory / "labels.csv.gz"]
    )
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        if labels_file is not None:
            raise SayableError(f"{labels_file} is not there: name a CSV of labels.")
        return []
    file = RelationFile(relation="labels", path=path)
    records = read_records(file)
    _, header = next(records, (1, []))
    if missing := [name for name in _LABELS[:3] if name not in header]:
        raise file.refuse(1, f"the header lacks {missing[0]}; write {','.join(_LABELS)}.")
    places = [header.index(name) for name in _LABELS[:3]]
    labels: dict[tuple[str, str], str] = {}
    for line, record in records:
        if len(record) != len(header):
            raise file.refuse(
                line, f"it has {len(record)} fields where the header has {len(header)}."
            )
        kind, id_, label = (record[place].strip() for place in places)
        if kind not in _LABELLED:
            raise file.refuse(line, f"the subject kind {kind!r} is none of {', '.join(_LABELLED)}.")
        if label not in {"fraud", "good"}:
            raise file.refuse(line, f"the label {label!r} is neither fraud nor good.")
        if labels.setdefault((kind, id_), label) != label:
            raise file.refuse(line, f"{kind} {id_} is labelled both fraud and good.")
    return [(*key, label) for key, label in labels.items()]


def backtest_json(result: Backtest) -> Mapping[str, Any]:
    return {
        "subject": result.kind.value,
        "subjects": {"fraud": result.fraud, "good": result.good},
        "undecided": result.undecided,
        "steps": result.steps,
        "from": result.first.isoformat() if result.first else None,
        "to": result.last.isoformat() if result.last else None,
        "union": _score_json("union", None, result.union),
        "p1": _score_json("p1", "P1", result.p1),
        "detections": [
            {
                **_score_json(one.name, one.severity.value, one.score),
                "missing": {name: list(columns) for name, columns in one.missing.items()},
                "fault": one.fault,
                "counter_examples": [
                    {**example, "came": example["came"].isoformat()}
                    for example in one.counter_examples
                ],
            }
            for one in result.detections
        ],
        "baselines": [_score_json(name, None, score) for name, score in result.baselines.items()],
    }


def _score_json(name: str, severity: str | None, score: Score) -> dict[str, Any]:
    return {"name": name, "severity": severity, **asdict(score)}


def tell_backtest(result: Backtest) -> None:
    kind = result.kind.value
    click.echo(
        f"{result.first:%Y-%m-%d} to {result.last:%Y-%m-%d}, {result.steps:,} steps;"
        f" {kind}s: {result.fraud:,} fraud, {result.good:,} good, {result.undecided:,} undecided"
        if result.first and result.last
        else "Nothing ever happened in this directory."
    )
    click.echo(
        f"\n{'':40} {'flagged':>8} {'late':>6} {'precision':>9} {'recall':>7} {'FPR':>7}  p50 to detect"
    )
    click.echo(_line("all detections", result.union))
    click.echo(_line("P1 only", result.p1))
    for name, score in result.baselines.items():
        click.echo(_line(f"baseline: {name}"[:40], score))
    for one in result.detections:
        click.echo(_line(f"{one.severity} {one.name}", one.score))
    if result.union.shipped_flagged_rate is not None:
        click.echo(
            f"\nOf the orders that were shipped and not cancelled {result.union.shipped_flagged_rate:.2%}"
            " are flagged."
        )
    for title, money in (
        ("caught", result.union.caught),
        ("good touched", result.union.good_touched),
    ):
        if money:
            said = ", ".join(
                f"{amount:,} {currency} (minor units)" for currency, amount in money.items()
            )
            click.echo(f"Money {title}: {said}")
    for one in result.detections:
        for line in _notes(one):
            click.echo(f"{one.name}: {line}")


def _line(name: str, score: Score) -> str:
    p50 = "" if score.time_to_detect_p50_s is None else f"{score.time_to_detect_p50_s:,.0f} s"
    return (
        f"{name:40} {score.flagged:>8,} {score.late:>6,} {_share(score.precision):>9}"
        f" {_share(score.recall):>7} {_share(score.false_positive_rate):>7}  {p50}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _notes(one: Measured) -> list[str]:
    notes = []
    if one.missing:
        said = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in one.missing.items())
        told = (
            "could not fire: nothing is in"
            if not one.score.flagged + one.score.late
            else "fired without"
        )
        notes.append(f"{told} {said}")
    if one.fault is not None:
        notes.append(f"FAILED: {one.fault}")
    if one.counter_examples:
        notes.append("good, but flagged: " + ", ".join(one_["id"] for one_ in one.counter_examples))
    return notes
