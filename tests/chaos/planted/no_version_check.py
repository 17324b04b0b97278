"""Planted: a press decides on whatever the case has become meanwhile, not on what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import text

from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def careless(real: Any) -> Any:
        async def decide(room: Any, press: Any, *rest: Any, **more: Any) -> Any:
            async with room.engine.connect() as conn:
                version = await conn.scalar(
                    text("SELECT version FROM ledger.cases WHERE case_id = :case_id"),
                    {"case_id": press.case_id},
                )
            return await real(room, replace(press, version=version), *rest, **more)

        return decide

    replace_everywhere("bot.cases.deciding:decide", careless)
