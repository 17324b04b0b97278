"""The log of what went between the workspace and the app: bounded, and without secrets."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.playground.workspace.state import Json

KEPT_ENTRIES = 500
MAX_SHOWN_CHARS = 60_000
HIDDEN = "…"
_SECRET_NAMES = frozenset(
    {
        "token",
        "authorization",
        "x-slack-signature",
        "cookie",
        "client_secret",
        "signing_secret",
        "ticket",
    }
)
_SECRET_VALUES = re.compile(r"xox[a-z]-[\w-]+|xapp-[\w-]+|v0=[0-9a-f]{64}|(?<=ticket=)[\w-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer; direction "in": the app called us, "out": we called the app."""

    n: int
    at: float
    direction: str
    method: str
    status: int | None
    ok: bool
    error: str | None
    ms: int
    request: object
    response: object

    def as_json(self) -> Json:
        return {
            name: getattr(self, name)
            for name in (
                "n",
                "at",
                "direction",
                "method",
                "status",
                "ok",
                "error",
                "ms",
                "request",
                "response",
            )
        }


class Traffic:
    """The newest exchanges; whoever listens is told of each new one."""

    def __init__(self, now: Callable[[], float], told: Callable[[int], None]) -> None:
        self._now = now
        self._told = told
        self._n = 0
        self._entries: deque[Exchange] = deque(maxlen=KEPT_ENTRIES)

    def note(
        self,
        direction: str,
        method: str,
        *,
        request: object,
        response: object,
        status: int | None,
        ok: bool,
        error: str | None,
        ms: int,
    ) -> None:
        self._n += 1
        self._entries.append(
            Exchange(
                n=self._n,
                at=self._now(),
                direction=direction,
                method=method,
                status=status,
                ok=ok,
                error=error,
                ms=ms,
                request=_shown(request),
                response=_shown(response),
            )
        )
        self._told(self._n)

    def after(self, n: int = 0) -> list[Exchange]:
        """Oldest first."""
        return [entry for entry in self._entries if entry.n > n]

    def of(self, method: str) -> list[Exchange]:
        """The exchanges of one method, for tests."""
        return [entry for entry in self._entries if entry.method == method]


def redacted(value: object) -> object:
    """A copy with every token and signature hidden."""
    if isinstance(value, Mapping):
        return {
            str(name): HIDDEN if str(name).lower() in _SECRET_NAMES and inner else redacted(inner)
            for name, inner in value.items()
        }
    if isinstance(value, str):
        return _SECRET_VALUES.sub(HIDDEN, value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [redacted(inner) for inner in value]
    return value


def _shown(value: object) -> object:
    hidden = redacted(value)
    text = json.dumps(hidden, ensure_ascii=False, default=str)
    # Through JSON: a copy, so that a later change of a message does not change the log.
    return json.loads(text) if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + HIDDEN
