"""Loads a market directory into the marketplace's tables, all or nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bot.domain.errors import SayableError
from bot.playground.market.directory import (
    RelationFile,
    count_lines,
    find_relation_files,
    read_records,
    shown,
)
from bot.playground.market.load_faults import explain_fault
from bot.playground.market.load_target import Column, Staging, Target, read_target

Progress = Callable[[int, int], None]
"""Told (rows done, rows in all)."""

LONGEST_KEY = 1000
"""Bytes of a value that an index holds; Postgres refuses keys above 2,704."""
_ROWS_A_TELLING = 1000
_TIME = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)? ?(Z|UTC|[+-]\d{1,2}(:?\d{2}){0,2})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What was loaded: rows by relation, and how long it took."""

    rows: Mapping[str, int]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.rows.values())


async def load_directory(
    path: Path, dsn: str, schema: str = "market", *, progress: Progress | None = None
) -> LoadReport:
    """Load every relation that the directory holds, in one transaction.

    Raises:
        SayableError: a file or row is refused (named by file, line and column), or the database is
            not there; nothing was loaded.
    """
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            return await load_into(connection, path, schema, progress=progress)
    finally:
        await connection.close()


async def connect(dsn: str) -> Any:
    """A connection to the marketplace's database.

    Raises:
        SayableError: there is none.
    """
    try:
        return await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SayableError(f"The marketplace's database cannot be reached: {error}") from error


async def load_into(
    connection: Any, path: Path, schema: str, *, progress: Progress | None = None
) -> LoadReport:
    """Load within the caller's transaction."""
    began = time.monotonic()
    files = find_relation_files(path)
    counter = _Counter(progress=progress, total=sum(max(count_lines(f) - 1, 0) for f in files))
    rows = {}
    for file in files:
        target = await read_target(connection, schema, file.relation)
        rows[file.relation] = await _load_file(connection, file, target, counter)
    counter.finish()
    return LoadReport(rows=rows, seconds=time.monotonic() - began)


async def _load_file(connection: Any, file: RelationFile, target: Target, counter: _Counter) -> int:
    records = read_records(file)
    staging = Staging(target=target, columns=_read_header(file, target, records))
    await connection.execute(staging.create)
    rows = _stageable(file, staging.columns, records, counter)
    await connection.copy_records_to_table(
        staging.name, records=rows, columns=staging.staged_columns
    )
    try:
        async with connection.transaction():
            done = await connection.execute(staging.insert)
    except (
        asyncpg.DataError,
        asyncpg.IntegrityConstraintViolationError,
        asyncpg.ProgramLimitExceededError,
    ) as fault:
        raise await explain_fault(connection, file, staging, str(fault)) from None
    await connection.execute(f"DROP TABLE {staging.name}")
    await connection.execute(f"ANALYZE {target.table}")
    return int(done.split()[-1])


def _read_header(
    file: RelationFile, target: Target, records: Iterator[tuple[int, list[str]]]
) -> tuple[Column, ...]:
    line, names = next(records, (1, []))
    if not names:
        raise file.refuse(1, "the header line with the names of the columns is missing.")
    known = {column.name: column for column in target.columns}
    seen: set[str] = set()
    for name in names:
        if name not in known:
            raise file.refuse(
                line,
                f"{target.relation} has no column {name!r}; it has {', '.join(known)}.",
            )
        if name in seen:
            raise file.refuse(line, "the header names this column twice.", name)
        seen.add(name)
    for column in target.columns:
        if column.is_required and column.name not in seen:
            raise file.refuse(line, "the header lacks this column, which is required.", column.name)
    return tuple(known[name] for name in names)


def _stageable(
    file: RelationFile,
    columns: tuple[Column, ...],
    records: Iterator[tuple[int, list[str]]],
    counter: _Counter,
) -> Iterator[tuple[int | str | None, ...]]:
    """The records as the staging table takes them: line, then each field or None."""
    times = [n for n, column in enumerate(columns) if column.type == "timestamp with time zone"]
    keys = [n for n, column in enumerate(columns) if column.is_indexed and column.type == "text"]
    for line, record in records:
        if len(record) != len(columns):
            raise file.refuse(
                line, f"it has {len(record)} fields where the header has {len(columns)}."
            )
        for n in times:
            if record[n] and not _TIME.fullmatch(record[n].strip()):
                raise file.refuse(
                    line,
                    f"{shown(record[n])} is not a time with a zone, such as 2024-04-01 09:30:00+09.",
                    columns[n].name,
                )
        for n in keys:
            if len(record[n].encode()) > LONGEST_KEY:
                raise file.refuse(
                    line, f"it is longer than {LONGEST_KEY:,} bytes.", columns[n].name
                )
        counter.count()
        yield (line, *[value or None for value in record])


@dataclass(slots=True, kw_only=True)
class _Counter:
    """Counts rows and tells now and then; the total is an estimate until the end."""

    progress: Progress | None
    total: int
    done: int = field(default=0)

    def count(self) -> None:
        self.done += 1
        if self.progress is not None and self.done % _ROWS_A_TELLING == 0:
            self.progress(self.done, max(self.total, self.done))

    def finish(self) -> None:
        if self.progress is not None:
            self.progress(self.done, self.done)
