"""Plays what the feed holds: rows become visible when their time has come on the market's clock."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from bot.domain.errors import SayableError
from bot.playground.market.clock import PlayClock
from bot.playground.market.directory import RELATIONS, fingerprint
from bot.playground.market.load import Progress, connect, load_into
from bot.playground.market.player_feed import (
    Position,
    add_play_columns,
    begin_play,
    create_feed,
    read_position,
)
from bot.playground.market.player_sql import READ_BARRED, write_step

logger = logging.getLogger(__name__)

STEP_S = 0.25
STEP_AT_END_S = 1.0
LONGEST_WAIT_S = 10.0
SPEED_AT_END = 1.0
"""When all is played the market's time goes on as the wall's does: open cases keep their deadlines."""

PASSING_FAULTS = (
    SayableError,  # no connection
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock with the admin API
)
"""What a step outlives by trying again; anything else is a fault of ours and ends the play."""

# When an account or listing appears: when it was made, else when something first speaks of it.
_FIND_FIRST_USES = """
    UPDATE feed.listings l SET play_at = least(l.created_at, used.at)
      FROM feed.listings self LEFT JOIN (
           SELECT i.listing_id, min(o.ordered_at) AS at
             FROM feed.order_items i JOIN feed.orders o USING (order_id) GROUP BY 1) AS used
           USING (listing_id)
     WHERE self.listing_id = l.listing_id;
    UPDATE feed.accounts a SET play_at = least(a.created_at, used.at)
      FROM (SELECT account_id, min(at) AS at FROM (
                SELECT buyer_id AS account_id, ordered_at AS at FROM feed.orders
                UNION ALL SELECT seller_id, ordered_at FROM feed.orders
                UNION ALL SELECT account_id, attempted_at FROM feed.payment_attempts
                UNION ALL SELECT seller_id, play_at FROM feed.listings
                UNION ALL SELECT follower_id, occurred_at FROM feed.follow_events
                UNION ALL SELECT followee_id, occurred_at FROM feed.follow_events
                UNION ALL SELECT account_id, created_at FROM feed.posts
                UNION ALL SELECT recipient_id, created_at FROM feed.posts
                UNION ALL SELECT account_id, occurred_at FROM feed.account_events
                UNION ALL SELECT reporter_id, created_at FROM feed.user_reports
                UNION ALL SELECT subject_id, created_at FROM feed.user_reports
                           WHERE subject_kind = 'account'
                UNION ALL SELECT account_id, created_at FROM feed.inquiries) AS uses
             GROUP BY 1) AS used
     WHERE used.account_id = a.account_id;
    UPDATE feed.accounts SET play_at = coalesce(created_at, 'epoch') WHERE play_at IS NULL;
    ANALYZE feed.accounts; ANALYZE feed.listings; ANALYZE feed.orders;
"""
# The time of the last thing that the data tells.
_FIND_END = """
    SELECT greatest(
        (SELECT max(greatest(ordered_at, paid_at, shipped_at, delivered_at, payout_at, canceled_at,
                             final_at)) FROM feed.orders),
        (SELECT max(attempted_at) FROM feed.payment_attempts),
        (SELECT max(greatest(created_at, updated_at)) FROM feed.listings),
        (SELECT max(occurred_at) FROM feed.follow_events),
        (SELECT max(greatest(created_at, updated_at)) FROM feed.posts),
        (SELECT max(received_at) FROM feed.chargebacks),
        (SELECT max(greatest(created_at, updated_at)) FROM feed.refunds),
        (SELECT max(received_at) FROM feed.fraud_warnings),
        (SELECT max(occurred_at) FROM feed.account_events),
        (SELECT max(created_at) FROM feed.user_reports),
        (SELECT max(created_at) FROM feed.inquiries),
        (SELECT max(greatest(play_at, ends_at, payout_changed_at)) FROM feed.accounts))
"""
_READ_OUTCOME = """
    SELECT (SELECT count(*) FROM feed.orders WHERE prevented_at IS NOT NULL) AS prevented_orders,
           (SELECT count(*) FROM feed.chargebacks WHERE averted_at IS NOT NULL)
               AS averted_chargebacks
"""


class Source(Protocol):
    """Where the rows come from."""

    @property
    def key(self) -> str:
        """Tells this source from every other."""
        ...

    @property
    def title(self) -> str:
        """How an operator calls it."""
        ...

    async def begin(self, connection: Any) -> datetime:
        """Fill the new feed, within the caller's transaction; the market time to begin at."""
        ...

    async def supply(self, connection: Any, until: datetime) -> None:
        """Feed what happens up to `until`, within the caller's transaction."""
        ...

    async def find_end(self, connection: Any) -> datetime | None:
        """The time after which nothing comes any more; None: it never ends."""
        ...


