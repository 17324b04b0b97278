from __future__ import annotations

from datetime import UTC, datetime

from bot.playground.market.score import Score, Tally, _close, _Count
from tests.campaigns.figures import SeedFigures
from tests.campaigns.tables import draw, spread


def a_tally(tried: int, stopped: int) -> Tally:
    count = _Count(campaigns=2, caught=1, tried=tried, stopped_before_shipment=stopped)
    return _close(count)


def a_seed(seed: int, tally: Tally, *, faults: tuple[str, ...] = ()) -> SeedFigures:
    kinds = {"stolen_cards": tally}
    rounds = {"stolen_cards": {1: tally}}
    return SeedFigures(
        seed=seed,
        score=Score(
            at=datetime(2026, 11, 23, tzinfo=UTC), currency="JPY", kinds=kinds, rounds=rounds
        ),
        cases={"stolen_cards": seed},
        detections={"many_cards_per_buyer": {"stolen_cards": seed}},
        lag_minutes=[2.0],
        given_up=[],
        refused=[],
        faults=list(faults),
        seconds=1.0,
    )


def test_a_figure_is_told_with_its_spread_over_the_seeds() -> None:
    told = draw(
        [a_seed(n, a_tally(1000 * n, 500 * n)) for n in (1, 2, 4)], markdown=True
    ).splitlines()
    row = next(line for line in told if line.startswith("| stolen_cards | 3 of 6"))
    assert "1,000 / 2,000 / 4,000 | 500 / 1,000 / 2,000 | 50%" in row


def test_a_share_of_nothing_is_no_share() -> None:
    assert spread([]) == "–"
    assert "| 0 | 0 | – |" in draw([a_seed(1, a_tally(0, 0))], markdown=True)


def test_a_run_that_is_not_sound_says_so_loudly_and_a_sound_one_what_was_checked() -> None:
    one = a_seed(7, a_tally(1, 1), faults=("the effect of op-1 happened 2 times",))
    assert "!!! THE RUN IS NOT SOUND !!!\nseed 7: the effect of op-1 happened 2 times" in draw(
        [one], markdown=False
    )
    assert "Sound in every seed" in draw([a_seed(1, a_tally(1, 1))], markdown=False)
