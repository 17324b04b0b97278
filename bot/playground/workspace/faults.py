"""Faults that can be switched on: how Slack misbehaves, for tests and for showing it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERY_METHOD = "*"


class FaultKind(StrEnum):
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    TIMEOUT = "timeout"
    """The connection stays open and nothing is answered."""
    RATELIMITED = "429"
    DROPPED = "dropped"
    """The connection breaks."""
    REFUSED = "refused"
    """HTTP 200 with `code` as Slack's error."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault; with `after` the method is carried out first, and only its answer is lost."""

    kind: FaultKind
    method: str = EVERY_METHOD
    after: bool = False
    times: int | None = None
    """How often; None: until it is cleared."""
    code: str = "internal_error"
    retry_after: int = 1
    struck: int = 0


class Faults:
    """The faults that are switched on, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Switch it on."""
        self._faults.append(fault)
        return fault

    def clear(self, fault: Fault | None = None) -> None:
        """Switch one off, or all of them."""
        self._faults = [f for f in self._faults if fault is not None and f is not fault]

    def strike(self, method: str) -> Fault | None:
        """The fault that this call meets, counted."""
        for fault in self._faults:
            if fault.method in (EVERY_METHOD, method):
                fault.struck += 1
                if fault.times is not None and fault.struck >= fault.times:
                    self.clear(fault)
                return fault
        return None

    @property
    def on(self) -> tuple[Fault, ...]:
        return tuple(self._faults)
