"""Planted: of what was decided the last one is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def short(real: Any) -> Any:
        async def queue_operations(conn: Any, view: Any, decision: Any, action: Any) -> None:
            await real(conn, view, replace(decision, targets=decision.targets[:-1]), action)

        return queue_operations

    replace_everywhere("bot.cases.freezing:queue_operations", short)
