"""Faults of the demo marketplace that can be switched on, by verb, a number of times or by chance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    ANSWER_LOST = "answer_lost"
    """The verb is carried out, then the connection is closed without an answer."""
    ERROR_BEFORE = "error_before"
    """500, and nothing was done."""
    ERROR_AFTER = "error_after"
    """500, though the verb was carried out."""
    UNAVAILABLE = "unavailable"
    """503 with Retry-After, and nothing was done."""
    TOO_MANY = "too_many"
    """429 with Retry-After, and nothing was done."""
    SLOW = "slow"
    """The verb is carried out after `seconds`, then answered."""
    LATE = "late"
    """The connection is closed at once, and the verb carried out after `seconds`."""
    PENDING = "pending"
    """202; the verb is carried out after `seconds` of the market's time, or when told to."""
    STEP_FAILS = "step_fails"
    """The last step fails: partly_succeeded, until it is retried."""


OF_THE_CONNECTION = frozenset(
    {
        Fault.ANSWER_LOST,
        Fault.ERROR_BEFORE,
        Fault.ERROR_AFTER,
        Fault.UNAVAILABLE,
        Fault.TOO_MANY,
        Fault.LATE,
    }
)
OF_THE_EXECUTION = frozenset({Fault.SLOW, Fault.PENDING, Fault.STEP_FAILS})


@dataclass(slots=True, kw_only=True)
class Setting:
    """One fault that is on."""

    fault: Fault
    verb: str | None = None
    times: int | None = None
    probability: float = 1.0
    seconds: float | None = 1.0
    """None: for ever, until told otherwise; pending operations only."""


@dataclass(slots=True)
class Faults:
    """The faults that are on; the seed makes chance repeatable."""

    seed: int = 0
    settings: list[Setting] = field(default_factory=list)
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._random.seed(self.seed)

    def switch_on(
        self,
        fault: Fault,
        *,
        verb: str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        seconds: float | None = 1.0,
    ) -> None:
        """Add a fault for one verb or all, for so many requests or until cleared."""
        self.settings.append(
            Setting(fault=fault, verb=verb, times=times, probability=probability, seconds=seconds)
        )

    def clear(self) -> None:
        self.settings.clear()

    def strike(self, verb: str, among: frozenset[Fault]) -> Setting | None:
        """The fault of these kinds that hits this request, if one does; a counted one is used up."""
        for setting in self.settings:
            if setting.fault not in among or setting.verb not in {None, verb} or setting.times == 0:
                continue
            if self._random.random() >= setting.probability:
                continue
            if setting.times is not None:
                setting.times -= 1
            return setting
        return None
