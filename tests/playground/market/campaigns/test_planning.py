"""Which campaigns a demo begins with, and which come later."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from bot.playground.market.campaigns.parameters import LEVELS, OPENING, Kind, draw_temper
from bot.playground.market.campaigns.planning import plan_hour
from bot.playground.market.shoppers import HOUR, Shoppers
from tests.playground.market.campaigns.stories import START, Told, uncaught, world_of

SEEDS = (1, 2, 3)


def born(seed: int, until: int = 24) -> list[Told]:
    shoppers = Shoppers(seed, START)
    return [told for hour in range(-72, until) for told in uncaught(shoppers, hour)]


@pytest.mark.parametrize("seed", SEEDS)
def test_several_kinds_are_at_work_within_the_first_hour_which_is_a_minute_of_the_demo(
    seed: int,
) -> None:
    acting = Counter(
        told.planned.kind
        for told in born(seed)
        if START - HOUR / 2 < told.planned.first_act_at <= START + HOUR
    )

    assert acting.keys() >= set(Kind) - {Kind.REFUND_ABUSE}
    assert acting[Kind.SELF_DEALING] == 2
    assert any(told.planned.first_act_at < START for told in born(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_each_kind_shows_itself_within_the_first_day(seed: int) -> None:
    """Refund abuse by its claims: an order alone is nothing yet."""
    claims = [
        row["created_at"]
        for told in born(seed)
        if told.planned.kind is Kind.REFUND_ABUSE
        for row in told.of("inquiries")
    ]

    assert START - 6 * HOUR < min(claims) < START + 24 * HOUR
    assert {told.planned.kind for told in born(seed)} == set(Kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_some_fraud_is_tried_in_nearly_every_hour(seed: int) -> None:
    acts = Counter(
        (wave.start - START) // HOUR for told in born(seed, until=40) for wave in told.waves
    )

    assert sum(acts[hour] > 0 for hour in range(24)) >= 20
    assert max(acts.values()) <= 9


def test_no_campaign_of_the_opening_is_left_out_or_comes_twice() -> None:
    planned = [one for hour in range(-24, 8) for one in plan_hour(world_of(1), START, hour)]
    whole = Counter((one.kind, one.story, one.first_act_at) for one in planned)

    for kind, story, hour in OPENING:
        assert whole[kind, story, START + hour * HOUR] == 1
    assert len({one.no for one in planned}) == len(planned)


def test_every_campaign_is_born_within_the_history_of_a_demo() -> None:
    for seed in range(1, 6):
        for hour in range(-24, 48):
            for one in plan_hour(world_of(seed), START, hour):
                lead = one.first_act_at - one.born_at
                assert timedelta(hours=1) < lead <= timedelta(hours=70)
                assert one.born_at >= START - 72 * HOUR or one.first_act_at < START


def test_planned_births_are_all_entered_once() -> None:
    shoppers = Shoppers(1, START)
    entered = [one.no for hour in range(-72, 30) for one in shoppers.plan_births(hour)]
    planned = [
        one.no
        for hour in range(-24, 60)
        for one in plan_hour(shoppers.world, START, hour)
        if START - 72 * HOUR <= one.born_at < START + 30 * HOUR
    ]

    assert sorted(entered) == sorted(planned)
    assert len(entered) > 20


def test_the_fraudsters_of_each_seed_are_others() -> None:
    tempers = [draw_temper(seed) for seed in range(10)]

    assert draw_temper(3) == tempers[3]
    assert len({temper.amounts for temper in tempers}) == 10
    assert all(0.5 <= temper.births <= 1 for temper in tempers)
    assert all(temper.weights.keys() == set(Kind) for temper in tempers)


def test_the_chances_of_a_level_s_ways_to_work_add_up() -> None:
    for levels in LEVELS.values():
        assert len(levels) == 3
        assert all(sum(way.chance for way in ways) == pytest.approx(1) for ways in levels)
