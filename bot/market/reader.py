"""Reads the marketplace through a role that can only SELECT."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import asyncpg

from bot.domain.cases import MemberFacts
from bot.domain.errors import SayableError
from bot.domain.findings import Mask
from bot.domain.masks import mask
from bot.domain.subjects import Subject, SubjectKind
from bot.market.absent import Present, quote, stand_in
from bot.market.contract import CONTRACT
from bot.market.selecting import Limits, Rows, SelectFault, select_within
from bot.market.templates import fill_url

_REQUIRED = ("accounts", "orders")
# Grants and views change under a running process: a role that may write by now is refused by now.
_EXAMINE_EVERY_S = 300.0
_NO_URLS: Mapping[SubjectKind, str] = MappingProxyType({})

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

# The contract's relations and columns that this role may see.
_FIND_COLUMNS = """
SELECT c.relname AS relation, a.attname AS column
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND has_schema_privilege(n.oid, 'USAGE')
   AND has_column_privilege(c.oid, a.attnum, 'SELECT')
"""

# What a card says of orders; `name` is masked before it leaves this module.
_ORDER_FACTS = """
SELECT o.order_id AS id, o.status, coalesce(b.full_name, b.display_name) AS name,
       o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount,
       o.currency, o.payment_method, o.buyer_id, o.seller_id, o.ordered_at, o.ship_due_at,
       o.shipped_at, o.payout_at, o.held_at, o.canceled_at, o.admin_url, now() AS read_at
  FROM orders o LEFT JOIN accounts b ON b.account_id = o.buyer_id
 WHERE o.order_id = ANY ($1)
"""
_ACCOUNT_FACTS = """
SELECT account_id AS id, status, coalesce(display_name, full_name) AS name, is_seller,
       suspended_at, created_at, admin_url, now() AS read_at
  FROM accounts WHERE account_id = ANY ($1)
"""
_LISTING_FACTS = """
SELECT listing_id AS id, status, title AS name, price AS amount, currency, seller_id,
       created_at, admin_url, now() AS read_at
  FROM listings WHERE listing_id = ANY ($1)
"""
# Of a post no word is read, since messages are private: its kind, and where its first link leads.
_POST_FACTS = """
SELECT post_id AS id, 'active' AS status,
       concat_ws(' ', kind, substring(urls[1] FROM '^[a-z+]+://([^/?#]+)')) AS name,
       account_id AS seller_id, created_at, now() AS read_at
  FROM posts WHERE post_id = ANY ($1)
"""
_FACTS = {
    SubjectKind.ORDER: _ORDER_FACTS,
    SubjectKind.ACCOUNT: _ACCOUNT_FACTS,
    SubjectKind.LISTING: _LISTING_FACTS,
    SubjectKind.POST: _POST_FACTS,
}

_ORDER_PARTIES = "SELECT buyer_id, seller_id FROM orders WHERE order_id = $1"
_POST_AUTHOR = "SELECT account_id FROM posts WHERE post_id = $1"
_LISTING_SELLER = "SELECT seller_id FROM listings WHERE listing_id = $1"
# What could still be stopped of an account's orders, dearest first.
_OPEN_ORDERS = """
SELECT order_id FROM orders
 WHERE (buyer_id = $1 OR seller_id = $1)
   AND status IN ('pending', 'paid') AND shipped_at IS NULL AND canceled_at IS NULL
 ORDER BY total_amount DESC, order_id LIMIT 200
"""
_LINKED = {
    SubjectKind.ORDER: (_ORDER_PARTIES, SubjectKind.ACCOUNT),
    SubjectKind.ACCOUNT: (_OPEN_ORDERS, SubjectKind.ORDER),
    SubjectKind.LISTING: (_LISTING_SELLER, SubjectKind.ACCOUNT),
    SubjectKind.POST: (_POST_AUTHOR, SubjectKind.ACCOUNT),
}


class MarketUnreachableError(SayableError):
    """The marketplace's database does not answer."""


