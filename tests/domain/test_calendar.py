from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.calendar import Calendar

TOKYO = ZoneInfo("Asia/Tokyo")
WEEKDAYS = dict.fromkeys(range(5), (time(9), time(18)))
OFFICE = Calendar(zone=TOKYO, hours=WEEKDAYS, holidays=frozenset({date(2026, 11, 23)}))
ALWAYS = Calendar(zone=TOKYO)


def jst(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("at", "staffed"),
    [
        (jst(20, 9), True),  # a Friday
        (jst(20, 17, 59), True),
        (jst(20, 18), False),
        (jst(20, 8, 59), False),
        (jst(21, 12), False),  # Saturday
        (jst(23, 12), False),  # a holiday, Monday
        (jst(24, 12), True),
    ],
)
def test_somebody_is_there_in_business_hours_alone(at: datetime, staffed: bool) -> None:
    assert OFFICE.is_staffed(at) is staffed
    assert ALWAYS.is_staffed(at)


@pytest.mark.parametrize(
    ("at", "hours", "until"),
    [
        (jst(19, 9), 8, jst(19, 17)),
        (jst(19, 9), 9, jst(19, 18)),
        (jst(19, 17), 8, jst(20, 16)),
        (jst(19, 20), 1, jst(20, 10)),
        # Over a weekend and the holiday after it.
        (jst(20, 17), 8, jst(24, 16)),
        (jst(21, 3), 0.5, jst(24, 9, 30)),
        (jst(19, 9), 24, jst(24, 15)),
    ],
)
def test_business_hours_pass_only_while_somebody_is_there(
    at: datetime, hours: float, until: datetime
) -> None:
    assert OFFICE.add_hours(at, hours) == until
    assert OFFICE.add_hours(at, hours).tzinfo is UTC


def test_the_next_opening_is_now_while_somebody_is_there() -> None:
    assert OFFICE.next_opening(jst(20, 12)) == jst(20, 12)
    assert OFFICE.next_opening(jst(20, 18)) == jst(24, 9)
    assert OFFICE.next_opening(jst(20, 7)) == jst(20, 9)


def test_without_hours_every_hour_counts() -> None:
    assert ALWAYS.add_hours(jst(21, 3), 8) == jst(21, 11)
    assert ALWAYS.next_opening(jst(21, 3)) == jst(21, 3)


def test_a_shift_can_last_until_midnight() -> None:
    late = Calendar(zone=TOKYO, hours={4: (time(13), time(0))})
    assert late.is_staffed(jst(20, 23, 59))
    assert not late.is_staffed(jst(21, 0))
    assert late.add_hours(jst(20, 13), 11) == jst(21, 0)


def test_on_the_day_when_clocks_change_the_hours_that_really_pass_count() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    sunday = Calendar(zone=berlin, hours={6: (time(0), time(12))})
    # 2026-03-29: 02:00 becomes 03:00, so that from midnight to noon are 11 hours.
    begin = datetime(2026, 3, 29, 0, 0, tzinfo=berlin)
    assert sunday.add_hours(begin, 11) == datetime(2026, 3, 29, 12, 0, tzinfo=berlin)


def test_a_calendar_that_never_opens_says_so() -> None:
    closed = Calendar(
        zone=TOKYO,
        hours={0: (time(9), time(10))},
        holidays=frozenset(date(2026, 1, 1) + timedelta(days=n) for n in range(900)),
    )
    with pytest.raises(ValueError, match="within a year"):
        closed.add_hours(jst(20, 9), 1)
    with pytest.raises(ValueError, match="within a year"):
        closed.next_opening(jst(20, 9))


@given(
    # Hypothesis wants bounds without a zone.
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.floats(0.01, 60),
    st.floats(0.01, 60),
)
def test_hours_add_up(at: datetime, first: float, second: float) -> None:
    once = OFFICE.add_hours(at, first + second)
    twice = OFFICE.add_hours(OFFICE.add_hours(at, first), second)
    assert abs(once - twice) < timedelta(seconds=1) or {
        OFFICE.is_staffed(once),
        OFFICE.is_staffed(twice),
    } == {False, True}
    assert once >= at + timedelta(hours=first + second) - timedelta(seconds=1)
