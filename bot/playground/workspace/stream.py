"""Tells open pages, and waiting tests, what has just changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.playground.workspace.state import Json

# A page that is this far behind is asked to load everything anew.
KEPT_NEWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One server-sent event."""

    event: str
    data: Json


class Stream:
    """Hands every piece of news to those whom it concerns."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[News | None], str] = {}
        self._changed: list[asyncio.Future[None]] = []
        self._closed = False

    def tell(self, event: str, data: Json, *, to: str | None = None) -> None:
        """Tell one person's pages, or without `to` everybody's."""
        for queue, user_id in self._listeners.items():
            if to not in (None, user_id):
                continue
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(News(event="state", data={}))
            else:
                queue.put_nowait(News(event=event, data=data))
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for something look again."""
        waiting, self._changed = self._changed, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    @asynccontextmanager
    async def listening(self, user_id: str) -> AsyncIterator[asyncio.Queue[News | None]]:
        """A queue of news for one page; None on it means that the workspace closes."""
        queue: asyncio.Queue[News | None] = asyncio.Queue(KEPT_NEWS)
        self._listeners[queue] = user_id
        if self._closed:
            queue.put_nowait(None)
        try:
            yield queue
        finally:
            del self._listeners[queue]

    async def until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is so, asking again at every change; False: it never was."""
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    future = asyncio.get_running_loop().create_future()
                    self._changed.append(future)
                    await future
        except TimeoutError:
            return holds()
        return True

    def close(self) -> None:
        """Let every open page go."""
        self._closed = True
        for queue in self._listeners:
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