class DirectorySource:
    """A market directory, played in its own time order."""

    def __init__(self, path: Path, *, progress: Progress | None = None) -> None:
        self._path = path
        self._progress = progress
        self._fingerprint: str | None = None

    @property
    def key(self) -> str:
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self._path)
        return f"directory {self._fingerprint}"

    @property
    def title(self) -> str:
        return f"the market directory {self._path.resolve().name}"

    async def begin(self, connection: Any) -> datetime:
        await load_into(connection, self._path, "feed", progress=self._progress)
        first: datetime | None = await connection.fetchval(
            "SELECT min(ordered_at) FROM feed.orders"
        )
        if first is None:
            raise SayableError(f"{self._path} holds no orders, so there is nothing to play.")
        await add_play_columns(connection)
        await connection.execute(_FIND_FIRST_USES)
        return first

    async def supply(self, connection: Any, until: datetime) -> None:
        """All of it is there from the first day."""

    async def find_end(self, connection: Any) -> datetime | None:
        end: datetime | None = await connection.fetchval(_FIND_END)
        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayOutcome:
    """What did not happen since somebody stepped in."""

    prevented_orders: int
    averted_chargebacks: int


async def open_play(connection: Any, source: Source) -> Position:
    """Begin the play of a source, or find the one that was begun.

    Raises:
        SayableError: the database plays another source, or holds rows that nobody played.
    """
    async with connection.transaction():
        position = await read_position(connection)
        if position is None:
            await create_feed(connection)
            start = await source.begin(connection)
            await begin_play(
                connection, source=source.key, source_title=source.title, started_at=start
            )
            position = await read_position(connection)
        assert position is not None  # noqa: S101 (written just now)
    if position.source != source.key:
        raise SayableError(
            f"This demo was started with {position.source_title}, and now {source.title} is asked "
            "for; run `mimawari demo --fresh` to start over."
        )
    return position


async def read_outcome(dsn: str) -> PlayOutcome:
    """How many orders and chargebacks of the data never came."""
    connection = await connect(dsn)
    try:
        return PlayOutcome(**dict(await connection.fetchrow(_READ_OUTCOME)))
    finally:
        await connection.close()


class Player:
    """Plays one source into one marketplace; killed anywhere it goes on where it was."""

    def __init__(self, dsn: str, clock: PlayClock, source: Source) -> None:
        self._dsn = dsn
        self._clock = clock
        self._source = source
        self._statements: tuple[str, ...] = ()
        self._connection: Any = None
        self._end: datetime | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """All that the source holds is played."""
        return self._ended

    async def run(self, stop: asyncio.Event) -> None:
        """Play until told to stop; a lost database is waited for."""
        wait = STEP_S
        try:
            while not stop.is_set():
                try:
                    await self.step()
                    wait = STEP_AT_END_S if self._ended else STEP_S
                except PASSING_FAULTS as fault:
                    wait = min(wait * 2, LONGEST_WAIT_S)
                    logger.warning("The play stands still, next try in %.1f s: %s", wait, fault)
                    await self.disconnect()
                await _sleep(stop, wait)
        finally:
            await self.disconnect()

    async def step(self) -> None:
        """Make everything visible up to the clock's time."""
        await self._connected()
        until = self._clock.target()
        if self._end is not None and not self._ended:
            until = min(until, self._end)
        visible = await self.play_until(until)
        self._clock.show(visible)
        if self._end is not None and visible >= self._end and not self._ended:
            self._ended = True
            self._clock.go_on_from(visible, SPEED_AT_END)
            logger.info(
                "All of %s is played, up to %s; time goes on as by the wall, nothing new comes.",
                self._source.title,
                visible.isoformat(timespec="seconds"),
            )

    async def play_until(self, until: datetime) -> datetime:
        """One transaction: what happens up to `until`, and the note of it; the time reached."""
        connection = await self._connected()
        async with connection.transaction():
            since: datetime = await connection.fetchval(
                "SELECT market_time FROM playground.play FOR UPDATE"
            )
            until = max(until, since)
            await self._source.supply(connection, until)
            barred = await connection.fetchval(READ_BARRED, until)
            for statement in self._statements:
                arguments = (since, until, barred) if "$3" in statement else (since, until)
                await connection.execute(statement, *arguments)
            await connection.execute("UPDATE playground.play SET market_time = $1", until)
        return until

    async def _connected(self) -> Any:
        if self._connection is None:
            self._connection = await connect(self._dsn)
            self._statements = await _prepare_statements(
                self._connection, skip_empty=await self._find_end()
            )
        return self._connection

    async def _find_end(self) -> bool:
        self._end = await self._source.find_end(self._connection)
        return self._end is not None

    async def disconnect(self) -> None:
        """Let go of the database; the next step comes back."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.close(timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()


async def _prepare_statements(connection: Any, *, skip_empty: bool) -> tuple[str, ...]:
    """The statements of a step; a source that is complete skips the relations that it lacks."""
    columns = {}
    played = set()
    for relation in RELATIONS:
        columns[relation] = await connection.fetchval(
            "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute "
            "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
            f"market.{relation}",
        )
        if not skip_empty or await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM feed.{relation})"  # noqa: S608 (a name of ours)
        ):
            played.add(relation)
    return tuple(sql for relation, sql in write_step(columns) if relation in played)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
