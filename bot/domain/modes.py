"""How far a detection is trusted, how its runs went, and what it was right about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.domain.findings import Mode


class Cause(StrEnum):
    """Why a detection has the mode that it has."""

    APPROVED = "approved"
    FILE_CHANGED = "file_changed"
    """It was automatic, and its file is another one now."""
    FLOOD = "flood"
    """It found more than its daily cap."""
    BAND = "band"
    """It found many times what it ever found in a day."""
    OVERTURNED = "overturned"
    """Too much of what it did by itself was judged not to be fraud."""


class Trouble(StrEnum):
    """What can be wrong with a detection that the channel hears of."""

    FAILING = "failing"
    SLOW = "slow"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeRow:
    """The mode of a detection as the ledger has it."""

    mode: Mode
    file_hash: str
    cause: Cause
    proposed_by: str
    approved_by: str | None
    since: datetime
    market_at: datetime
    """The same moment by the market's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a detection found in some days, in whatever mode, and what people judged of it."""

    days: int
    findings: int = 0
    fraud: int = 0
    good: int = 0

    @property
    def decided(self) -> int:
        return self.fraud + self.good

    @property
    def precision(self) -> float | None:
        """The share of what was decided that was fraud."""
        return self.fraud / self.decided if self.decided else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chargebacks:
    """Fraud that the bank took back, of orders that came since something was detected here at all."""

    count: int = 0
    missed: int = 0
    """Before which nothing had warned of their orders."""
    warned_by: Mapping[str, int] = field(default_factory=dict)
    """How many of them each detection had warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a detection."""

    took_ms: int
    rows: int = 0
    fresh: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Everything about a detection that `/cre rules` tells."""

    name: str
    title_ja: str
    title_en: str
    severity: str
    mode: Mode
    row: ModeRow | None
    week: Results
    precise: Results
    """Over the days that a precision is measured in."""
    last_good_at: datetime | None = None
    last_error: str | None = None
    troubles: tuple[Trouble, ...] = ()
    overturned: int = 0
    """Decisions on its cases that another person found to be wrong."""
    warned: int = 0
    """Chargebacks of whose orders it had warned before they came."""
    chargebacks: int | None = None
    """How many came; None: it is not about orders."""
