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
    KEY_IGNORED = "key_ignored"
    """A key that was used before is not looked at: the same request acts again."""
    KEY_NOT_NEEDED = "key_not_needed"
    """A request without a key is carried out all the same."""
    MISMATCH_ACCEPTED = "mismatch_accepted"
    """A key with another body gets the first outcome, as if nothing were wrong."""
    OUTCOME_FORGOTTEN = "outcome_forgotten"
    """A look-up says that nothing was received under the key."""
    REFUSAL_FORGOTTEN = "refusal_forgotten"
    """A refusal is not kept: the same key is judged anew."""
    TOKEN_IGNORED = "token_ignored"  # noqa: S105 - the name of a fault
    """A plan token is not compared with what would be done now."""
    WITHHOLD_IGNORED = "withhold_ignored"
    """A cancellation gives everything back, whatever its refund policy says."""
    ANSWER_MADE_UP = "answer_made_up"
    """It says that it was done, and does nothing."""
    ANYBODY_LET_IN = "anybody_let_in"
    """The bearer token is not looked at."""


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
DISOBEDIENCE = frozenset(Fault) - OF_THE_CONNECTION - OF_THE_EXECUTION
"""What a marketplace does against the contract; `mimawari contract test` must find each."""


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

    def disobeys(self, fault: Fault, verb: str) -> bool:
        """Whether the contract is broken in this way now."""
        return self.strike(verb, frozenset({fault})) is not None

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
