from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from bot.publisher import NotYet, Pace, _paced


async def times_of(pace: Pace, calls: int, *, together: bool) -> list[float]:
    """When each call was let through, in seconds from the first."""
    moments: list[float] = []

    async def call() -> None:
        async with _paced(pace):
            moments.append(time.monotonic())

    if together:
        await asyncio.gather(*(call() for _ in range(calls)))
    else:
        for _ in range(calls):
            await call()
    return [moment - moments[0] for moment in moments]


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one after another"])
async def test_no_call_comes_sooner_than_its_turn(together: bool) -> None:
    moments = await times_of(Pace(20, burst=1), 6, together=together)
    gaps = [after - before for before, after in pairwise(moments)]
    assert min(gaps) >= 0.045


async def test_a_burst_may_come_at_once_and_only_once() -> None:
    moments = await times_of(Pace(20, burst=3), 6, together=True)
    assert moments[2] < 0.04
    assert moments[5] >= 0.14


async def test_a_turn_that_is_too_far_away_is_not_waited_for() -> None:
    pace = Pace(0.1, burst=1)
    await times_of(pace, 1, together=False)
    with pytest.raises(NotYet):
        await times_of(pace, 1, together=False)


async def test_everybody_waits_as_long_as_slack_says() -> None:
    pace = Pace(20, burst=1)
    await times_of(pace, 1, together=False)
    pace.hold(0.3)
    began = time.monotonic()
    await times_of(pace, 1, together=False)
    assert time.monotonic() - began >= 0.28
