"""Judges the SQL of a detection before it ever runs: one SELECT over the relations of its source, and nothing else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp, parse
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.optimizer.scope import Scope, traverse_scope

from bot.market.contract import CONTRACT, Relations

REQUIRED_COLUMNS = ("subject_id", "occurred_at")
FIXED_COLUMNS = (
    *REQUIRED_COLUMNS,
    "amount",
    "currency",
    "account_ids",
    "order_ids",
    "listing_ids",
    "post_ids",
    "window_key",
)

# Functions that reach beyond the rows: sessions, locks, settings, files, other queries.
_FORBIDDEN_FUNCTION = re.compile(
    r"pg_.*|lo_.*|dblink.*|set_config|current_setting|nextval|setval|query_to_xml.*|table_to_xml.*"
    r"|schema_to_xml.*|database_to_xml.*|cursor_to_xml.*|ts_stat|txid_.*|xpath_table"
)
_FORBIDDEN_NODES: Mapping[type[exp.Expr], str] = {
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Delete: "DELETE",
    exp.Merge: "MERGE",
    exp.Into: "INTO",
    exp.Lock: "FOR UPDATE and other locking",
    exp.Command: "commands",
    exp.Create: "CREATE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlProblem:
    """What is wrong in the SQL; `line` counts from its own first line, which is 0."""

    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a sound query reads and returns."""

    needs: Mapping[str, frozenset[str]]
    columns: tuple[str, ...]


