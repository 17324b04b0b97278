"""A fraudster goes on while nobody steps in, comes back more careful when caught, and gives up in the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime

import pytest

from bot.playground.market.campaigns.campaign import GAVE_UP, HAD_ENOUGH, Campaign, Planned
from bot.playground.market.campaigns.parameters import LEVELS, ROUNDS, Kind, Trait
from bot.playground.market.flavours import HARBOUR
from bot.playground.market.shoppers_people import Person
from bot.playground.market.shoppers_rows import Fed
from tests.playground.market.campaigns.stories import Told, plan, rows_of, tell, world_of

STORIES = [(kind, way.story) for kind, ways in LEVELS.items() for level in ways for way in level]
FIRST = [(kind, LEVELS[kind][0][0].story) for kind in Kind]
JAPANESE = range(0x3041, 0xFAFF)


def told(kind: Kind, story: str, *, caught: bool, no: str = "c-1", flavour: str = "minato") -> Told:
    return tell(world_of(1, flavour), plan(kind, story, no=no), lambda _: caught)


def rounds(one: Told) -> list[int]:
    return [wave.round.number for wave in one.waves]


@pytest.mark.parametrize(("kind", "story"), STORIES)
def test_the_same_outcomes_lead_to_the_same_rows(kind: Kind, story: str) -> None:
    def outcomes() -> Iterator[bool]:
        yield from (False, True, False, True, True, True)

    def once() -> list[Fed]:
        fate = outcomes()
        return tell(world_of(1), plan(kind, story), lambda _: next(fate, True)).rows

    assert once() == once()


def test_another_campaign_or_seed_or_outcome_leads_to_other_rows() -> None:
    kind, story = Kind.SELF_DEALING, "careful"
    first = told(kind, story, caught=False).rows

    assert told(kind, story, caught=False, no="c-2").rows != first
    assert tell(world_of(2), plan(kind, story), lambda _: False).rows != first
    assert told(kind, story, caught=True).rows != first


@pytest.mark.parametrize(("kind", "story"), FIRST)
def test_who_is_not_caught_goes_on_in_the_same_round_until_they_have_enough(
    kind: Kind, story: str
) -> None:
    tries = [told(kind, story, caught=False, no=f"c-{n}") for n in range(8)]

    assert all(set(rounds(one)) == {1} for one in tries)
    assert {one.ended for one in tries} == {HAD_ENOUGH}
    assert len({len(one.waves) for one in tries}) > 1


@pytest.mark.parametrize(("kind", "story"), FIRST)
def test_who_is_caught_comes_back_on_the_next_level_and_gives_up_after_three_rounds(
    kind: Kind, story: str
) -> None:
    one = told(kind, story, caught=True)

    assert rounds(one) == [1, 2, 3]
    assert one.ended == GAVE_UP
    assert ROUNDS == 3
    levels = [
        next(n for n, ways in enumerate(LEVELS[kind]) if wave.round.level in ways)
        for wave in one.waves
    ]
    assert levels == [0, 1, 2]


@pytest.mark.parametrize("kind", list(Kind))
def test_the_experienced_begin_on_the_second_level_and_still_have_three_rounds(kind: Kind) -> None:
    one = told(kind, LEVELS[kind][1][0].story, caught=True)

    assert [wave.round.level.story for wave in one.waves] == [
        LEVELS[kind][1][0].story,
        LEVELS[kind][2][0].story,
        LEVELS[kind][2][0].story,
    ]


@pytest.mark.parametrize(("kind", "story"), FIRST)
def test_a_new_round_has_new_accounts_names_networks_and_cards(kind: Kind, story: str) -> None:
    for n in range(6):
        waves = told(kind, story, caught=True, no=f"c-{n}").waves
        for earlier, later in itertools.pairwise(waves):
            keeps = later.round.level.keeps
            for name, trait in (
                ("account_id", None),
                ("full_name", None),
                ("email", None),
                ("ip", Trait.NETWORK),
                ("device_id", Trait.DEVICE),
                ("phone", Trait.PHONE),
                ("cards", Trait.CARD),
            ):
                before = {getattr(person, name) for person in own(earlier.round)}
                after = {getattr(person, name) for person in own(later.round)}
                assert bool(before & after) == (trait in keeps), name


def own(round_: object) -> list[Person]:
    return [getattr(round_, "anchor"), *getattr(round_, "accounts")]  # noqa: B009


def test_a_self_dealer_keeps_only_the_bank_account_and_then_not_even_that() -> None:
    waves = told(Kind.SELF_DEALING, "ring", caught=True).waves
    first, second, third = (wave.round.anchor.payout_account for wave in waves)

    assert first == second != third


@pytest.mark.parametrize(("kind", "story"), STORIES)
@pytest.mark.parametrize("caught", [False, True])
def test_nothing_lies_before_the_wake_that_writes_it(kind: Kind, story: str, caught: bool) -> None:
    """The player has shown everything up to that time already."""
    hasty = max(range(1, 7), key=lambda seed: world_of(seed).temper.haste)
    for n in range(12):
        campaign = Campaign(world_of(hasty), plan(kind, story, no=f"c-{n}"))
        woken: datetime = plan(kind, story).born_at
        while campaign.ended is None:
            assert min(row.at for row in campaign.wave.rows) >= woken
            assert campaign.looks_at > campaign.wave.ends_at > woken
            woken = campaign.looks_at
            campaign.go_on(was_caught=caught)


@pytest.mark.parametrize(("kind", "story"), STORIES)
def test_everybody_exists_before_acting_and_is_in_the_truth(kind: Kind, story: str) -> None:
    one = told(kind, story, caught=True)
    world = world_of(1)
    created = {row["account_id"]: row["created_at"] for row in one.of("accounts")}
    honest = {person.account_id for person in world.population.everybody}
    listed = {row["listing_id"]: row["created_at"] for row in one.of("listings")}
    known = {listing.listing_id for listing in world.listings}
    orders = {row["order_id"]: row for row in one.of("orders")}

    assert created.keys() == one.fraud("account")
    assert listed.keys() == one.fraud("listing")
    assert one.fraud("order") <= orders.keys()
    for order in orders.values():
        for side in ("buyer_id", "seller_id"):
            assert order[side] in honest or created[order[side]] <= order["ordered_at"]
    for item in one.of("order_items"):
        at = orders[item["order_id"]]["ordered_at"]
        assert item["listing_id"] in known or listed[item["listing_id"]] <= at
    for post in one.of("posts"):
        assert created[post["account_id"]] <= post["created_at"]
    for event in one.of("follow_events"):
        assert created[event["follower_id"]] <= event["occurred_at"]


def test_the_truth_names_kind_campaign_round_and_the_amount_of_orders() -> None:
    one = told(Kind.STOLEN_CARDS, "card_burst", caught=True)
    amounts = {row["order_id"]: row["total_amount"] for row in one.of("orders")}
    truth = one.of("truth")

    assert {row["kind"] for row in truth} == {"stolen_cards"}
    assert {row["story_no"] for row in truth} == {"c-1"}
    assert {row["round"] for row in truth} == {1, 2, 3}
    for row in truth:
        expected = amounts.get(row["subject_id"])
        assert row["amount"] == expected
        assert row["currency"] == ("JPY" if expected is not None else None)


@pytest.mark.parametrize(("kind", "story"), FIRST)
def test_in_harbour_lane_fraud_is_in_euros_and_in_english(kind: Kind, story: str) -> None:
    rows = told(kind, story, caught=True, flavour="harbour").rows
    money = {
        row["currency"]
        for relation in ("orders", "listings", "payment_attempts", "chargebacks")
        for row in rows_of(rows, relation)
    }
    prices = [row["total_amount"] for row in rows_of(rows, "orders")]
    texts = [
        str(value)
        for row in rows
        for name, value in row.values.items()
        if name in {"title", "description", "body", "subject", "display_name", "full_name"}
    ]

    assert money <= {"EUR"}
    assert all(100 <= price <= 30_000 and price % HARBOUR.price_step == 0 for price in prices)
    assert texts
    assert not [text for text in texts if any(ord(sign) in JAPANESE for sign in text)]


def test_born_when_it_is_planned_and_first_seen_when_it_is_planned() -> None:
    planned: Planned = plan(Kind.STOLEN_CARDS, "card_burst")
    wave = Campaign(world_of(1), planned).wave
    first = min(row["ordered_at"] for row in rows_of(wave.rows, "orders"))

    assert first == planned.first_act_at
