"""Sum up in the channel, once an hour, what came to the queue beside it."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.cases.queueing import roll_up
from bot.cases.room import Room
from bot.jobs.ticker import Tick

HOUR = timedelta(hours=1)


async def sum_up_queue(room: Room, tick: Tick) -> datetime:
    """One hour of the market's clock; after a stop, all that came meanwhile in one message."""
    now = room.clock.now()
    await roll_up(room, since=tick.watermark or now - HOUR, until=now)
    return now
