"""Finds the staged row that Postgres refused, and says what is wrong with it."""

from __future__ import annotations

import re
from typing import Any

from bot.domain.errors import SayableError
from bot.playground.market.directory import RelationFile, shown
from bot.playground.market.load_target import Column, Rule, Staging, quote

_TYPE_WORDS = {
    "bigint": "a whole number",
    "integer": "a whole number",
    "boolean": "a boolean (t or f)",
    "timestamp with time zone": "a time with a zone, such as 2024-04-01 09:30:00+09",
    "inet": "an IP address",
    "text[]": "an array such as {a,b}",
    "bigint[]": "an array of whole numbers such as {1,2}",
}


async def explain_fault(
    connection: Any, file: RelationFile, staging: Staging, fault: str
) -> SayableError:
    """The sentence for the first row that is wrong; Postgres's own words where none is found."""
    for search in (_find_unreadable, _find_missing, _find_rule_broken, _find_repeated):
        found = await search(connection, file, staging)
        if found is not None:
            return found
    return file.refuse(None, f"the database refused it: {fault}.")


async def _find_unreadable(
    connection: Any, file: RelationFile, staging: Staging
) -> SayableError | None:
    """A field that is not of its column's type."""
    tests = [
        f"SELECT line, {n} AS place, {staging.staged(column)} AS value FROM {staging.name} "  # noqa: S608
        f"WHERE NOT pg_input_is_valid({staging.staged(column)}, '{column.type}')"
        for n, column in enumerate(staging.columns)
    ]
    row = await connection.fetchrow(" UNION ALL ".join(tests) + " ORDER BY line, place LIMIT 1")
    if row is None:
        return None
    column = staging.columns[row["place"]]
    wanted = _TYPE_WORDS.get(column.type, f"of type {column.type}")
    reason = await connection.fetchval(
        "SELECT message FROM pg_input_error_info($1, $2)", row["value"], column.type
    )
    said = f" ({reason})" if "out of range" in reason else ""
    return file.refuse(row["line"], f"{shown(row['value'])} is not {wanted}{said}.", column.name)


async def _find_missing(
    connection: Any, file: RelationFile, staging: Staging
) -> SayableError | None:
    """An empty field where a value is required."""
    required = [column for column in staging.columns if column.is_required]
    if not required:
        return None
    tests = [
        f"SELECT line, '{column.name}' AS name FROM {staging.name} "  # noqa: S608
        f"WHERE {staging.staged(column)} IS NULL"
        for column in required
    ]
    row = await connection.fetchrow(" UNION ALL ".join(tests) + " ORDER BY line LIMIT 1")
    if row is None:
        return None
    return file.refuse(row["line"], "the field is empty, and a value is required.", row["name"])


async def _find_rule_broken(
    connection: Any, file: RelationFile, staging: Staging
) -> SayableError | None:
    """A value that a CHECK of the contract refuses."""
    staged = {column.name: column for column in staging.columns}
    for rule in staging.target.rules:
        if rule.column not in staged:
            continue
        row = await connection.fetchrow(
            f"SELECT line, {quote(rule.column)}::text AS value FROM ({staging.typed_rows}) AS typed "  # noqa: S608
            f"WHERE NOT ({rule.expression}) ORDER BY line LIMIT 1"
        )
        if row is not None:
            return file.refuse(row["line"], _rule_sentence(row["value"], rule), rule.column)
    return None


def _rule_sentence(value: str, rule: Rule) -> str:
    choices = re.findall(r"'([^']*)'::text", rule.expression)
    if choices and "ANY" in rule.expression:
        return f"{shown(value)} is none of {', '.join(choices)}."
    return f"{shown(value)} breaks the rule {rule.expression.strip('()')}."


async def _find_repeated(
    connection: Any, file: RelationFile, staging: Staging
) -> SayableError | None:
    """A primary key that the file holds twice, or that the table holds already."""
    key = staging.target.key
    names = ", ".join(quote(column.name) for column in key)
    row = await connection.fetchrow(
        f"SELECT * FROM (SELECT *, min(line) OVER (PARTITION BY {names}) AS first "  # noqa: S608
        f"FROM ({staging.typed_rows}) AS typed) AS numbered WHERE line > first ORDER BY line LIMIT 1"
    )
    if row is not None:
        return file.refuse(
            row["line"], f"{_key_of(row, key)} stands on line {row['first']} already.", key[0].name
        )
    row = await connection.fetchrow(
        f"SELECT typed.* FROM ({staging.typed_rows}) AS typed JOIN {staging.target.table} "  # noqa: S608
        f"USING ({names}) ORDER BY line LIMIT 1"
    )
    if row is not None:
        return file.refuse(
            row["line"],
            f"{_key_of(row, key)} is in the marketplace already; load into an empty one.",
            key[0].name,
        )
    return None


def _key_of(row: Any, key: tuple[Column, ...]) -> str:
    return " ".join(f"{column.name} {shown(str(row[column.name]))}" for column in key)
