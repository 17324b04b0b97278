"""The team's calendar: when somebody is there, and how long so many business hours are; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONGEST_SEARCH = timedelta(days=400)
Hours = tuple[time, time]
"""From and until, by the wall clock of the zone; an end of 00:00 is the end of the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Staffed hours of each weekday (0 is Monday); without any, somebody is always there."""

    zone: ZoneInfo
    hours: Mapping[int, Hours] = field(default_factory=dict)
    holidays: frozenset[date] = frozenset()

    def is_staffed(self, at: datetime) -> bool:
        """Whether somebody is there at this moment."""
        if not self.hours:
            return True
        return any(start <= at < end for start, end in self._shifts(at, days=1))

    def add_hours(self, at: datetime, hours: float) -> datetime:
        """The moment at which so many business hours have passed since `at`, in UTC.

        Raises:
            ValueError: there are not so many within a year.
        """
        left = timedelta(hours=hours)
        if not self.hours:
            return (at + left).astimezone(UTC)
        for start, end in self._shifts(at):
            begin = max(start, at)
            if begin >= end:
                continue
            if end - begin >= left:
                return (begin + left).astimezone(UTC)
            left -= end - begin
        raise ValueError(f"there are no {hours:g} business hours within a year")

    def next_opening(self, at: datetime) -> datetime:
        """When somebody is there again, in UTC; `at` itself if somebody is.

        Raises:
            ValueError: nobody is, within a year.
        """
        if self.is_staffed(at):
            return at.astimezone(UTC)
        for start, _ in self._shifts(at):
            if start >= at:
                return start.astimezone(UTC)
        raise ValueError("nobody is there within a year")

    def _shifts(
        self, at: datetime, *, days: int = LONGEST_SEARCH.days
    ) -> Iterator[tuple[datetime, datetime]]:
        """The staffed spans from the day of `at` on, as moments."""
        first = at.astimezone(self.zone).date()
        for number in range(days):
            day = first + timedelta(days=number)
            hours = self.hours.get(day.weekday())
            if hours is None or day in self.holidays:
                continue
            start, end = hours
            last = day + timedelta(days=1) if end == time(0) else day
            # As moments: on a day on which the clocks change it has as many hours as really pass.
            yield self._moment(day, start), self._moment(last, end)

    def _moment(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, self.zone).astimezone(UTC)
