"""Turns the named parameters of a detection (`:window_start`) into positional ones ($1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.detections.detection import ParameterValue, Statement

CLOCK_PARAMETERS = ("now", "window_start", "changed_since")
LISTS = tuple(
    f"{list_}_{what}"
    for list_ in ("allow", "deny", "watch")
    for what in ("accounts", "cards", "addresses", "hosts")
)

# Alternatives in order: what may hold a colon without being a parameter, then casts, then parameters.
_TOKEN = re.compile(
    r"""
      --[^\n]*
    | (?P<comment> /\* )
    | \b[eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?P<dollar> (?<![\w$]) \$ (?:[A-Za-z_]\w*)? \$ )
    | ::
    | (?P<positional> (?<![\w$]) \$\d+ )
    | :(?P<name> [A-Za-z_]\w* )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A parameter as it stands in the text."""

    name: str
    start: int
    end: int


def find_parameters(sql: str) -> tuple[list[Use], int | None]:
    """Every named parameter outside strings, names, comments and casts, and where a `$1` stands."""
    uses: list[Use] = []
    at = 0
    while match := _TOKEN.search(sql, at):
        at = match.end()
        if match["comment"]:
            at = _end_of_comment(sql, match.start())
        elif match["dollar"]:
            closing = sql.find(match["dollar"], match.end())
            at = len(sql) if closing < 0 else closing + len(match["dollar"])
        elif match["positional"]:
            return uses, match.start()
        elif match["name"]:
            uses.append(Use(name=match["name"], start=match.start(), end=match.end()))
    return uses, None


def make_positional(sql: str, types: Mapping[str, str]) -> Statement:
    """The statement with `:name` as `$n::type`; a cast, as Postgres cannot guess what is compared to what."""
    names = tuple(dict.fromkeys(use.name for use in find_parameters(sql)[0]))
    places = {name: f"${n}::{types[name]}" for n, name in enumerate(names, start=1)}
    return Statement(sql=_replace(sql, places), names=names)


def make_constant(sql: str, types: Mapping[str, str]) -> str:
    """The statement without parameters, for a parser that stumbles over `$1` beside strings."""
    return _replace(sql, {name: f"CAST(NULL AS {type_})" for name, type_ in types.items()})


def fill_in(sql: str, literals: Mapping[str, str]) -> str:
    """The statement with every `:name` as the SQL text given for it."""
    return _replace(sql, literals)


def literal(value: object) -> str:
    """A value as SQL text that can be pasted anywhere."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case datetime():
            return f"'{value.isoformat()}'::timestamptz"
        case timedelta():
            return f"'{value.days} days {value.seconds}.{value.microseconds:06} seconds'::interval"
        case list() | tuple():
            return f"ARRAY[{', '.join(literal(part) for part in value)}]::text[]"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def given_types() -> dict[str, str]:
    """The Postgres types of what every detection is given."""
    return dict.fromkeys(CLOCK_PARAMETERS, "timestamptz") | dict.fromkeys(LISTS, "text[]")


def postgres_type(value: ParameterValue) -> str:
    """The Postgres type of a detection's own parameter."""
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer" if abs(value) < 2**31 else "bigint"
        case float():
            return "double precision"
        case timedelta():
            return "interval"
        case tuple():
            return "text[]"
        case str():
            return "text"


def _replace(sql: str, by_name: Mapping[str, str]) -> str:
    pieces: list[str] = []
    at = 0
    for use in find_parameters(sql)[0]:
        pieces += [sql[at : use.start], by_name[use.name]]
        at = use.end
    return "".join([*pieces, sql[at:]])


def _end_of_comment(sql: str, start: int) -> int:
    """Postgres's block comments nest."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(sql, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(sql)
