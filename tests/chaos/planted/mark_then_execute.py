"""Planted: an operation counts as done before it is sent."""

from __future__ import annotations

from typing import Any

from bot.cases.recording import Result, record
from bot.domain.cases import OperationState
from bot.ledger import operations
from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def rash(real: Any) -> Any:
        async def _send(executor: Any, operation: Any, *, resolved_by: str) -> None:
            async with executor._room.engine.begin() as conn:
                if not await operations.start_attempt(conn, operation.claim, "send"):
                    return
            done = Result(state=OperationState.SUCCEEDED, resolved_by=resolved_by)
            await record(executor._room, operation, "send", done)
            await executor._api.send(
                operation.verb,
                operation.subject,
                key=operation.operation_id,
                body=operation.body,
                timeout_s=3.0,
            )

        return _send

    replace_everywhere("bot.executor:Executor._send", rash)
