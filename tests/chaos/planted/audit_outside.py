"""Planted: the log is written a moment after the transaction of what it describes."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.chaos.planted import replace_everywhere

_RUNNING: set[asyncio.Task[None]] = set()


def plant() -> None:
    def detached(real: Any) -> Any:
        async def append(conn: Any, entries: Any) -> None:
            told = list(entries)
            engine = conn.engine

            async def later() -> None:
                await asyncio.sleep(0.5)
                async with AsyncEngine(engine).begin() as other:
                    await real(other, told)

            task = asyncio.create_task(later())
            _RUNNING.add(task)
            task.add_done_callback(_RUNNING.discard)

        return append

    replace_everywhere("bot.ledger.audit:append", detached)
