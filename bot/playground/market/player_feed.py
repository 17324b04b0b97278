"""What is to be played: the schema `feed` beside the marketplace, and how far the play has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.domain.errors import SayableError
from bot.playground.market.directory import RELATIONS

BEFORE_ALL = datetime(1, 1, 2, tzinfo=UTC)
"""The position of a play that has not begun."""

# Where the play stands; one row. `market_time`: everything up to here is visible.
# `supplied_until`: a generated source has fed everything up to here.
# `truth`: what really is fraud, for measuring; nobody who reads the market may see it. `kind` is the campaign's,
# `story` its way to work, or what an honest one looks like; `story_no` the campaign.
# `campaigns`: where each fraudster stands: how many waves were written, which of those that were looked back on
# had been caught, and when to look again.
_CREATE_PLAYGROUND = """
    CREATE SCHEMA IF NOT EXISTS playground;
    CREATE TABLE IF NOT EXISTS playground.play (
        only_row        boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
        source          text        NOT NULL,
        source_title    text        NOT NULL,
        started_at      timestamptz NOT NULL,
        market_time     timestamptz NOT NULL,
        supplied_until  timestamptz
    );
    CREATE TABLE IF NOT EXISTS playground.truth (
        subject_kind    text        NOT NULL CHECK (subject_kind IN
                                        ('account', 'order', 'listing', 'post')),
        subject_id      text        NOT NULL,
        label           text        NOT NULL CHECK (label IN ('fraud', 'good')),
        kind            text,
        story           text        NOT NULL,
        story_no        text        NOT NULL,
        round           integer,
        amount          bigint,
        currency        text,
        labelled_at     timestamptz NOT NULL,
        PRIMARY KEY (subject_kind, subject_id)
    );
    CREATE TABLE IF NOT EXISTS playground.campaigns (
        campaign_no     text        PRIMARY KEY,
        kind            text        NOT NULL,
        story           text        NOT NULL,
        born_at         timestamptz NOT NULL,
        first_act_at    timestamptz NOT NULL,
        waves           integer     NOT NULL DEFAULT 0,
        caught          boolean[]   NOT NULL DEFAULT '{}',
        wakes_at        timestamptz,
        ended           text        CHECK (ended IN ('gave_up', 'had_enough')),
        CHECK ((wakes_at IS NULL) = (ended IS NOT NULL))
    );
    CREATE INDEX IF NOT EXISTS truth_of_story ON playground.truth (story_no);
    CREATE INDEX IF NOT EXISTS campaigns_awake ON playground.campaigns (wakes_at);
    REVOKE ALL ON SCHEMA playground FROM PUBLIC;
"""
# The moment of a stage: as planned; or now where something held it up past its time.
_CREATE_TOLD_AT = """
    CREATE FUNCTION feed.told_at(
        planned timestamptz, since timestamptz, until timestamptz, is_fresh boolean
    ) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE WHEN planned IS NULL OR planned > until THEN NULL
                    WHEN planned > since OR is_fresh THEN planned
                    ELSE until END
    $$;
"""
# What the player keeps beside the rows.
# accounts, listings: play_at, when it appears; ends_at, when the status that the data gives it stands.
# orders: next_at, when something happens next (NULL: nothing any more); final_at, when the status that
# the data gives it stands: with its own time, else with the data's updated_at, never before any other time.
_ADD_PLAY_COLUMNS = """
    ALTER TABLE feed.accounts
        ADD play_at timestamptz,
        ADD ends_at timestamptz GENERATED ALWAYS AS (
            CASE status WHEN 'suspended' THEN coalesce(suspended_at, play_at)
                        WHEN 'closed' THEN greatest(updated_at, play_at) END) STORED;
    ALTER TABLE feed.listings ADD play_at timestamptz;
    ALTER TABLE feed.orders
        ADD next_at timestamptz,
        ADD prevented_at timestamptz,
        ADD paid_out boolean NOT NULL DEFAULT false,
        ADD canceled_by_play boolean NOT NULL DEFAULT false,
        ADD payout_is_scheduled boolean NOT NULL DEFAULT false,
        ADD final_at timestamptz GENERATED ALWAYS AS (
            greatest(ordered_at, paid_at, shipped_at, delivered_at, payout_at, canceled_at, held_at,
                     CASE WHEN CASE status WHEN 'pending' THEN ordered_at
                                           WHEN 'paid' THEN paid_at
                                           WHEN 'shipped' THEN shipped_at
                                           WHEN 'delivered' THEN delivered_at
                                           WHEN 'completed' THEN payout_at
                                           WHEN 'canceled' THEN canceled_at END IS NULL
                          THEN updated_at END)) STORED;
    ALTER TABLE feed.chargebacks ADD averted_at timestamptz;
    CREATE INDEX ON feed.accounts (play_at);
    CREATE INDEX ON feed.accounts (ends_at) WHERE ends_at IS NOT NULL;
    CREATE INDEX ON feed.accounts (payout_changed_at) WHERE payout_changed_at IS NOT NULL;
    CREATE INDEX ON feed.listings (play_at);
    CREATE INDEX ON feed.posts (created_at);
    CREATE INDEX ON feed.refunds (created_at);
    CREATE INDEX ON feed.orders (next_at) WHERE next_at IS NOT NULL;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a play stands, by the market's clock."""

    source: str
    source_title: str
    started_at: datetime
    market_time: datetime
    supplied_until: datetime | None


async def read_position(connection: Any) -> Position | None:
    """Where the play of this database stands; None where none was begun."""
    if await connection.fetchval("SELECT to_regclass('playground.play')") is None:
        return None
    row = await connection.fetchrow(
        "SELECT source, source_title, started_at, market_time, supplied_until FROM playground.play"
    )
    return None if row is None else Position(**dict(row))


async def begin_play(
    connection: Any, *, source: str, source_title: str, started_at: datetime
) -> None:
    """Write down what is played, within the caller's transaction."""
    await connection.execute(
        "INSERT INTO playground.play (source, source_title, started_at, market_time) "
        "VALUES ($1, $2, $3, $4)",
        source,
        source_title,
        started_at,
        BEFORE_ALL,
    )


async def create_feed(connection: Any) -> None:
    """The empty feed: every relation of the market once more, out of the bot's sight.

    Raises:
        SayableError: the market is not there, or holds rows that nobody played.
    """
    if await connection.fetchval("SELECT to_regclass('market.orders')") is None:
        raise SayableError(
            "The database has no marketplace; create its schema first (contract/market.sql)."
        )
    if await connection.fetchval("SELECT EXISTS (SELECT FROM market.orders)"):
        raise SayableError(
            "The marketplace holds orders already that were not played; "
            "run `mimawari demo --fresh` to start over."
        )
    await connection.execute(_CREATE_PLAYGROUND)
    await connection.execute("CREATE SCHEMA feed; REVOKE ALL ON SCHEMA feed FROM PUBLIC")
    for relation in RELATIONS:
        await connection.execute(
            f"CREATE TABLE feed.{relation} (LIKE market.{relation} "
            "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)"
        )


async def add_play_columns(connection: Any) -> None:
    """What the player keeps beside the rows; after a load, which must not see these columns."""
    await connection.execute(_CREATE_TOLD_AT)
    await connection.execute(_ADD_PLAY_COLUMNS)
