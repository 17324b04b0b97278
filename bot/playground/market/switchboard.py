"""Switches faults and classes of the demo marketplace over HTTP, for people and for scripts."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bot.playground.market.drafts import KINDS
from bot.playground.market.faults import Fault, Setting

if TYPE_CHECKING:
    from bot.playground.market.server import Marketplace

_CLASSES = frozenset({"key", "lookup", "none"})
_OFF = "off"
_MAX_SECONDS = 24 * 3600


class SwitchError(Exception):
    """A switch that is not one."""


def add_routes(app: web.Application, marketplace: Marketplace) -> None:
    """`/playground/faults`: GET tells what is on, POST changes it.

    A POST holds any of: `faults`, the whole new list; `classes`, verb to key, lookup, none or off;
    `complete`, keys of pending operations to carry out now.
    """
    board = Switchboard(marketplace)
    app.router.add_get("/playground/faults", board.show)
    app.router.add_post("/playground/faults", board.switch)


class Switchboard:
    """All or nothing: a request with one fault in it changes nothing."""

    def __init__(self, marketplace: Marketplace) -> None:
        self._market = marketplace

    async def show(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "faults": [_setting_json(one) for one in self._market.faults.settings],
                "classes": self._market.classes,
            }
        )

    async def switch(self, request: web.Request) -> web.Response:
        # A form of another site cannot send this type without the browser asking us first.
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="Send application/json.")
        try:
            wanted = _object(
                json.loads(await request.read()), frozenset({"faults", "classes", "complete"})
            )
            settings = [_setting(one) for one in _list(wanted.get("faults", []))]
            classes = _classes(wanted.get("classes", {}))
            keys = _keys(wanted.get("complete", []))
        except (SwitchError, ValueError, RecursionError) as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from error
        if "faults" in wanted:
            self._market.faults.settings[:] = settings
        for verb, declared in classes.items():
            if declared == _OFF:
                self._market.classes.pop(verb, None)
            else:
                self._market.classes[verb] = declared
        for key in keys:
            await self._market.complete(key)
        return await self.show(request)


def _setting_json(setting: Setting) -> dict[str, Any]:
    return {
        "fault": setting.fault.value,
        "verb": setting.verb,
        "times": setting.times,
        "probability": setting.probability,
        "seconds": setting.seconds,
    }


def _setting(value: Any) -> Setting:
    entry = _object(value, frozenset({"fault", "verb", "times", "probability", "seconds"}))
    try:
        fault = Fault(str(entry.get("fault")))
    except ValueError:
        raise SwitchError(f"`fault` must be one of {', '.join(Fault)}.") from None
    verb, times, seconds = entry.get("verb"), entry.get("times"), entry.get("seconds", 1.0)
    if verb is not None and verb not in KINDS:
        raise SwitchError("`verb` must be a verb of the contract, or null for all.")
    if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 0):
        raise SwitchError("`times` must be a whole number, or null for always.")
    if seconds is None and fault is not Fault.PENDING:
        raise SwitchError("Only `pending` may wait for ever: `seconds` must be a number.")
    return Setting(
        fault=fault,
        verb=verb,
        times=times,
        probability=_number(entry.get("probability", 1.0), 1, "probability"),
        seconds=None if seconds is None else _number(seconds, _MAX_SECONDS, "seconds"),
    )


def _classes(value: Any) -> dict[str, str]:
    classes = _object(value, frozenset(KINDS))
    for verb, declared in classes.items():
        if declared not in _CLASSES | {_OFF}:
            raise SwitchError(f"The class of {verb} must be key, lookup, none or off.")
    return classes


def _keys(value: Any) -> list[str]:
    keys = _list(value)
    if not all(isinstance(key, str) and key.isascii() and key.isprintable() for key in keys):
        raise SwitchError("`complete` must be a list of keys.")
    return keys


def _object(value: Any, names: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not names.issuperset(value):
        raise SwitchError(f"Expected an object with {', '.join(sorted(names))}.")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise SwitchError("Expected a list.")
    return value


def _number(value: Any, most: float, name: str) -> float:
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or not 0 <= value <= most
    ):
        raise SwitchError(f"`{name}` must be a number from 0 to {most}.")
    return float(value)
