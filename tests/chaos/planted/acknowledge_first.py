"""Planted: Slack is told that all is well before anything is committed, and the work done afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.chaos.planted import replace_everywhere

_RUNNING: set[asyncio.Task[None]] = set()


def plant() -> None:
    def hasty(real: Any) -> Any:
        async def handle(desk: Any, payload: Any, ack: Any) -> None:
            async def nothing(*_: Any, **__: Any) -> None:
                return None

            async def later() -> None:
                await asyncio.sleep(1)
                await real(desk, payload, nothing)

            task = asyncio.create_task(later())
            _RUNNING.add(task)
            task.add_done_callback(_RUNNING.discard)
            await ack()

        return handle

    replace_everywhere("bot.handlers.submissions:on_submission", hasty)
