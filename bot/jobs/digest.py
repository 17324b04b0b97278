"""Make the digest of the last day that is due, once however many processes there are."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.cases.policy import judge_step
from bot.cases.room import POSTS, Room, deny, know
from bot.digests import collect
from bot.domain.clock import Clock
from bot.domain.digests import Digest
from bot.domain.refusals import Refusal
from bot.jobs.ticker import Tick
from bot.ledger import digests, people
from bot.ledger.engine import snapshot
from bot.market.reader import MarketReader

logger = logging.getLogger(__name__)

SINCE = "digest_since"
ONE_DAY = timedelta(days=1)
SAME_CLOCK = timedelta(minutes=1)
"""Clocks that are nearer to each other than this count as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestPlan:
    """When and where digests are posted."""

    channel: str
    at: time
    zone: tzinfo
    pace: float = 1.0
    """How many times faster than ours the market's clock runs."""


def due_day(now: datetime, plan: DigestPlan) -> date:
    """The last day whose digest should stand by now: told on the next day at the set time."""
    local = now.astimezone(plan.zone)
    return local.date() - ONE_DAY * (1 if local.time() >= plan.at else 2)


async def make_digest(room: Room, reader: MarketReader, plan: DigestPlan, _: Tick) -> datetime:
    """One tick: mark the market's day, and queue the digest of the last due day if there is none.

    After a stop of several days only the last one is told; its digest names those that were not.
    """
    now = room.clock.now()
    day = due_day(now, plan)
    async with room.engine.begin() as conn:
        wall = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
        today = now.astimezone(plan.zone).date()
        began = datetime.combine(today, time.min, plan.zone).astimezone(UTC)
        await digests.mark_day(
            conn,
            today,
            starts=began,
            began_at=wall - (now - began) / plan.pace,
            differs=abs(now - wall) > SAME_CLOCK,
        )
        since = await _since(conn, today)
        mine = await digests.last_digest_day(conn, plan.channel)
        last = await digests.last_digest_day(conn)
    if day < since or (mine is not None and mine >= day):
        return now
    untold = max(since, last + ONE_DAY) if last is not None else since
    missed = (untold, day - ONE_DAY) if untold < day else None
    async with snapshot(room.engine) as conn:
        digest = await collect(
            conn, reader, day=day, now=now, zone=plan.zone, present=True, missed=missed
        )
    async with room.engine.begin() as conn:
        queued = await digests.insert_digest(conn, digest, plan.channel)
    if queued:
        logger.info("the digest of %s is made", day)
        room.bell.ring(POSTS)
    return now


async def _since(conn: AsyncConnection, today: date) -> date:
    """The first day of which there is a digest: the one on which the first tick ran."""
    stored = await people.read_preference(conn, SINCE)
    if stored is None:
        await people.store_preference(conn, SINCE, today.isoformat())
        return today
    return date.fromisoformat(stored)


async def digest_for(
    room: Room, reader: MarketReader, user_id: str, day: date | None, zone: tzinfo
) -> Digest | Refusal:
    """The digest of a day (None: of today so far) for somebody who may see cases."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person if isinstance(person, Refusal) else judge_step(room.policy, "details", person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="digest", case_id=None)
    return await read_digest(room.engine, reader, day, zone, now=room.clock.now())


async def read_digest(
    engine: AsyncEngine,
    reader: MarketReader,
    day: date | None,
    zone: tzinfo,
    *,
    now: datetime,
) -> Digest:
    """The digest of a day as it was posted, else as it can be told now; None stands for today so far."""
    today = now.astimezone(zone).date()
    async with snapshot(engine) as conn:
        if day is not None and day != today:
            kept = await digests.read_digest(conn, day)
            if kept is not None:
                return kept
        wanted = day or today
        return await collect(conn, reader, day=wanted, now=now, zone=zone, present=wanted == today)


async def market_now(engine: AsyncEngine, clock: Clock) -> datetime:
    """The market's time for a process that has no clock of it: where the two clocks differ, that of
    the last tick of the bot that runs.
    """
    async with engine.connect() as conn:
        if await digests.clocks_differ(conn):
            seen: datetime | None = await conn.scalar(
                text("SELECT watermark FROM ledger.ticks WHERE name = :mine"),
                {"mine": digests.DIGEST_TICK},
            )
            if seen is not None:
                return seen
    return clock.now()
