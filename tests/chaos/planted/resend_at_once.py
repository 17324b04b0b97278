"""Planted: what was sent and not answered is sent again at once, whatever its class."""

from __future__ import annotations

from typing import Any

from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def impatient(_: Any) -> Any:
        async def _carry_out(executor: Any, operation: Any, _capabilities: Any) -> None:
            await executor._send(operation, resolved_by="resend")

        return _carry_out

    replace_everywhere("bot.executor:Executor._carry_out", impatient)