def judge_sql(sql: str, relations: Relations = CONTRACT) -> Judged | list[SqlProblem]:
    """What the query reads and returns, or everything that is wrong with it; it has no parameters.

    Args:
        relations: what it may name.
    """
    try:
        statements = [statement for statement in parse(sql.rstrip(), read="postgres") if statement]
    except ParseError as error:
        detail = error.errors[0] if error.errors else {}
        near = f" near {detail['highlight']!r}" if detail.get("highlight") else ""
        said = str(detail.get("description") or error).rstrip(".")
        # The parser's own line numbers run ahead.
        before = str(detail.get("start_context") or "")
        line = sql.count("\n", 0, sql.find(before) + len(before)) if before else 0
        return [SqlProblem(line=line, message=f"the SQL cannot be read{near}: {said}.")]
    except (TokenError, SqlglotError, RecursionError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        return [SqlProblem(line=0, message=f"the SQL cannot be read: {said}.")]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        return [SqlProblem(line=0, message=_not_one_select(statements))]
    query = statements[0]
    if forbidden := list(_forbidden(query, sql)):
        return forbidden
    problems = [
        *_foreign_relations(query, sql, relations),
        *_shadowed_relations(query, sql, relations),
    ]
    columns = tuple(select.alias_or_name for select in query.selects)
    problems += _fixed_columns(query, columns)
    if problems:
        return problems
    needs, unknown = _needs(query, sql, relations)
    return unknown or Judged(needs=needs, columns=columns)


def _not_one_select(statements: Sequence[exp.Expr]) -> str:
    if not statements:
        return "there is no SQL after the head; write one SELECT."
    if len(statements) > 1:
        return f"there are {len(statements)} statements; keep one SELECT."
    kind = statements[0].key.upper()
    return f"this is {kind}, but a detection only reads; write one SELECT."


def _forbidden(query: exp.Query, sql: str) -> Iterable[SqlProblem]:
    for node in query.walk():
        for kind, said in _FORBIDDEN_NODES.items():
            if isinstance(node, kind):
                yield SqlProblem(
                    line=_line_of(sql, said.split()[0]),
                    message=f"a detection only reads: {said} cannot stand in it; remove it.",
                )
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
            name = node.expression.name or node.expression.sql_name()
            yield SqlProblem(
                line=_line_of(sql, name),
                message=f"the function {name.lower()} is called in a schema of its own: a detection uses"
                " Postgres's functions, without a schema; remove it.",
            )
        if isinstance(node, exp.Operator) and "." in str(node.args.get("operator")):
            yield SqlProblem(
                line=_line_of(sql, "OPERATOR"),
                message="a detection uses Postgres's own operators, without a schema; remove OPERATOR(…).",
            )
        if isinstance(node, exp.Func):
            name = (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).lower()
            if _FORBIDDEN_FUNCTION.fullmatch(name):
                yield SqlProblem(
                    line=_line_of(sql, name),
                    message=f"the function {name} reaches beyond the marketplace's rows; remove it.",
                )


def _foreign_relations(query: exp.Query, sql: str, relations: Relations) -> Iterable[SqlProblem]:
    made_here = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for name in dict.fromkeys(_relation(table) for table in query.find_all(exp.Table)):
        if not name:  # a function in FROM
            continue
        schema, _, relation = name.rpartition(".")
        if schema:
            message = f"write {relation} without its schema {schema}; the engine knows where it is."
            yield SqlProblem(line=_line_of(sql, relation), message=message)
        elif relation not in made_here and relation not in relations:
            near = difflib.get_close_matches(relation, [*relations, *made_here], n=1)
            advice = (
                f"did you mean {near[0]}?"
                if near
                else "its relations are " + ", ".join(relations) + "."
            )
            yield SqlProblem(
                line=_line_of(sql, relation),
                message=f"{_whose(relations)} no relation {relation}; {advice}",
            )


def _shadowed_relations(query: exp.Query, sql: str, relations: Relations) -> Iterable[SqlProblem]:
    for cte in query.find_all(exp.CTE):
        if cte.alias.lower() in relations:
            yield SqlProblem(
                line=_line_of(sql, cte.alias),
                message=f"WITH {cte.alias} hides the {_source(relations)}'s relation of that name; name it otherwise.",
            )


def _whose(relations: Relations) -> str:
    return "the market contract has" if relations is CONTRACT else "the views of the ledger have"


def _source(relations: Relations) -> str:
    return "contract" if relations is CONTRACT else "ledger"


def _see(relations: Relations) -> str:
    return (
        "see contract/market.sql." if relations is CONTRACT else "see docs/writing-detections.md."
    )


def _relation(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts if part.name).lower()


def _fixed_columns(query: exp.Query, columns: tuple[str, ...]) -> Iterable[SqlProblem]:
    if query.is_star:
        yield SqlProblem(line=0, message="name the result's columns instead of writing *.")
        return
    for column in REQUIRED_COLUMNS:
        if column not in columns:
            yield SqlProblem(
                line=0, message=f"the result lacks the column {column}; add `… AS {column}`."
            )
    if ("amount" in columns) != ("currency" in columns):
        yield SqlProblem(
            line=0, message="amount and currency go together; return both, or neither."
        )
    for column in sorted({column for column in columns if columns.count(column) > 1}):
        yield SqlProblem(
            line=0, message=f"the result has two columns {column}; give each one name."
        )


def _needs(
    query: exp.Query, sql: str, contract: Relations
) -> tuple[dict[str, frozenset[str]], list[SqlProblem]]:
    """The contract's columns that the query reads, and those that it reads but the contract lacks."""
    needs: dict[str, set[str]] = {}
    unknown: list[SqlProblem] = []
    for scope in traverse_scope(query):
        relations = {
            alias: source.name.lower()
            for alias, source in scope.sources.items()
            if isinstance(source, exp.Table) and source.name.lower() in contract
        }
        for relation in relations.values():
            needs.setdefault(relation, set())
        for column in scope.columns:
            if column.table:
                owners = [relations[column.table]] if column.table in relations else []
            else:
                owners = [name for name in relations.values() if column.name in contract[name]]
                if not owners and len(relations) == len(scope.sources) == 1 and _is_root(scope):
                    owners = list(relations.values())
            for owner in owners:
                if column.name in contract[owner]:
                    needs[owner].add(column.name)
                elif not isinstance(column.this, exp.Star):
                    near = difflib.get_close_matches(column.name, contract[owner], n=1)
                    advice = f"did you mean {near[0]}?" if near else _see(contract)
                    unknown.append(
                        SqlProblem(
                            line=_line_of(sql, column.name),
                            message=f"{owner} has no column {column.name}; {advice}",
                        )
                    )
                else:
                    needs[owner].update(contract[owner])
    return {name: frozenset(columns) for name, columns in needs.items()}, unknown


def _is_root(scope: Scope) -> bool:
    """Only there an unknown bare column cannot belong to a query around this one, or be an alias."""
    return scope.is_root and not scope.expression.args.get("order")


def _line_of(sql: str, word: str) -> int:
    """The first line on which a word stands: the parser does not keep where things were."""
    match = re.search(rf"\b{re.escape(word)}\b", sql, flags=re.IGNORECASE)
    return sql.count("\n", 0, match.start()) if match else 0
