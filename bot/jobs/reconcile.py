"""Compare the ledger with the marketplace every few minutes, and alarm about what nobody knows the end of."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.cases.reconciling import alarm_overdue
from bot.cases.reconciling import reconcile as compare
from bot.cases.room import Room
from bot.domain.errors import SayableError
from bot.jobs.ticker import Tick
from bot.market.marketplace import Marketplace, MarketUnreachable
from bot.market.reader import MarketReader, MarketUnreachableError

OVERLAP = timedelta(minutes=10)
FIRST_LOOK = timedelta(days=1)


async def reconcile(room: Room, api: Marketplace, reader: MarketReader, tick: Tick) -> datetime:
    """One comparison. Returns the market's time of it, from which, with an overlap, the next one looks.

    Raises:
        SayableError: the marketplace cannot be asked; the next tick looks from the same moment on.
    """
    now = room.clock.now()
    since = tick.watermark - OVERLAP if tick.watermark is not None else now - FIRST_LOOK
    try:
        await compare(room, api, reader.facts, since=since)
    except (MarketUnreachable, MarketUnreachableError) as error:
        raise SayableError(
            f"The marketplace could not be asked what became of our operations: {error}."
        ) from error
    return now


async def alarm(room: Room, _: Tick) -> None:
    """Look for outcomes that are unknown for too long."""
    await alarm_overdue(room)
