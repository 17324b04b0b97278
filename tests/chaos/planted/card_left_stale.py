"""Planted: a card is not drawn again when its case moves."""

from __future__ import annotations

from typing import Any

from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def lazy(_: Any) -> Any:
        async def mark_card_stale(_conn: Any, _case_id: int) -> None:
            return None

        return mark_card_stale

    replace_everywhere("bot.ledger.cases:mark_card_stale", lazy)
