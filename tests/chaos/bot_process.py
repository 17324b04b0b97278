"""One bot as a process of its own, with what chaos needs around it: its clock, its places to die, planted bugs.

Nothing of this is in the bot: a wrapper is put around named functions before the bot starts.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

SPEED_UP = 20.0
"""The workspace's rate limits are so many times Slack's."""

POINTS: dict[str, tuple[str, ...]] = {
    "claim": ("bot.ledger.claims:claim",),
    "finish": ("bot.ledger.claims:finish",),
    "start_attempt": ("bot.ledger.operations:start_attempt",),
    "send": ("bot.market.api:MarketApi.send",),
    "lookup": ("bot.market.api:MarketApi.lookup",),
    "record": ("bot.executor:record",),
    "write_back": ("bot.ledger.operations:write_back",),
    "audit": ("bot.ledger.audit:append",),
    "take_caps": ("bot.ledger.caps:take",),
    "move_case": ("bot.ledger.cases:move_case",),
    "insert_decision": ("bot.ledger.cases:insert_decision",),
    "insert_case": ("bot.ledger.cases:insert_case",),
    "decide": ("bot.handlers.submissions:decide", "bot.handlers.buttons:decide"),
    "approve": ("bot.handlers.submissions:approve",),
    "answer": ("bot.handlers.front_door:FrontDoor.handle",),
    "open_modal": ("slack_sdk.web.async_client:AsyncWebClient.views_open",),
    "post": ("slack_sdk.web.async_client:AsyncWebClient.chat_postMessage",),
    "update": ("slack_sdk.web.async_client:AsyncWebClient.chat_update",),
}
"""Where a process can be told to die: by name, the functions that this is a wrapper around."""

# Short, so that what a killed process had in hand is taken up again while somebody still watches.
LEASES: dict[str, Any] = {
    "bot.executor:Executor.__init__": {"lease_s": 15.0, "send_timeout_s": 3.0},
    "bot.publisher:LEASE_S": 15.0,
    "bot.jobs.ticker:LEASE_S": 20.0,
    # No call may outlive the lease under which it was begun, here as there.
    "bot.app:HTTP_TIMEOUT": aiohttp.ClientTimeout(total=4, connect=2),
}


def find(place: str) -> tuple[Any, str]:
    """What holds a function, and its name there. Raises ImportError or AttributeError."""
    module, _, path = place.partition(":")
    holder: Any = importlib.import_module(module)
    *holders, name = path.split(".")
    for one in holders:
        holder = getattr(holder, one)
    getattr(holder, name)
    return holder, name


class Failpoints:
    """Dies before or after the next call of a point that was named on stdin, as in `send after`."""

    def __init__(self) -> None:
        self._armed: dict[str, str] = {}

    def put_in_place(self) -> None:
        for name, places in POINTS.items():
            for place in places:
                holder, attribute = find(place)
                setattr(holder, attribute, self._around(name, getattr(holder, attribute)))

    def listen(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            name, _, when = line.strip().partition(" ")
            self._armed[name] = when

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._strike(name, "before")
            answer = await call(*args, **kwargs)
            self._strike(name, "after")
            return answer

        return wrapped

    def _strike(self, name: str, when: str) -> None:
        if self._armed.get(name) == when:
            os.kill(os.getpid(), signal.SIGKILL)


def skew_clock(skew_s: float) -> None:
    """Let this process believe in another time; called before anything of the bot is imported."""
    real = time.time

    def skewed() -> float:
        return real() + skew_s

    time.time = skewed
    from bot.domain.clock import WallClock

    def now(_clock: WallClock) -> datetime:
        # Of a source of its own: datetime.now would not know of the skew.
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=skewed())

    setattr(WallClock, "now", now)  # noqa: B010 - a method is put in place of another


def shorten_leases() -> None:
    for place, value in LEASES.items():
        holder, name = find(place)
        if isinstance(value, dict):
            getattr(holder, name).__kwdefaults__.update(value)
        else:
            setattr(holder, name, value)


async def run() -> None:
    from bot.app import running_parts, stop_on_signals
    from bot.publisher import Limits
    from bot.settings import read_settings

    stop = asyncio.Event()
    stop_on_signals(stop)
    fast = Limits(
        posts_per_s=Limits().posts_per_s * SPEED_UP, updates_per_s=Limits().updates_per_s * SPEED_UP
    )
    async with running_parts(read_settings(), limits=fast) as bot:
        await bot.run(stop)


def main() -> None:
    skew_clock(float(os.environ.get("CHAOS_SKEW_S", "0")))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("slack_bolt", "slack_sdk", "bot.bolt", "aiohttp", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    shorten_leases()
    planted = os.environ.get("CHAOS_PLANTED")
    if planted:
        importlib.import_module(f"tests.chaos.planted.{planted}").plant()
    failpoints = Failpoints()
    failpoints.put_in_place()
    failpoints.listen()
    asyncio.run(run())


if __name__ == "__main__":
    main()
