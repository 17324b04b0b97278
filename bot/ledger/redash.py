"""Named queries about Redash: what it told, the results we have seen, and what is wrong with its queries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.redash import AlertState
from bot.ledger.claims import Queue

EVENTS = Queue(
    table="ledger.redash_events", key="event_id", ready="state = 'queued'", order="event_id"
)
KEPT_DAYS = 30
MOST_UNREADABLE = 100


async def insert_event(conn: AsyncConnection, told: AlertState, *, via: str) -> bool:
    """Keep a change of an alert, to be looked into; False: it is known already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.redash_events (dedupe_key, via, alert_id, query_id, alert_state, triggered_at)
               VALUES (:key, :via, :alert_id, :query_id, :alert_state, :triggered_at)
               ON CONFLICT (dedupe_key) DO NOTHING"""
        ),
        {
            "key": told.key,
            "via": via,
            "alert_id": told.alert_id,
            "query_id": told.query_id,
            "alert_state": told.state,
            "triggered_at": told.last_triggered_at,
        },
    )
    return result.rowcount == 1


async def insert_unreadable(conn: AsyncConnection, body: bytes) -> bool:
    """Keep a body that nobody understands for a person to look at, among not too many; False: it is known."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.redash_events (dedupe_key, via, raw, state)
               VALUES (:key, 'webhook', :raw, 'unreadable') ON CONFLICT (dedupe_key) DO NOTHING"""
        ),
        {"key": hashlib.sha256(body).hexdigest(), "raw": body},
    )
    await conn.execute(
        text(
            """DELETE FROM ledger.redash_events WHERE event_id IN (
                 SELECT event_id FROM ledger.redash_events WHERE state = 'unreadable'
                  ORDER BY event_id DESC OFFSET :most)"""
        ),
        {"most": MOST_UNREADABLE},
    )
    return result.rowcount == 1


async def prune_events(conn: AsyncConnection) -> None:
    """Forget what ended long ago, but never the last word of an alert: it is told again at each poll."""
    await conn.execute(
        text(
            """DELETE FROM ledger.redash_events e
                WHERE e.state <> 'queued' AND e.received_at < clock_timestamp() - make_interval(days => :days)
                  AND (e.alert_id IS NULL OR EXISTS (
                        SELECT FROM ledger.redash_events n
                         WHERE n.query_id = e.query_id AND n.alert_id = e.alert_id AND n.event_id > e.event_id))"""
        ),
        {"days": KEPT_DAYS},
    )


async def is_triggered(conn: AsyncConnection, query_id: int) -> bool:
    """Whether any alert of a query was triggered when it was last heard of."""
    found: bool = (
        await conn.execute(
            text(
                """SELECT EXISTS (
                     SELECT FROM (SELECT DISTINCT ON (alert_id) alert_state FROM ledger.redash_events
                                   WHERE query_id = :query_id
                                   ORDER BY alert_id, triggered_at DESC NULLS LAST, event_id DESC) last
                      WHERE alert_state = 'triggered')"""
            ),
            {"query_id": query_id},
        )
    ).scalar_one()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenQuery:
    """The latest result of a query that we have seen."""

    result_id: int
    retrieved_at: datetime
    taken_id: int | None


async def read_query(conn: AsyncConnection, query_id: int) -> SeenQuery | None:
    row = (
        await conn.execute(
            text(
                "SELECT result_id, retrieved_at, taken_id FROM ledger.redash_queries WHERE query_id = :query_id"
            ),
            {"query_id": query_id},
        )
    ).one_or_none()
    return None if row is None else SeenQuery(**row._asdict())


async def note_result(
    conn: AsyncConnection, query_id: int, *, result_id: int, retrieved_at: datetime, taken: bool
) -> None:
    """Remember a result that was seen, and whether its rows became findings."""
    await conn.execute(
        text(
            """INSERT INTO ledger.redash_queries AS q (query_id, result_id, retrieved_at, taken_id)
               VALUES (:query_id, :result_id, :retrieved_at, CASE WHEN :taken THEN cast(:result_id AS bigint) END)
               ON CONFLICT (query_id) DO UPDATE
                  SET result_id = excluded.result_id, retrieved_at = excluded.retrieved_at,
                      taken_id = coalesce(excluded.taken_id, q.taken_id), seen_at = clock_timestamp()"""
        ),
        {
            "query_id": query_id,
            "result_id": result_id,
            "retrieved_at": retrieved_at,
            "taken": taken,
        },
    )


async def begin_trouble(conn: AsyncConnection, query_id: int, trouble: str) -> float:
    """Note that something is wrong with a query (0: with all of Redash); for how many seconds it has been."""
    age_s: float = (
        await conn.execute(
            text(
                """INSERT INTO ledger.redash_troubles AS t (query_id, trouble) VALUES (:query_id, :trouble)
                   ON CONFLICT (query_id, trouble) DO UPDATE SET trouble = excluded.trouble
                   RETURNING extract(epoch FROM clock_timestamp() - t.since)::float"""
            ),
            {"query_id": query_id, "trouble": trouble},
        )
    ).scalar_one()
    return age_s


async def tell_trouble(conn: AsyncConnection, query_id: int, trouble: str) -> datetime | None:
    """Note that people are told of it now; since when it is, or None where they were told before."""
    row = (
        await conn.execute(
            text(
                """UPDATE ledger.redash_troubles SET told_at = clock_timestamp()
                    WHERE query_id = :query_id AND trouble = :trouble AND told_at IS NULL RETURNING since"""
            ),
            {"query_id": query_id, "trouble": trouble},
        )
    ).one_or_none()
    return None if row is None else row.since


async def end_trouble(conn: AsyncConnection, query_id: int, trouble: str) -> datetime | None:
    """Note that it is over; since when it was, where people had been told of it."""
    row = (
        await conn.execute(
            text(
                """DELETE FROM ledger.redash_troubles
                    WHERE query_id = :query_id AND trouble = :trouble RETURNING since, told_at"""
            ),
            {"query_id": query_id, "trouble": trouble},
        )
    ).one_or_none()
    return None if row is None or row.told_at is None else row.since


async def seconds_since(conn: AsyncConnection, moment: datetime) -> float:
    """How long ago it was by the database's clock."""
    age_s: float = (
        await conn.execute(
            text(
                "SELECT extract(epoch FROM clock_timestamp() - cast(:moment AS timestamptz))::float"
            ),
            {"moment": moment},
        )
    ).scalar_one()
    return age_s
