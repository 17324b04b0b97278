"""What people can do about a case, one file an action, found by folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from bot.domain.actions import Action

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def registry() -> Mapping[str, Action]:
    """Every action by name.

    Raises:
        TypeError: a module of this folder has no `ACTION`, or one whose name is not the module's.
    """
    found: dict[str, Action] = {}
    for module_info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        action = getattr(module, "ACTION", None)
        if not isinstance(action, Action) or action.name != module_info.name:
            raise TypeError(
                f"bot/actions/{module_info.name}.py must define ACTION = Action(name={module_info.name!r}, …)"
            )
        found[action.name] = action
    return MappingProxyType(found)
