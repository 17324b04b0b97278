"""Serves a loaded marketplace as it was at any moment: rows that came later are hidden, states follow from times."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from bot.domain.errors import SayableError
from bot.market.absent import quote
from bot.market.contract import CONTRACT
from bot.market.selecting import Limits, Rows, SelectFault

ARCHIVE = "archive"
"""The schema that holds the whole story."""
SERVED = "market"
"""The schema that holds what was known at the moment."""

_BEFORE_ALL = datetime(1900, 1, 1, tzinfo=UTC)

# In what follows $1 is the moment; what happened at it or later is not known yet.
_ORDER_STATUS = """CASE
    WHEN canceled_at < $1 THEN 'canceled'
    WHEN delivered_at < $1 THEN CASE WHEN status = 'completed' AND payout_at < $1 THEN 'completed' ELSE 'delivered' END
    WHEN shipped_at < $1 THEN 'shipped'
    WHEN paid_at < $1 OR paid_at IS NULL AND status <> 'pending' THEN 'paid'
    ELSE 'pending' END"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """How a relation comes to be what it is: its key, when a row came, when it changed, what is not known before."""

    key: tuple[str, ...]
    came: str
    changed: tuple[str, ...] = ()
    as_of: Mapping[str, str]
    join: str = ""


def _known(column: str) -> str:
    return f"CASE WHEN row.{column} < $1 THEN row.{column} END"


def _since(column: str, at: str) -> str:
    """A column whose value is known from a moment on; from the beginning where no moment is given."""
    return f"CASE WHEN row.{at} IS NULL OR row.{at} < $1 THEN row.{column} END"


def _latest(*columns: str) -> str:
    return "greatest(" + ", ".join(f"CASE WHEN {at} < $1 THEN {at} END" for at in columns) + ")"


# An account without a time of its own is known from the first thing that it did.
_ACCOUNT_CAME = "coalesce(least(row.created_at, seen.at), '-infinity')"
_STORIES: Mapping[str, _Story] = {
    "accounts": _Story(
        key=("account_id",),
        came=_ACCOUNT_CAME,
        changed=("row.suspended_at", "row.payout_changed_at"),
        as_of={
            # When an account was closed is not recorded with it: it is served as it was before.
            "status": "CASE WHEN row.status = 'suspended' AND row.suspended_at < $1 THEN 'suspended' ELSE 'active' END",
            "suspended_at": _known("suspended_at"),
            "payout_changed_at": _known("payout_changed_at"),
            "payout_account_hash": _since("payout_account_hash", "payout_changed_at"),
            "payout_name_kana": _since("payout_name_kana", "payout_changed_at"),
            "created_at": _known("created_at"),
            "updated_at": _latest(_ACCOUNT_CAME, "row.suspended_at", "row.payout_changed_at"),
        },
        join=f"LEFT JOIN {ARCHIVE}.first_seen AS seen ON seen.account_id = row.account_id",
    ),
    "orders": _Story(
        key=("order_id",),
        came="row.ordered_at",
        changed=tuple(
            f"row.{at}"
            for at in ("paid_at", "shipped_at", "delivered_at", "held_at", "canceled_at")
        ),
        as_of={
            "status": re.sub(r"\b(status|\w+_at)\b", r"row.\1", _ORDER_STATUS),
            "tracking_number": _since("tracking_number", "shipped_at"),
            # A date of payout follows from the delivery, and would tell of it before.
            "payout_at": "CASE WHEN coalesce(row.delivered_at, row.paid_at, row.ordered_at) < $1 THEN row.payout_at END",
            **{
                at: _known(at)
                for at in ("paid_at", "shipped_at", "delivered_at", "held_at", "canceled_at")
            },
            "updated_at": _latest(
                "row.ordered_at",
                "row.paid_at",
                "row.shipped_at",
                "row.delivered_at",
                "row.held_at",
                "row.canceled_at",
            ),
        },
    ),
    "order_items": _Story(
        key=("order_id", "line_no"),
        came="of_order.ordered_at",
        as_of={},
        join=f"JOIN {ARCHIVE}.orders AS of_order ON of_order.order_id = row.order_id",
    ),
    "payment_attempts": _Story(key=("attempt_id",), came="row.attempted_at", as_of={}),
    "listings": _Story(
        key=("listing_id",),
        came="row.created_at",
        changed=("row.updated_at",),
        as_of={
            "status": "CASE WHEN row.updated_at < $1 THEN row.status ELSE 'active' END",
            "updated_at": _latest("row.created_at", "row.updated_at"),
        },
    ),
    "follow_events": _Story(key=("event_id",), came="row.occurred_at", as_of={}),
    # What an edited post said before is not recorded: it is there from its last edit on.
    "posts": _Story(key=("post_id",), came="greatest(row.created_at, row.updated_at)", as_of={}),
    "chargebacks": _Story(key=("chargeback_id",), came="row.received_at", as_of={}),
    "refunds": _Story(
        key=("refund_id",),
        came="row.created_at",
        changed=("row.updated_at",),
        as_of={
            "state": "CASE WHEN row.updated_at < $1 THEN row.state ELSE 'pending' END",
            "updated_at": _latest("row.created_at", "row.updated_at"),
        },
    ),
    "fraud_warnings": _Story(key=("warning_id",), came="row.received_at", as_of={}),
    "account_events": _Story(key=("event_id",), came="row.occurred_at", as_of={}),
    "user_reports": _Story(key=("report_id",), came="row.created_at", as_of={}),
    "inquiries": _Story(key=("inquiry_id",), came="row.created_at", as_of={}),
}

_FIRST_SEEN = f"""
CREATE TABLE {ARCHIVE}.first_seen AS
SELECT account_id, min(at) AS at FROM (
    SELECT buyer_id AS account_id, ordered_at AS at FROM {ARCHIVE}.orders
    UNION ALL SELECT seller_id, ordered_at FROM {ARCHIVE}.orders
    UNION ALL SELECT account_id, attempted_at FROM {ARCHIVE}.payment_attempts
    UNION ALL SELECT seller_id, created_at FROM {ARCHIVE}.listings
    UNION ALL SELECT follower_id, occurred_at FROM {ARCHIVE}.follow_events
    UNION ALL SELECT followee_id, occurred_at FROM {ARCHIVE}.follow_events
    UNION ALL SELECT account_id, created_at FROM {ARCHIVE}.posts
    UNION ALL SELECT account_id, occurred_at FROM {ARCHIVE}.account_events
) AS acts WHERE account_id IS NOT NULL GROUP BY account_id"""  # noqa: S608 - our own names


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stretch of time in which rows came; `now` is its end, which it does not include."""

    after: datetime
    """The stretch before it; what changed since then, while nothing came, is entered with it."""
    bin: datetime
    now: datetime
    relations: tuple[str, ...]
    """Those in which something came or changed."""


