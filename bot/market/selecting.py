"""Runs one SELECT of somebody else's within limits of time, rows and bytes, whatever it tries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from bot.market.absent import Present, quote, stand_in
from bot.market.contract import CONTRACT, Relations

_BATCH = 64
# No row that a person should read is larger, and a batch of such rows fits into memory.
_ROW_BYTES = 256 * 1024
_SIZE = "mimawari row bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one SELECT may cost. As many rows as a flood that people must hear of, in memory that a bot has."""

    seconds: float = 10.0
    rows: int = 20_000
    bytes: int = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a SELECT returned; `types` are Postgres's names by column."""

    types: Mapping[str, str]
    rows: tuple[Mapping[str, object], ...]


class SelectFault(Exception):
    """Why a SELECT gave nothing: its message is a sentence about the query, for its author."""


async def select_within(
    conn: Any,
    sql: str,
    params: Sequence[object],
    *,
    schema: str,
    present: Present,
    limits: Limits,
    relations: Relations = CONTRACT,
) -> Rows:
    """Run one SELECT inside the transaction that `conn` is in, which the caller rolls back.

    Args:
        relations: what the query may name, whether it is present or not.

    Raises:
        SelectFault: it failed, or went over a limit.
    """
    sql = stand_in(sql.strip().rstrip(";"), present, schema, relations)
    await _confine(conn, schema, limits)
    try:
        # The statement may disarm its own statement_timeout; this one it cannot reach.
        async with asyncio.timeout(limits.seconds + 1):
            return await _fetch(conn, sql, params, limits)
    except TimeoutError:
        raise SelectFault(_too_slow(limits)) from None
    except asyncpg.QueryCanceledError:
        raise SelectFault(_too_slow(limits)) from None
    except asyncpg.PostgresError as error:
        raise SelectFault(f"Postgres refused it: {error}") from error
    except asyncpg.InterfaceError as error:
        raise SelectFault(f"its parameters do not fit: {error}") from error


async def explain_within(
    conn: Any,
    sql: str,
    params: Sequence[object],
    *,
    schema: str,
    present: Present,
    limits: Limits,
    relations: Relations = CONTRACT,
    form: str = "JSON",
) -> str:
    """Postgres's plan of one SELECT, which does not run.

    Args:
        form: JSON or TEXT.

    Raises:
        SelectFault: it cannot be planned.
    """
    sql = stand_in(sql.strip().rstrip(";"), present, schema, relations)
    await _confine(conn, schema, limits)
    try:
        # As a subquery it is a SELECT or nothing, as when it runs.
        asked = f"EXPLAIN (VERBOSE, FORMAT {form}) SELECT * FROM (\n{sql}\n) AS asked"  # noqa: S608
        lines = [str(record[0]) for record in await conn.fetch(asked, *params)]
    except asyncpg.PostgresError as error:
        raise SelectFault(f"Postgres refused it: {error}") from error
    except asyncpg.InterfaceError as error:
        raise SelectFault(f"its parameters do not fit: {error}") from error
    return "\n".join(lines)


async def _confine(conn: Any, schema: str, limits: Limits) -> None:
    milliseconds = max(1, int(limits.seconds * 1000))
    # A temporary relation must never stand in for the marketplace's: pg_temp would come first.
    await conn.execute(
        f"SET LOCAL search_path TO {quote(schema)}, pg_temp;"
        f"SET LOCAL statement_timeout TO {milliseconds};"
        f"SET LOCAL lock_timeout TO {milliseconds};"
        f"SET LOCAL idle_in_transaction_session_timeout TO {milliseconds + 5000};"
        "SET LOCAL jit TO off;"
        "SET LOCAL transaction_read_only TO on"
    )


async def _fetch(conn: Any, sql: str, params: Sequence[object], limits: Limits) -> Rows:
    attributes = (await conn.prepare(sql)).get_attributes()
    if not attributes:
        raise SelectFault("it returns no columns; a detection is one SELECT.")
    names = [attribute.name for attribute in attributes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SelectFault(f"it returns the column {twice[0]} twice; give each column one name.")
    cursor = await (await conn.prepare(_sized(sql, names))).cursor(*params)
    rows: list[Mapping[str, object]] = []
    total = 0
    while batch := await cursor.fetch(_BATCH):
        for record in batch:
            row = dict(record)
            size = row.pop(_SIZE)
            total += size
            if size > _ROW_BYTES:
                raise SelectFault(
                    f"it returned a row of {size:,} bytes; at most {_ROW_BYTES:,} are read:"
                    " select less text, or shorten it with left()."
                )
            rows.append(row)
        if len(rows) > limits.rows:
            raise SelectFault(
                f"it returned more than {limits.rows:,} rows in one run:"
                " raise its thresholds or shorten its window."
            )
        if total > limits.bytes:
            raise SelectFault(
                f"it returned more than {limits.bytes:,} bytes in one run:"
                " select fewer columns or less text."
            )
    types = {attribute.name: attribute.type.name for attribute in attributes}
    return Rows(types=types, rows=tuple(rows))


def _sized(sql: str, names: Sequence[str]) -> str:
    """The query inside one that tells each row's size and sends no row that is too large.

    As a subquery it cannot be anything but a SELECT. OFFSET 0 keeps the planner from computing
    anything twice, and changes no plan of the inner query, as a LIMIT would.
    """
    size = quote(_SIZE)
    columns = ", ".join(
        f"CASE WHEN {size} <= {_ROW_BYTES} THEN {quote(name)} END AS {quote(name)}"
        for name in names
    )
    # The inner query is the author's own; the role it runs as can only read.
    return (
        f"SELECT {columns}, {size} FROM (SELECT found.*,"  # noqa: S608
        # Its size in memory first: turning a huge row into text would cost the server the same again.
        f" CASE WHEN pg_column_size(found.*) > {_ROW_BYTES} THEN pg_column_size(found.*)"
        f" ELSE octet_length(CAST(found.* AS text)) END AS {size}"
        f" FROM (SELECT * FROM (\n{sql}\n) AS asked OFFSET 0) AS found OFFSET 0) AS sized"
    )


def _too_slow(limits: Limits) -> str:
    return (
        f"it took longer than {limits.seconds:g} s: shorten its window, or see with EXPLAIN"
        " which index it misses."
    )
