"""Planted: text of users goes to Slack as it is."""

from __future__ import annotations

from typing import Any

from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def raw(_: Any) -> Any:
        def escape(value: str, limit: int = 300) -> str:
            return value[:limit]

        return escape

    replace_everywhere("bot.domain.text:escape", raw)
    replace_everywhere("bot.domain.text:user_text", raw)
