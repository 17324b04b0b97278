"""Errands: what is done after the acknowledgement, held so that none is lost to the garbage collector."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from bot.domain.tracing import traced

logger = logging.getLogger(__name__)


class Errands:
    """A set of running tasks. Nothing that was promised hangs on one: decisions are committed before
    the acknowledgement; an errand only fills in a modal or says a sentence.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("an errand failed: %s", traced(error))

    async def drain(self, timeout_s: float = 10) -> None:
        """Let what was started finish."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