class Replay:
    """A marketplace in a scratch database whose time goes on step by step."""

    def __init__(self, connections: Sequence[Any], step: timedelta) -> None:
        self._connections = connections
        self._conn = connections[0]
        self._step = step
        self._upserts: dict[str, Any] = {}
        self._changed = 0
        self._analyze_at = 500

    @property
    def selects(self) -> tuple[Selecting, ...]:
        """Ways to run a SELECT over what is known, each with a connection of its own."""
        return tuple(Selecting(conn) for conn in self._connections)

    async def steps(self, judged: str) -> list[Step]:
        """The stretches of time in which anything came, in order.

        What came before the first row of `judged`, the relation that is asked about, is entered with that row:
        years of sign-ups before the first order are no looks at orders.
        """
        rows = await self._conn.fetch(
            "SELECT bin, array_agg(DISTINCT relation) AS relations,"  # noqa: S608
            " bool_or(came) AND bin >= min(min(bin) FILTER (WHERE came AND relation = $1)) OVER () AS came"
            f" FROM {ARCHIVE}.changes GROUP BY bin ORDER BY bin",
            judged,
        )
        steps: list[Step] = []
        moved: set[str] = set()
        after = _BEFORE_ALL
        for row in rows:
            moved.update(row["relations"])
            if row["came"]:
                now = row["bin"] + self._step
                relations = tuple(relation for relation in _STORIES if relation in moved)
                steps.append(Step(after=after, bin=row["bin"], now=now, relations=relations))
                moved, after = set(), row["bin"]
        return steps

    async def enter(self, step: Step) -> None:
        """Make known what came or changed in this step."""
        for relation in step.relations:
            if relation not in self._upserts:
                self._upserts[relation] = await self._conn.prepare(_upsert(relation))
            done = await self._upserts[relation].fetchval(step.now, step.after, step.bin)
            self._changed += int(done)
        # The planner knows a table that grows only if it is told.
        if self._changed >= self._analyze_at:
            await self._conn.execute(
                ";".join(f"ANALYZE {SERVED}.{relation}" for relation in _STORIES)
            )
            self._analyze_at = self._changed * 2


