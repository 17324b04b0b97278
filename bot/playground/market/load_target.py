"""What a loaded table asks of its rows, read from the database's own catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.domain.errors import SayableError

# Columns of a table, with default and whether an index holds them; generated ones cannot be loaded.
_READ_COLUMNS = """
    SELECT a.attname AS name,
           format_type(a.atttypid, a.atttypmod) AS type,
           a.attnotnull AS not_null,
           pg_get_expr(d.adbin, d.adrelid) AS default,
           EXISTS (SELECT FROM pg_index i
                    WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey)) AS is_indexed,
           EXISTS (SELECT FROM pg_index i
                    WHERE i.indrelid = a.attrelid AND i.indisprimary
                      AND a.attnum = ANY (i.indkey)) AS is_key
      FROM pg_attribute a
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0
       AND NOT a.attisdropped AND a.attgenerated = ''
     ORDER BY a.attnum
"""
# CHECK constraints of a table, with the one column that each is about.
_READ_RULES = """
    SELECT pg_get_expr(c.conbin, c.conrelid) AS expression,
           (SELECT a.attname FROM pg_attribute a
             WHERE a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]) AS column
      FROM pg_constraint c
     WHERE c.conrelid = to_regclass($1) AND c.contype = 'c'
     ORDER BY c.conname
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type: str
    not_null: bool
    default: str | None
    is_indexed: bool
    is_key: bool

    @property
    def is_required(self) -> bool:
        return self.not_null and self.default is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A CHECK constraint; `column` is None where it is about several."""

    expression: str
    column: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A table to load."""

    table: str
    relation: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]

    @property
    def key(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.is_key)


async def read_target(connection: Any, schema: str, relation: str) -> Target:
    """Ask the database what the table is.

    Raises:
        SayableError: the schema has no such table.
    """
    table = f"{quote(schema)}.{quote(relation)}"
    columns = await connection.fetch(_READ_COLUMNS, table)
    if not columns:
        raise SayableError(
            f"The database has no table {schema}.{relation}; create the marketplace's schema first "
            "(contract/market.sql)."
        )
    rules = await connection.fetch(_READ_RULES, table)
    return Target(
        table=table,
        relation=relation,
        columns=tuple(Column(**dict(row)) for row in columns),
        rules=tuple(Rule(**dict(row)) for row in rules),
    )


def quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """A temporary table of plain text beside a target: what a file says, before it is believed."""

    target: Target
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return f"staged_{self.target.relation}"

    @property
    def staged_columns(self) -> list[str]:
        return ["line", *(self.staged(column) for column in self.columns)]

    @staticmethod
    def staged(column: Column) -> str:
        """The staging name of a column, never one that the target uses."""
        return f"staged_{column.name}"

    @property
    def create(self) -> str:
        fields = ", ".join(f"{self.staged(column)} text" for column in self.columns)
        return f"CREATE TEMPORARY TABLE {self.name} (line bigint, {fields}) ON COMMIT DROP"

    @property
    def insert(self) -> str:
        names = ", ".join(quote(column.name) for column in self.columns)
        values = ", ".join(self.typed(column) for column in self.columns)
        return f"INSERT INTO {self.target.table} ({names}) SELECT {values} FROM {self.name}"  # noqa: S608 (names of the catalogue)

    @property
    def typed_rows(self) -> str:
        """The staged rows under the target's own names and types."""
        values = ", ".join(f"{self.typed(c)} AS {quote(c.name)}" for c in self.columns)
        return f"SELECT line, {values} FROM {self.name}"  # noqa: S608 (names of the catalogue)

    def typed(self, column: Column) -> str:
        staged = self.staged(column)
        typed = f"{staged}::{column.type}"
        if column.default is None:
            return typed
        return f"CASE WHEN {staged} IS NULL THEN {column.default} ELSE {typed} END"
