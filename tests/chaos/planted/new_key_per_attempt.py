"""Planted: each attempt sends a key of its own, so that the marketplace cannot know it again."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def forgetful(real: Any) -> Any:
        async def send(api: Any, verb: Any, subject: Any, *, key: str, **more: Any) -> Any:
            return await real(api, verb, subject, key=f"{key}-{uuid4().hex[:8]}", **more)

        return send

    replace_everywhere("bot.market.api:MarketApi.send", forgetful)
