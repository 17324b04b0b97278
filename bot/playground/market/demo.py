"""Prepares what the demo's marketplace plays: the built-in shoppers, or a market directory."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from bot.domain.clock import WallClock
from bot.domain.errors import SayableError
from bot.playground.market.clock import PlayClock, check_speed
from bot.playground.market.flavours import DEFAULT, Flavour
from bot.playground.market.load import Progress, connect
from bot.playground.market.player import DirectorySource, Player, Source, open_play
from bot.playground.market.player_feed import BEFORE_ALL
from bot.playground.market.shoppers import ShoppersSource

SHOPPERS_SPEED = 60.0
"""A market hour a minute: every few seconds something happens, and cases can still be worked."""
SHOPPERS_FASTEST = 36_000.0
DIRECTORY_SPEED = 3600.0
"""A market hour a second: a month in twelve minutes."""
OPENING = time(10)


class Runner(Protocol):
    """What keeps the marketplace alive while the demo runs."""

    async def run(self, stop: asyncio.Event) -> None: ...


async def prepare_demo(
    dsn: str,
    *,
    market_dir: Path | None,
    speed: float | None,
    seed: int,
    flavour: Flavour = DEFAULT,
    progress: Progress | None = None,
) -> tuple[PlayClock, Runner]:
    """Begin a play, or take up the one that was begun, and show what happened before it.

    Raises:
        SayableError: the directory is refused, the speed is none, or another play was begun here.
    """
    chosen_speed = _choose_speed(market_dir, speed)
    source = _choose_source(market_dir, seed, flavour, progress)
    connection = await connect(dsn)
    try:
        position = await open_play(connection, source)
        visible = position.market_time
        if visible == BEFORE_ALL:
            visible = position.started_at - timedelta(microseconds=1)
        clock = PlayClock(visible, chosen_speed, driven=True)
        player = Player(dsn, clock, source)
        await player.step()
        await player.disconnect()
    finally:
        await connection.close()
    return clock, player


def _choose_source(
    market_dir: Path | None, seed: int, flavour: Flavour, progress: Progress | None
) -> Source:
    if market_dir is not None:
        return DirectorySource(market_dir, progress=progress)
    return ShoppersSource(seed, _this_morning(flavour), flavour)


def _this_morning(flavour: Flavour) -> datetime:
    """When a new demo begins: its first hours are a shop's busy ones, whatever the time is here."""
    today = WallClock().now().astimezone(flavour.zone).date()
    return datetime.combine(today, OPENING, tzinfo=flavour.zone)


def _choose_speed(market_dir: Path | None, speed: float | None) -> float:
    if speed is None:
        return SHOPPERS_SPEED if market_dir is None else DIRECTORY_SPEED
    if market_dir is None and speed > SHOPPERS_FASTEST:
        raise SayableError(
            f"The built-in shoppers keep up with a speed of {SHOPPERS_FASTEST:,.0f} at most."
        )
    return check_speed(speed)
