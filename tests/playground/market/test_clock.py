"""The clock of a played marketplace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.clock import Clock
from bot.domain.errors import SayableError
from bot.playground.market.clock import LAST_MOMENT, PlayClock

START = datetime(2024, 4, 1, 9, tzinfo=UTC)


class Stopwatch:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Stopwatch:
    return Stopwatch()


def test_market_time_runs_at_the_chosen_speed(watch: Stopwatch) -> None:
    clock: Clock = PlayClock(START, 60, monotonic=watch)

    watch.seconds += 2

    assert clock.now() == START + timedelta(minutes=2)


def test_a_paused_clock_stands_and_goes_on_where_it_stood(watch: Stopwatch) -> None:
    clock = PlayClock(START, 60, monotonic=watch)
    watch.seconds += 1
    clock.pause()
    watch.seconds += 1000
    assert clock.now() == START + timedelta(minutes=1)

    clock.resume()
    watch.seconds += 1

    assert clock.now() == START + timedelta(minutes=2)


def test_resuming_a_running_clock_changes_nothing(watch: Stopwatch) -> None:
    clock = PlayClock(START, 60, monotonic=watch)
    watch.seconds += 1

    clock.resume()

    assert clock.now() == START + timedelta(minutes=1)


def test_a_new_speed_counts_from_now_on(watch: Stopwatch) -> None:
    clock = PlayClock(START, 60, monotonic=watch)
    watch.seconds += 1
    clock.change_speed(1)
    watch.seconds += 5

    assert clock.now() == START + timedelta(minutes=1, seconds=5)


def test_a_driven_clock_tells_no_time_that_is_not_visible_yet(watch: Stopwatch) -> None:
    clock = PlayClock(START, 60, driven=True, monotonic=watch)
    watch.seconds += 10
    assert clock.now() == START
    assert clock.target() == START + timedelta(minutes=10)

    clock.show(START + timedelta(minutes=4))

    assert clock.now() == START + timedelta(minutes=4)


def test_a_driven_clock_never_runs_back(watch: Stopwatch) -> None:
    clock = PlayClock(START, 60, driven=True, monotonic=watch)
    clock.show(START + timedelta(minutes=4))

    clock.show(START)
    clock.go_on_from(START, 1)

    assert clock.now() == START + timedelta(minutes=4)
    assert clock.target() == START + timedelta(minutes=4)


def test_the_fastest_clock_ends_at_the_end_of_the_calendar(watch: Stopwatch) -> None:
    clock = PlayClock(START, 1e9, monotonic=watch)

    watch.seconds += 1e9

    assert clock.now() == LAST_MOMENT


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), 1e10])
def test_a_speed_that_is_none_is_refused_with_a_sentence(speed: float) -> None:
    with pytest.raises(SayableError, match="speed must be a number above 0"):
        PlayClock(START, speed)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        PlayClock(START.replace(tzinfo=None), 1)
