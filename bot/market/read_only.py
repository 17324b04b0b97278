"""Reads relations through a role that can only SELECT, each query in a connection of its own."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import asyncpg

from bot.domain.errors import SayableError
from bot.market.absent import Present, quote
from bot.market.contract import Relations
from bot.market.public_grants import PublicGrant, find_public_grants
from bot.market.selecting import (
    Limits,
    Rows,
    SelectFault,
    explain_within,
    select_within,
)

# Grants and views change under a running process: a role that may write by now is refused by now.
_EXAMINE_EVERY_S = 300.0

# What this role may do beyond reading: the first line is enough to refuse it.
_FIND_POWERS = """
SELECT what FROM (
    SELECT 1 AS rank, 'is a superuser' AS what FROM pg_roles WHERE rolname = current_user AND rolsuper
    UNION ALL
    SELECT 2, 'may create roles or databases' FROM pg_roles
     WHERE rolname = current_user AND (rolcreaterole OR rolcreatedb)
    UNION ALL
    SELECT 3, format('is a member of %s', rolname) FROM pg_roles
     WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_read_server_files',
                       'pg_execute_server_program', 'pg_maintain')
       AND pg_has_role(oid, 'MEMBER')
    UNION ALL
    SELECT 4, format('owns %s.%s', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_'
       AND n.nspname <> 'information_schema' AND pg_has_role(c.relowner, 'MEMBER')
    UNION ALL
    SELECT 5, format('may write to %s.%s', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_'
       AND n.nspname <> 'information_schema'
       AND (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
            OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
    UNION ALL
    SELECT 6, format('may create tables in the schema %s', nspname) FROM pg_namespace
     WHERE nspname !~ '^pg_' AND has_schema_privilege(oid, 'CREATE')
    UNION ALL
    SELECT 7, 'may create schemas in the database' WHERE has_database_privilege(current_database(), 'CREATE')
) AS powers ORDER BY rank, what LIMIT 1
"""

# The relations and columns that this role may see.
_FIND_COLUMNS = """
SELECT c.relname AS relation, a.attname AS column
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND has_schema_privilege(n.oid, 'USAGE')
   AND has_column_privilege(c.oid, a.attnum, 'SELECT')
"""

_FIND_SIZES = """
SELECT n.nspname AS schema, c.relname AS name, greatest(c.reltuples, 0)::bigint AS size
  FROM unnest($1::text[], $2::text[]) AS w(schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
"""


class UnreachableError(SayableError):
    """The database does not answer."""


class ReadOnly:
    """Relations of one schema, as a role sees them that cannot write."""

    of: ClassVar[str]
    """Whose database it is, in a sentence."""
    setting: ClassVar[str]
    """The setting that names the role and its database."""
    whole: ClassVar[Relations]
    """Every relation that could be there, with its columns and their types."""
    required: ClassVar[tuple[str, ...]]
    make_it: ClassVar[str]
    """What to do where a required relation is not there."""
    unreachable: ClassVar[type[UnreachableError]] = UnreachableError

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._present: Present | None = None
        self._examine_at = 0.0

    async def check(self) -> None:
        """Refuse a role that could write, and a schema without the relations that are required.

        Every other method does it too before its first query.

        Raises:
            SayableError: the sentence says what to change.
        """
        async with self._connected():
            pass

    async def relations(self, *, refresh: bool = False) -> Mapping[str, frozenset[str]]:
        """The relations that are there, with those of their columns that are."""
        if refresh:
            self._present = None
        async with self._connected() as (_, present):
            return present

    async def select(
        self, sql: str, params: Sequence[object] = (), *, limits: Limits | None = None
    ) -> Rows:
        """Run one SELECT in a connection and a read-only transaction of its own, both gone afterwards.

        Raises:
            SelectFault: it failed, or went over a limit.
        """
        async with self._connected() as (conn, present):
            transaction = conn.transaction(readonly=True)
            await transaction.start()
            try:
                return await select_within(
                    conn,
                    sql,
                    params,
                    schema=self._schema,
                    present=present,
                    limits=limits or Limits(),
                    relations=self.whole,
                )
            except SelectFault as fault:
                if isinstance(fault.__cause__, asyncpg.UndefinedColumnError):
                    # A view may have lost it since: the next run stands NULL in for it.
                    self._present = None
                raise

    async def explain(self, sql: str, params: Sequence[object] = (), *, form: str = "JSON") -> str:
        """Postgres's plan of one SELECT, which is not run.

        Args:
            form: JSON or TEXT.

        Raises:
            SelectFault: it cannot be planned.
        """
        async with self._connected() as (conn, present):
            transaction = conn.transaction(readonly=True)
            await transaction.start()
            return await explain_within(
                conn,
                sql,
                params,
                schema=self._schema,
                present=present,
                limits=Limits(),
                relations=self.whole,
                form=form,
            )

    async def public_grants(self) -> list[PublicGrant]:
        """What the database grants to everybody that it should not."""
        async with self._connected() as (conn, _):
            return await find_public_grants(conn)

    async def sizes(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """How many rows these relations (schema, name) have, as Postgres last counted them."""
        async with self._connected() as (conn, _):
            rows = await conn.fetch(
                _FIND_SIZES, [s for s, _ in relations], [n for _, n in relations]
            )
        return {(row["schema"], row["name"]): row["size"] for row in rows}

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[Any, Present]]:
        """A fresh connection: what a query leaves in its session (locks, settings) ends with it."""
        try:
            conn = await asyncpg.connect(self._dsn, timeout=10, statement_cache_size=0)
        except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
            raise self._does_not_answer(error) from error
        try:
            await conn.execute(
                f"SET search_path TO {quote(self._schema)}, pg_temp;"
                "SET statement_timeout TO '10s'; SET application_name TO 'mimawari reader'"
            )
            present = self._present
            if present is None or time.monotonic() >= self._examine_at:
                present = self._present = await self._examine(conn)
                self._examine_at = time.monotonic() + _EXAMINE_EVERY_S
            yield conn, present
        except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError):
            self._present = None
            raise
        except (OSError, asyncpg.PostgresConnectionError) as error:
            raise self._does_not_answer(error) from error
        finally:
            # Rolls back whatever is open; a session that does not answer is cut off.
            try:
                await conn.close(timeout=2)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                conn.terminate()

    async def _examine(self, conn: Any) -> Present:
        power = await conn.fetchval(_FIND_POWERS)
        if power is not None:
            role = await conn.fetchval("SELECT current_user")
            raise SayableError(
                f"The role {role} of {self.setting} {power}, but {self.of} may only be"
                " read: use a role with CONNECT on the database, USAGE on the schema"
                f" {self._schema} and SELECT on its relations, and nothing else."
            )
        present: dict[str, set[str]] = {}
        for record in await conn.fetch(_FIND_COLUMNS, self._schema, list(self.whole)):
            if record["column"] in self.whole[record["relation"]]:
                present.setdefault(record["relation"], set()).add(record["column"])
        if missing := [relation for relation in self.required if relation not in present]:
            raise SayableError(
                f"The schema {self._schema} of {self.of}'s database has no relation {missing[0]} that this role"
                f" may read: {self.make_it}"
            )
        return {relation: frozenset(columns) for relation, columns in present.items()}

    def _does_not_answer(self, error: Exception) -> UnreachableError:
        return self.unreachable(
            f"{self.of[0].upper()}{self.of[1:]}'s database does not answer"
            f" ({str(error) or type(error).__name__}); check {self.setting}."
        )
