"""Bugs of the kind that such bots really had, one a module; each must be caught by the auditor.

A module has `plant()`, called in every bot process before it starts, and may have `SQL`, run by the ledger's owner
before: where the database itself would forbid the bug, its guard is taken away with it, so that what is proven is
the auditor and not the guard.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

NAMES = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
)


def replace_everywhere(place: str, make: Callable[[Any], Any]) -> None:
    """Put `make(original)` in the place of a function or method (`module:name`), wherever it was imported to."""
    importlib.import_module("bot.app")
    module_name, _, path = place.partition(":")
    holder: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for one in outer:
        holder = getattr(holder, one)
    original = getattr(holder, name)
    planted = make(original)
    setattr(holder, name, planted)
    if outer:
        return
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("bot.") and (
            getattr(module, name, None) is original
        ):
            setattr(module, name, planted)


def caps_for(name: str | None) -> list[dict[str, Any]]:
    """Caps that this bug needs in order to show within a short run."""
    module = importlib.import_module(f"{__name__}.{name}") if name else None
    return list(getattr(module, "CAPS", ()))


async def take_guards_away(owner_dsn: str, name: str | None) -> None:
    """Have the ledger's owner remove the guard that would forbid this bug, where there is one."""
    sql = getattr(importlib.import_module(f"{__name__}.{name}"), "SQL", None) if name else None
    if sql is None:
        return
    conn = await asyncpg.connect(owner_dsn)
    try:
        await conn.execute(sql)
    finally:
        await conn.close()
