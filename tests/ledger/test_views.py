"""Detections over the ledger read its views and nothing else: no names, no words, no tables."""

from __future__ import annotations

import asyncpg
import pytest

from bot.ledger.views import SCHEMA, VIEWS
from bot.playground.postgres import LEDGER_READER

PERSONAL = {
    "opened_by",
    "assignee",
    "updated_by",
    "closed_by",
    "requested_by",
    "rejected_by",
    "reason",
    "note",
    "body",
    "story",
    "facts",
    "evidence",
    "last_error",
    "dismiss_reason",
}


async def test_the_views_as_values_are_the_views(ledger_owner_dsn: str) -> None:
    conn = await asyncpg.connect(ledger_owner_dsn)
    try:
        rows = await conn.fetch(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'v' AND a.attnum > 0",
            SCHEMA,
        )
    finally:
        await conn.close()
    there: dict[str, dict[str, str]] = {}
    for relation, column, type_ in rows:
        short = type_.replace("timestamp with time zone", "timestamptz")
        there.setdefault(relation, {})[column] = short
    assert there == {relation: dict(columns) for relation, columns in VIEWS.items()}


def test_no_view_tells_who_somebody_is_or_what_anybody_wrote() -> None:
    assert not PERSONAL & {column for columns in VIEWS.values() for column in columns}


async def test_the_reader_reads_every_view_and_no_table(
    ledger_reader_dsn: str, ledger_owner_dsn: str
) -> None:
    conn = await asyncpg.connect(ledger_reader_dsn)
    try:
        for relation in VIEWS:
            await conn.fetch(f'SELECT * FROM {SCHEMA}."{relation}"')
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.fetch("SELECT * FROM ledger.findings")
    finally:
        await conn.close()
    owner = await asyncpg.connect(ledger_owner_dsn)
    try:
        rights = await owner.fetch(
            """SELECT n.nspname || '.' || c.relname, r FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
                      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r
                WHERE n.nspname IN ('ledger', 'ledger_views') AND c.relkind IN ('r', 'v')
                  AND has_table_privilege($1, c.oid, r) AND NOT (n.nspname = 'ledger_views' AND r = 'SELECT')""",
            LEDGER_READER,
        )
        assert rights == []
        assert not await owner.fetchval(
            "SELECT has_schema_privilege($1, 'ledger', 'USAGE')", LEDGER_READER
        )
    finally:
        await owner.close()
