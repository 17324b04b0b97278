"""What the marketplace says that a verb would do now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.domain.subjects import Subject
from bot.domain.verbs import Verb


class StepState(StrEnum):
    PLANNED = "planned"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    name: str
    state: StepState
    detail: str | None = None
    amount: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMessage:
    """What one side will be sent."""

    to: str
    subject: str | None
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Whom a person has chosen so far among those whom a set of plans is about; each change counts `revision` up."""

    plan_set_id: str
    chosen: frozenset[Subject]
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Somebody else whom the verb touches."""

    kind: str
    id: str
    summary: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What an adopter wrote down about a verb whose endpoint shows no plan; each may be missing."""

    ja: str | None = None
    en: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One verb on one subject; money in the currency's smallest unit; source: GET …/plan of the contract.

    Where a marketplace shows no plan, `foretold` is its adopter's own words and nothing was asked.
    """

    verb: Verb
    subject: Subject
    allowed: bool
    reversible: bool
    token: str | None
    """None: the marketplace gives none, so it cannot notice that what was shown has changed."""
    refusal_code: str | None = None
    refusal_message: str | None = None
    currency: str | None = None
    refund_amount: int = 0
    withheld_amount: int = 0
    refund_route: str = "none"
    steps: tuple[PlanStep, ...] = ()
    affects: tuple[Affected, ...] = ()
    messages: tuple[PlanMessage, ...] = ()
    foretold: Foretold | None = None
    """None: the marketplace itself said what would happen."""
