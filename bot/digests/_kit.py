"""What a section of the digest is, and what it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.domain.digests import Part, Sentence
from bot.ledger.digests import Day, KeptHead
from bot.market.reader import MarketReader

WEEK = 7
LONGEST_HOLD = timedelta(hours=24)
"""How long an order may be held before somebody must decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A day, and where its answer stands."""

    conn: AsyncConnection
    """In a snapshot: all sections see the same moment of the ledger."""
    reader: MarketReader
    days: Sequence[Day]
    """The digest day is the last; before it all days since the first of the month before."""
    now: datetime
    """By the market's clock."""
    wall: datetime
    """By the database's clock."""
    present: bool
    first_day: date | None
    """The day of the first case: before it there is nothing to compare with."""
    zone: tzinfo
    head: tuple[int, str]
    """Number and hash of the last audit entry."""
    kept: KeptHead | None
    """The same as the last digest before told it."""

    @property
    def day(self) -> Day:
        return self.days[-1]

    @property
    def before(self) -> date | None:
        """The day before, if it can be compared with."""
        day = self.days[-2].day
        return day if self.first_day is not None and self.first_day <= day else None

    @property
    def week(self) -> list[date]:
        """The days of the week before that can be compared with."""
        week = [day.day for day in self.days[-1 - WEEK : -1]]
        return [day for day in week if self.first_day is not None and self.first_day <= day]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section: where it stands, its heading, and how it is found out."""

    name: str
    order: int
    title: Sentence | None
    """None for one that brings only figures, or small print."""
    read: Callable[[Ask], Awaitable[Part]]
    present_only: bool = False
    """It tells how things stand now, which is not known of a day that is long over."""


def closing_actions() -> list[str]:
    """The actions that end a case, and so judge it."""
    return [action.name for action in registry().values() if action.closes_case]
