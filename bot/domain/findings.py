"""What a detection returned: findings and the evidence that a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.subjects import Subject

LEDGER_DRIFT = "ledger_drift"
"""The name under which the bot itself reports what ledger and marketplace disagree on."""


class Severity(StrEnum):
    """P1: act within 15 minutes; P2: today; P3: digest only."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Mode(StrEnum):
    """Of a detection: shadow, review or automatic. A finding may also be one of the other two."""

    SHADOW = "shadow"
    BASELINE = "baseline"
    """Was there before the detection's first run: stored, and nobody is bothered."""
    CONTROL = "control"
    """Kept silent to learn what would have become of it."""
    REVIEW = "review"
    AUTOMATIC = "automatic"


POSTED = frozenset({Mode.REVIEW, Mode.AUTOMATIC})
"""What people see; everything else is stored alone."""


class EvidenceType(StrEnum):
    TEXT = "text"
    MONEY = "money"
    TIME = "time"
    COUNT = "count"


class Mask(StrEnum):
    NONE = "none"
    NAME = "name"
    EMAIL = "email"
    IP = "ip"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One value that speaks for a suspicion, masked already; money is in minor units, time is ISO 8601."""

    name: str
    label_ja: str
    label_en: str
    type: EvidenceType
    value: str | int
    currency: str | None = None
    value_ja: str | None = None
    """What to say for the value in this language, where a detection has words for its codes."""
    value_en: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row that a detection returned."""

    detection: str
    detection_hash: str
    title_ja: str
    title_en: str
    severity: Severity
    mode: Mode
    subject: Subject
    window_key: str
    occurred_at: datetime
    amount: int | None
    currency: str | None
    account_ids: tuple[str, ...] = ()
    order_ids: tuple[str, ...] = ()
    listing_ids: tuple[str, ...] = ()
    post_ids: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    actions: tuple[str, ...] = ()
    """Names of the actions that the detection proposes, the reversible one first."""
    finding_id: int | None = None
