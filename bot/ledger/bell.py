"""The bell: tells every process's workers, after a commit, that a queue has work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import asyncpg

logger = logging.getLogger(__name__)

COALESCE_S = 0.01
RECONNECT_S = 2.0
PREFIX = "mimawari_"


class Bell:
    """Rings by NOTIFY on a connection of its own, coalesced, never inside a decision's transaction:
    there it would serialise all commits. It is a hint only: workers poll as well.
    """

    def __init__(self, dsn: str, topics: Iterable[str]) -> None:
        self._dsn = dsn
        self._events = {topic: asyncio.Event() for topic in topics}
        self._pending: set[str] = set()
        self._wake = asyncio.Event()

    def ring(self, *topics: str) -> None:
        """Wake the workers of these queues, here at once and elsewhere within milliseconds."""
        for topic in topics:
            self._events[topic].set()
        self._pending.update(topics)
        self._wake.set()

    async def wait(self, topic: str, timeout_s: float) -> None:
        """Return when the queue was rung, or after `timeout_s`."""
        event = self._events[topic]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()
        event.clear()

    async def run(self) -> None:
        """Keep listening and ringing until cancelled; a lost connection is made again."""
        while True:
            try:
                await self._serve()
            # The driver's own InternalClientError, too: that is how a server's death can look in the middle of a call.
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as error:
                logger.warning("bell lost its connection: %s", type(error).__name__)
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            for topic in self._events:
                await connection.add_listener(PREFIX + topic, self._heard)
            while not connection.is_closed():
                # Not wait_for: until Python 3.12 it loses a cancellation that comes with a ring,
                # and the stop would wait for ever.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        await self._wake.wait()
                self._wake.clear()
                pending, self._pending = self._pending, set()
                for topic in pending:
                    await connection.execute("SELECT pg_notify($1, '')", PREFIX + topic)
                await asyncio.sleep(COALESCE_S)
        finally:
            await connection.close(timeout=2)

    def _heard(self, _connection: Any, _pid: int, channel: str, _payload: str) -> None:
        self._events[channel.removeprefix(PREFIX)].set()