class Selecting:
    """Runs the SELECTs of detections on one connection, each prepared once."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self._prepared: dict[str, Any] = {}

    async def select(
        self,
        sql: str,
        params: Sequence[object] = (),
        *,
        limits: Limits | None = None,  # noqa: ARG002 - the protocol's
    ) -> Rows:
        """As the marketplace's reader does, without its limits of time: nobody waits for this one.

        Raises:
            SelectFault: it failed.
        """
        try:
            prepared = self._prepared.get(sql)
            if prepared is None:
                prepared = self._prepared[sql] = await self._conn.prepare(sql.strip().rstrip(";"))
            records = await prepared.fetch(*params)
        except asyncpg.PostgresError as error:
            raise SelectFault(f"Postgres refused it: {error}") from error
        types = {one.name: one.type.name for one in prepared.get_attributes()}
        return Rows(types=types, rows=tuple(dict(record) for record in records))


def _upsert(relation: str) -> str:
    story = _STORIES[relation]
    columns = list(CONTRACT[relation])
    values = ", ".join(story.as_of.get(column, f"row.{quote(column)}") for column in columns)
    names = ", ".join(quote(column) for column in columns)
    changes = ", ".join(
        f"{quote(column)} = EXCLUDED.{quote(column)}"
        for column in columns
        if column not in story.key
    )
    # All names are the contract's own.
    return (
        f"WITH moved AS MATERIALIZED (SELECT DISTINCT key FROM {ARCHIVE}.changes"  # noqa: S608
        f" WHERE relation = '{relation}' AND bin > $2 AND bin <= $3 AND at < $1::timestamptz),"
        f" entered AS (INSERT INTO {SERVED}.{relation} ({names})"
        f" SELECT {values} FROM moved JOIN {ARCHIVE}.{relation} AS row ON row.{story.key[0]} = moved.key"
        f" {story.join}"
        f" ON CONFLICT ({', '.join(story.key)}) DO UPDATE SET {changes} RETURNING 1)"
        " SELECT count(*) FROM entered"
    )


def _changes(relation: str, story: _Story) -> str:
    moments = ", ".join((story.came, *story.changed))
    return (
        f"SELECT '{relation}' AS relation, row.{story.key[0]} AS key,"  # noqa: S608 - our own names
        f" greatest(moment.at, {story.came}) AS at, moment.at = {story.came} AS came FROM {ARCHIVE}.{relation} AS row {story.join}"
        f" CROSS JOIN LATERAL unnest(ARRAY[{moments}]) AS moment(at) WHERE moment.at IS NOT NULL"
    )


@asynccontextmanager
async def scratch_schemas(dsn: str, contract: Path) -> AsyncIterator[Any]:
    """A connection to an empty database, in which both schemas now stand.

    Raises:
        SayableError: the contract cannot be read.
    """
    try:
        script = await asyncio.to_thread(contract.read_text, encoding="utf-8")
    except OSError as error:
        raise SayableError(
            f"{contract} cannot be read ({error.strerror}); run this from a clone of the repository."
        ) from error
    archive = re.sub(r"\bmarket\.(?=[a-z])", f"{ARCHIVE}.", script)
    archive = re.sub(r"(?i)CREATE SCHEMA market\b", f"CREATE SCHEMA {ARCHIVE}", archive)
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        await conn.execute(archive)
        await conn.execute(script)
        yield conn
    finally:
        await conn.close()


async def filled_columns(conn: Any) -> Mapping[str, frozenset[str]]:
    """The columns that hold anything at all, by relation; a header alone lets no detection fire."""
    filled = {}
    for relation in _STORIES:
        columns = list(CONTRACT[relation])
        counts = ", ".join(f"count({quote(column)}) > 0 AS {quote(column)}" for column in columns)
        row = await conn.fetchrow(f"SELECT {counts} FROM {ARCHIVE}.{relation}")  # noqa: S608 - our own names
        if present := frozenset(column for column in columns if row[column]):
            filled[relation] = present
    return filled


async def write_changes(conn: Any, step: timedelta) -> None:
    """Note when what of the archive came and changed, by steps."""
    await conn.execute(_FIRST_SEEN)
    await conn.execute(f"CREATE UNIQUE INDEX ON {ARCHIVE}.first_seen (account_id)")
    everything = " UNION ALL ".join(
        _changes(relation, story) for relation, story in _STORIES.items()
    )
    await conn.execute(
        f"CREATE TABLE {ARCHIVE}.changes AS SELECT relation, key, at, came FROM ({everything}) AS moments"  # noqa: S608
    )
    # What was always there is there when the first thing happens.
    await conn.execute(
        f"UPDATE {ARCHIVE}.changes SET at = coalesce("  # noqa: S608 - our own names
        f" (SELECT min(at) FROM {ARCHIVE}.changes WHERE at > '-infinity'), '2000-01-01Z')"
        " WHERE at = '-infinity'"
    )
    await conn.execute(
        f"ALTER TABLE {ARCHIVE}.changes ADD COLUMN bin timestamptz GENERATED ALWAYS AS"
        f" (date_bin('{int(step.total_seconds())} seconds', at, '2000-01-01Z'::timestamptz)) STORED"
    )
    await conn.execute(f"CREATE INDEX ON {ARCHIVE}.changes (relation, bin)")
    await conn.execute(f"ANALYZE {ARCHIVE}.changes")


_SESSION = {
    "timezone": "UTC",
    "search_path": SERVED,
    "jit": "off",
    "synchronous_commit": "off",
}


@asynccontextmanager
async def replay(dsn: str, *, step: timedelta, connections: int) -> AsyncIterator[Replay]:
    """The archive of this database, played; its changes are written already."""
    opened: list[Any] = []
    try:
        for _ in range(connections):
            conn = await asyncpg.connect(dsn, statement_cache_size=0, server_settings=_SESSION)
            opened.append(conn)
        yield Replay(opened, step)
    finally:
        for conn in opened:
            await conn.close()
