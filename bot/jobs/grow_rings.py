"""Let the rings of open cases grow by what has changed in the marketplace."""

from __future__ import annotations

import time
from datetime import datetime

from bot.cases.ringing import join_newcomers, look_around
from bot.cases.room import Room
from bot.domain.errors import SayableError
from bot.jobs.ticker import Tick
from bot.market.reader import MarketReader
from bot.market.selecting import SelectFault

LONGEST_S = 30.0
"""Cases left to look at wait for the next tick; newcomers of known rings come first."""


async def grow_rings(room: Room, reader: MarketReader, tick: Tick) -> datetime:
    """Newcomers first, then around the cases that have changed, the most urgent first."""
    started = time.monotonic()
    try:
        watermark = await join_newcomers(room, reader, tick.watermark)
        while time.monotonic() - started < LONGEST_S and await look_around(room, reader):
            pass
    except SelectFault as fault:
        raise SayableError(f"rings cannot be followed: {fault}") from fault
    return watermark
