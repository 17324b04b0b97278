"""Planted: one person is always enough, however much money it moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.cases.policy import Permitted
from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def alone(real: Any) -> Any:
        def judge_request(*args: Any, **more: Any) -> Any:
            judged = real(*args, **more)
            return replace(judged, slots=()) if isinstance(judged, Permitted) else judged

        return judge_request

    replace_everywhere("bot.cases.policy:judge_request", alone)
