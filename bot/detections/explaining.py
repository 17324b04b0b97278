"""A detection as text to paste elsewhere, with every value filled in, and what a run of it costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from bot.detections.costing import FullScan, full_scans, read_plan, relations_of
from bot.detections.detection import LEDGER, RELATIONS, Detection
from bot.detections.engine import values_of
from bot.detections.loading import read_sql
from bot.detections.parameters import fill_in, literal
from bot.ledger.views import SCHEMA as LEDGER_SCHEMA
from bot.market.absent import Present, quote, stand_in


class Explains(Protocol):
    """Something that plans a SELECT without running it."""

    async def explain(
        self, sql: str, params: Sequence[object] = (), *, form: str = "JSON"
    ) -> str: ...

    async def sizes(
        self, relations: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], int]: ...


def sql_for_psql(
    detection: Detection, *, now: datetime, schema: str, present: Present | None = None
) -> str:
    """A script for psql: the whole window as of `now`, in a transaction that changes nothing.

    Args:
        present: what the marketplace has; columns that it lacks are NULL. None: all of the contract.
    """
    values = values_of(detection, now=now, changed_since=None)
    sql = fill_in(read_sql(detection), {name: literal(value) for name, value in values.items()})
    schema = LEDGER_SCHEMA if detection.source == LEDGER else schema
    relations = RELATIONS[detection.source]
    if present is not None:
        sql = stand_in(sql, present, schema, relations)
    return "\n".join(
        (
            f"-- {detection.name}: {detection.title.en} / {detection.title.ja}",
            "BEGIN TRANSACTION READ ONLY;",
            f"SET LOCAL search_path TO {quote(schema)};",
            f"{sql}",
            ";",
            "ROLLBACK;",
        )
    )


def sql_for_redash(
    detection: Detection, *, now: datetime, schema: str, present: Present | None = None
) -> str:
    """One SELECT for a scheduled query of Redash: its window ends whenever it runs."""
    since = f"(now() - {literal(detection.window)})"
    values = values_of(detection, now=now, changed_since=None)
    texts = {name: literal(value) for name, value in values.items()} | {
        "now": "now()",
        "window_start": since,
        "changed_since": since,
    }
    relations = RELATIONS[detection.source]
    whole = {relation: frozenset(columns) for relation, columns in relations.items()}
    schema = LEDGER_SCHEMA if detection.source == LEDGER else schema
    sql = stand_in(
        fill_in(read_sql(detection), texts),
        whole if present is None else present,
        schema,
        relations,
        all_of_them=True,
    )
    return f"-- {detection.name}: {detection.title.en} / {detection.title.ja}\n{sql}"


async def plan_of(
    detection: Detection, reader: Explains, *, now: datetime, form: str = "JSON"
) -> str:
    """Postgres's plan of the run that is due now, of what moved since the last one.

    Raises:
        SelectFault: it cannot be planned.
    """
    values = values_of(detection, now=now, changed_since=now - detection.every)
    params = [values[name] for name in detection.statement.names]
    return await reader.explain(detection.statement.sql, params, form=form)


async def scans_of(detection: Detection, reader: Explains, *, now: datetime) -> list[FullScan]:
    """The large relations that every run of the detection reads whole.

    Raises:
        SelectFault: it cannot be planned.
    """
    plan = read_plan(await plan_of(detection, reader, now=now))
    return full_scans(plan, await reader.sizes(relations_of(plan)))