class MarketReader:
    """The contract's relations, as a role sees them that cannot write."""

    def __init__(
        self,
        dsn: str,
        schema: str = "market",
        *,
        admin_urls: Mapping[SubjectKind, str] = _NO_URLS,
    ) -> None:
        """Args:
        admin_urls: the back office's page of a subject, with `{subject_id}`, where the views name none.
        """
        self._dsn = dsn
        self._schema = schema
        self._admin_urls = admin_urls
        self._present: Present | None = None
        self._examine_at = 0.0

    async def check(self) -> None:
        """Refuse a role that could write, and a schema without the relations that the contract requires.

        Every other method does it too before its first query.

        Raises:
            SayableError: the sentence says what to change.
        """
        async with self._connected():
            pass

    async def relations(self, *, refresh: bool = False) -> Mapping[str, frozenset[str]]:
        """The contract's relations that are there, with those of its columns that are."""
        if refresh:
            self._present = None
        async with self._connected() as (_, present):
            return present

    async def facts(self, subjects: Sequence[Subject]) -> dict[Subject, MemberFacts]:
        """What cards say of subjects, names masked; a subject that is not there is left out."""
        found: dict[Subject, MemberFacts] = {}
        ids: dict[SubjectKind, list[str]] = {}
        for subject in dict.fromkeys(subjects):
            ids.setdefault(subject.kind, []).append(subject.id)
        if not ids:
            return found
        async with self._connected() as (conn, present):
            for kind in ids:
                sql = stand_in(_FACTS[kind], present, self._schema)
                for record in await conn.fetch(sql, ids[kind]):
                    values = dict(record)
                    subject = Subject(kind, values.pop("id"))
                    if values.get("admin_url") is None and kind in self._admin_urls:
                        values["admin_url"] = fill_url(self._admin_urls[kind], subject.id)
                    found[subject] = _facts(kind, values)
        return found

    async def exists(self, subject: Subject) -> bool:
        """Whether the marketplace knows it."""
        return subject in await self.facts([subject])

    async def link(self, subject: Subject) -> tuple[Subject, ...]:
        """What comes along when a case is opened by hand: an order's buyer and seller, an account's
        orders that could still be stopped (dearest first), a listing's seller.
        """
        sql, kind = _LINKED[subject.kind]
        async with self._connected() as (conn, present):
            records = await conn.fetch(stand_in(sql, present, self._schema), subject.id)
        linked = (Subject(kind, id_) for record in records for id_ in record if id_)
        return tuple(dict.fromkeys(linked))

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
                )
            except SelectFault as fault:
                if isinstance(fault.__cause__, asyncpg.UndefinedColumnError):
                    # A view may have lost it since: the next run stands NULL in for it.
                    self._present = None
                raise

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[Any, Present]]:
        """A fresh connection: what a query leaves in its session (locks, settings) ends with it."""
        try:
            conn = await asyncpg.connect(self._dsn, timeout=10, statement_cache_size=0)
        except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
            raise _unreachable(error) from error
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
            raise _unreachable(error) from error
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
                f"The role {role} of MARKET_DATABASE_URL {power}, but the marketplace may only be"
                " read: use a role with CONNECT on the database, USAGE on the schema"
                f" {self._schema} and SELECT on its relations, and nothing else."
            )
        present: dict[str, set[str]] = {}
        for record in await conn.fetch(_FIND_COLUMNS, self._schema, list(CONTRACT)):
            if record["column"] in CONTRACT[record["relation"]]:
                present.setdefault(record["relation"], set()).add(record["column"])
        if missing := [relation for relation in _REQUIRED if relation not in present]:
            raise SayableError(
                f"The schema {self._schema} of the marketplace's database has no relation"
                f" {missing[0]} that this role may read: create it as contract/market.sql says,"
                " grant SELECT on it, or name another schema in MARKET_SCHEMA."
            )
        return {relation: frozenset(columns) for relation, columns in present.items()}


def _unreachable(error: Exception) -> MarketUnreachableError:
    return MarketUnreachableError(
        f"The marketplace's database does not answer ({str(error) or type(error).__name__});"
        " check MARKET_DATABASE_URL."
    )


def _facts(kind: SubjectKind, values: dict[str, Any]) -> MemberFacts:
    name = values.pop("name")
    if name is not None and kind not in {SubjectKind.LISTING, SubjectKind.POST}:
        name = mask(name, Mask.NAME)
    return MemberFacts(name_masked=name, **values)
