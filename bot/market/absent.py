"""Stands NULLs in for the columns and relations of the contract that a marketplace does not have."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.market.contract import CONTRACT, Relations

Present = Mapping[str, frozenset[str]]

_OPENING_WITH = re.compile(
    r"(?P<before>(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*)(?P<with>WITH\b(?:\s+RECURSIVE\b)?)",
    re.IGNORECASE | re.DOTALL,
)


def stand_in(
    sql: str,
    present: Present,
    schema: str,
    relations: Relations = CONTRACT,
    *,
    all_of_them: bool = False,
) -> str:
    """The query with every incomplete relation that it names completed by NULLs.

    A relation that is there in full is left alone, so that most queries stay as they were written.

    Args:
        relations: what could be there, the market contract's or another's.
        all_of_them: not left alone either, so that the query runs where nobody sets a search path.
    """
    shims = ",\n".join(
        _shim(relation, present.get(relation, frozenset()), schema, relations[relation])
        for relation in relations
        if (all_of_them or absent_columns(present, relation, relations))
        and re.search(rf"\b{relation}\b", sql, flags=re.IGNORECASE)
    )
    if not shims:
        return sql
    opening = _OPENING_WITH.match(sql)
    if opening is None:
        return f"WITH {shims}\n{sql}"
    return f"{opening['before']}{opening['with']} {shims},\n{sql[opening.end() :]}"


def absent_columns(
    present: Present, relation: str, relations: Relations = CONTRACT
) -> frozenset[str]:
    """The columns of a contract relation that the marketplace does not have."""
    return frozenset(relations[relation]) - present.get(relation, frozenset())


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _shim(relation: str, columns: frozenset[str], schema: str, whole: Mapping[str, str]) -> str:
    listed = ", ".join(
        quote(column) if column in columns else f"NULL::{type_} AS {quote(column)}"
        for column, type_ in whole.items()
    )
    source = f"FROM {quote(schema)}.{quote(relation)}" if columns else "WHERE false"
    # Materialized it would read the whole relation; inlined the planner sees through it.
    return f"{quote(relation)} AS NOT MATERIALIZED (SELECT {listed} {source})"
