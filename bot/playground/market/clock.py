"""The clock of a played marketplace: runs at a chosen speed, never ahead of what is visible."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.domain.errors import SayableError

LAST_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)
FASTEST = 1e9


class PlayClock:
    """Market time = start + speed × time elapsed.

    A *driven* clock tells the time up to which a player has made everything visible: so whoever
    reads the market at `now()` has seen all that happened by then, and `changed_since` the last
    reading misses nothing.
    """

    def __init__(
        self,
        start: datetime,
        speed: float,
        *,
        driven: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if start.tzinfo is None:
            raise ValueError("A market time has a zone")
        self._monotonic = monotonic
        self._speed = check_speed(speed)
        self._base = start
        self._since = monotonic()
        self._paused = False
        self._driven = driven
        self._visible = start

    def now(self) -> datetime:
        """The market's time."""
        return self._visible if self._driven else self.target()

    def target(self) -> datetime:
        """The time that the clock is heading for: what a player should have made visible by now."""
        if self._paused:
            return self._base
        try:
            elapsed = timedelta(seconds=self._speed * (self._monotonic() - self._since))
            return min(self._base + elapsed, LAST_MOMENT)
        except OverflowError:
            return LAST_MOMENT

    def show(self, until: datetime) -> None:
        """A player says: everything up to `until` is visible. Time never runs back."""
        self._visible = max(self._visible, until)

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self) -> None:
        """Stand still."""
        self._rebase(self.target())
        self._paused = True

    def resume(self) -> None:
        """Go on from where the clock stands."""
        if self._paused:
            self._rebase(self._base)
            self._paused = False

    def change_speed(self, speed: float) -> None:
        """Go on from here at another speed."""
        speed = check_speed(speed)
        self._rebase(self.target())
        self._speed = speed

    def go_on_from(self, moment: datetime, speed: float) -> None:
        """Stand at `moment` and go on at `speed`; never back behind what is visible."""
        self._speed = check_speed(speed)
        self._rebase(max(moment, self._visible))

    def advance(self, by: timedelta) -> None:
        """Jump ahead; for tests that need not wait."""
        self._rebase(self.target() + by)

    def _rebase(self, moment: datetime) -> None:
        self._base = moment
        self._since = self._monotonic()


def check_speed(speed: float) -> float:
    """The speed, if a clock can run at it.

    Raises:
        SayableError: it cannot.
    """
    if not math.isfinite(speed) or not 0 < speed <= FASTEST:
        raise SayableError(
            f"The speed must be a number above 0 and at most {FASTEST:,.0f} "
            "(60 plays one market hour a minute)."
        )
    return speed
