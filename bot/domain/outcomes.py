"""What came back from the marketplace after a verb was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bot.domain.plans import PlanStep


class OutcomeKind(StrEnum):
    SUCCEEDED = "succeeded"
    PARTLY_SUCCEEDED = "partly_succeeded"
    PENDING = "pending"
    """Accepted; the outcome comes by look-up."""
    REFUSED = "refused"
    """Definitely not executed: 409 with a code, 404, 422, or a stored `failed`."""
    NOT_DONE = "not_done"
    """429 or 503: nothing was done, try again after `retry_after_s` under the same key."""
    IN_PROGRESS = "in_progress"
    """409 in_progress: the first request under this key is still under way."""
    UNKNOWN = "unknown"
    """Timeout, broken connection, any other 5xx, an unreadable answer: it may have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One answer of the marketplace's admin API, or the lack of one."""

    kind: OutcomeKind
    code: str | None = None
    message: str | None = None
    retry_after_s: float | None = None
    steps: tuple[PlanStep, ...] = ()
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
