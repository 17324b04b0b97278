"""Stolen cards at honest makers."""

from __future__ import annotations

import itertools
from datetime import timedelta

from bot.playground.market.campaigns.parameters import Kind
from tests.playground.market.campaigns.stories import by, told_often, world_of
from tests.playground.market.campaigns.test_self_dealing import network


def test_a_burst_runs_through_a_list_of_cards_within_the_hour() -> None:
    for told in told_often(Kind.STOLEN_CARDS, "card_burst"):
        attempts = told.of("payment_attempts")
        times = [row["attempted_at"] for row in attempts]

        assert len({row["account_id"] for row in attempts}) == 1
        assert len({row["card_fingerprint"] for row in attempts}) >= 4
        assert max(times) - min(times) < timedelta(hours=1)


def test_one_card_is_emptied_over_two_or_three_accounts_within_the_hour() -> None:
    for told in told_often(Kind.STOLEN_CARDS, "same_card"):
        orders = told.of("orders")
        times = [order["ordered_at"] for order in orders]

        assert len({order["card_fingerprint"] for order in orders}) == 1
        assert len({order["buyer_id"] for order in orders}) in {2, 3}
        assert len({order["device_id"] for order in orders}) in {2, 3}
        assert max(times) - min(times) < timedelta(hours=1)


def test_mules_use_one_card_over_hours_and_send_to_one_door() -> None:
    for told in told_often(Kind.STOLEN_CARDS, "mules"):
        orders = told.of("orders")
        times = sorted(order["ordered_at"] for order in orders)

        assert len({order["buyer_id"] for order in orders}) >= 3
        assert len({order["card_fingerprint"] for order in orders}) == 1
        assert len({order["ship_address"] for order in orders}) == 1
        assert min(b - a for a, b in itertools.pairwise(times)) > timedelta(hours=1)


def test_the_trickle_shares_only_a_building_and_neighbouring_networks() -> None:
    for told in told_often(Kind.STOLEN_CARDS, "trickle", waves=3):
        orders = told.of("orders")
        cards = [order["card_fingerprint"] for order in orders]

        assert len(set(cards)) == len(cards) >= 3
        assert len({network(order["ip"]) for order in orders}) == 1
        assert len({str(order["ship_address"]).rpartition(" ")[0] for order in orders}) == 1


def test_goods_of_honest_makers_are_bought_and_most_cards_are_charged_back() -> None:
    makers = {listing.seller.account_id for listing in world_of(1).listings}
    orders, back = 0, 0
    for story in ("card_burst", "same_card", "mules", "trickle"):
        for told in told_often(Kind.STOLEN_CARDS, story):
            assert {order["seller_id"] for order in told.of("orders")} <= makers
            assert not told.fraud("listing")
            charged = by(told.of("chargebacks"), "order_id")
            assert charged.keys() <= told.fraud("order")
            orders, back = orders + len(told.of("orders")), back + len(charged)

    assert 0.7 < back / orders < 0.9
