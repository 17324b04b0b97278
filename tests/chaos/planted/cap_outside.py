"""Planted: what the caps leave is read without a lock, and taken a moment later."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.chaos.planted import replace_everywhere

# So low that many people at once come to its edge within a short run.
CAPS = [{"per": "action", "window": "day", "actions": ["hold"], "count": 12}]


def plant() -> None:
    def unlocked(_: Any) -> Any:
        async def lock_caps(_conn: Any) -> None:
            return None

        return lock_caps

    def slow(real: Any) -> Any:
        async def leeway_for(*args: Any, **more: Any) -> Any:
            leeway = await real(*args, **more)
            await asyncio.sleep(2.0)
            return leeway

        return leeway_for

    replace_everywhere("bot.ledger.caps:lock_caps", unlocked)
    replace_everywhere("bot.cases.caps:leeway_for", slow)
