"""The market's clock: what `:now` means to detections, cards and digests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the market's time, always with a zone."""

    def now(self) -> datetime: ...


class WallClock:
    """The clock of a live marketplace."""

    def now(self) -> datetime:
        return datetime.now(UTC)
