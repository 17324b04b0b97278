"""Planted: an answer that was lost counts as a failure."""

from __future__ import annotations

from typing import Any

from bot.cases.recording import Result
from bot.domain.cases import OperationState
from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def sure(real: Any) -> Any:
        def result_of_send(outcome: Any, **more: Any) -> Any:
            result = real(outcome, **more)
            if result.state is OperationState.UNKNOWN:
                return Result(state=OperationState.FAILED, code="timeout", resolved_by="answer")
            return result

        return result_of_send

    replace_everywhere("bot.executor:result_of_send", sure)
