"""Planted: what is carried out is all that the case has by then, not what was decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.cases.targets import targets_of
from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def grown(real: Any) -> Any:
        async def queue_operations(conn: Any, view: Any, decision: Any, action: Any) -> None:
            everything = targets_of(action, view)
            await real(conn, view, replace(decision, targets=everything), action)

        return queue_operations

    replace_everywhere("bot.cases.freezing:queue_operations", grown)
