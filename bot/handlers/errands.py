"""Errands: what is done after the acknowledgement, held so that none is lost to the garbage collector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bot.domain.tracing import traced

logger = logging.getLogger(__name__)


class _HeldBack:
    """The errands of one request, until it is answered."""

    def __init__(self) -> None:
        self.answered = False
        self.waiting: list[tuple[Errands, Coroutine[Any, Any, None]]] = []


_HELD_BACK: ContextVar[_HeldBack | None] = ContextVar("held_back", default=None)


@contextmanager
def held_back() -> Iterator[None]:
    """What is started in here begins when this ends, so that Slack has its answer first."""
    held = _HeldBack()
    token = _HELD_BACK.set(held)
    try:
        yield
    finally:
        _HELD_BACK.reset(token)
        held.answered = True
        for errands, errand in held.waiting:
            errands.start(errand)


class Errands:
    """A set of running tasks. Nothing that was promised hangs on one: decisions are committed before
    the acknowledgement; an errand only fills in a modal or says a sentence.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, errand: Coroutine[Any, Any, None]) -> None:
        held = _HELD_BACK.get()
        if held is not None and not held.answered:
            held.waiting.append((self, errand))
            return
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("an errand failed: %s", traced(error))

    async def drain(self, timeout_s: float = 10) -> None:
        """Let what was started finish, and what that starts."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
        except TimeoutError:
            logger.warning("%d errands were not finished in time", len(self._tasks))
