"""What a detection is, as frozen values, and what can be wrong with its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bot.domain.findings import EvidenceType, Mask, Mode, Severity
from bot.domain.subjects import SubjectKind
from bot.ledger.views import VIEWS
from bot.market.contract import CONTRACT, Relations
from bot.market.selecting import Limits

MARKET, LEDGER = "market", "ledger"
"""The sources: the marketplace's relations, or the views of our own ledger."""
RELATIONS: Mapping[str, Relations] = {MARKET: CONTRACT, LEDGER: VIEWS}
"""What the detections of each source may name."""

BUILT_IN = Path(__file__).parent / "rules"
"""The folder of the detections that come with us."""

ParameterValue = bool | int | float | str | timedelta | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One thing said in both languages."""

    ja: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A threshold or other setting of a detection."""

    name: str
    default: ParameterValue
    description: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceColumn:
    """One column that a person reads; `words` says codes that stand in it in both languages."""

    name: str
    label: Text
    type: EvidenceType
    mask: Mask
    words: Mapping[str, Text] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimits:
    """What one run of a detection may cost, where it says so itself."""

    seconds: float | None = None
    rows: int | None = None
    bytes: int | None = None

    def within(self, ceiling: Limits) -> Limits:
        """Its own limits, none above the ceiling."""
        return Limits(
            seconds=min(self.seconds or ceiling.seconds, ceiling.seconds),
            rows=min(self.rows or ceiling.rows, ceiling.rows),
            bytes=min(self.bytes or ceiling.bytes, ceiling.bytes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A query with positional parameters: `names[0]` is what $1 stands for."""

    sql: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One file that finds suspicious subjects."""

    name: str
    path: Path
    hash: str
    """SHA-256 of the file, in hex."""
    title: Text
    source: str
    subject: SubjectKind
    severity: Severity
    owner: str
    every: timedelta
    window: timedelta
    overlap: timedelta
    """How far before the last good tick a run looks again, for rows that arrive late."""
    mode: Mode
    """Where it starts; the ledger knows where it is."""
    baseline: timedelta
    """What occurred longer before its very first run is stored without bothering anybody."""
    control_percent: int
    """How many of a hundred subjects are kept silent, to learn what becomes of those."""
    parameters: tuple[Parameter, ...]
    actions: tuple[str, ...]
    evidence: tuple[EvidenceColumn, ...]
    runbook: tuple[Text, ...]
    false_positives: tuple[Text, ...]
    daily_cap: int
    limits: OwnLimits
    statement: Statement
    needs: Mapping[str, frozenset[str]]
    """The contract's relations, and their columns, that the query reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a file and what to do about it."""

    path: Path
    line: int
    message: str

    @property
    def sentence(self) -> str:
        """The problem as an editor can jump to it."""
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The detections that can run, and why the others cannot."""

    detections: tuple[Detection, ...]
    problems: tuple[Problem, ...]
