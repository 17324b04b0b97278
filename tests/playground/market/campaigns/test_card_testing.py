"""Bots that try card numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bot.playground.market.campaigns.parameters import Kind
from tests.playground.market.campaigns.stories import Told, by, told_often, world_of
from tests.playground.market.campaigns.test_self_dealing import network


def declined(told: Told) -> list[dict[str, Any]]:
    return [row for row in told.of("payment_attempts") if row["result"] == "declined"]


def test_a_burst_declines_many_cards_of_one_account_and_device_within_minutes() -> None:
    for told in told_often(Kind.CARD_TESTING, "burst"):
        tried = declined(told)
        times = [row["attempted_at"] for row in tried]

        assert len(tried) >= 14
        assert len({row["card_fingerprint"] for row in tried}) == len(tried)
        assert len({(row["account_id"], row["device_id"], row["ip"]) for row in tried}) == 1
        assert max(times) - min(times) < timedelta(minutes=25)


def test_the_spread_share_one_network_over_several_accounts_and_devices() -> None:
    for told in told_often(Kind.CARD_TESTING, "spread"):
        tried = by(declined(told), "account_id")

        assert len(tried) >= 4
        assert all(3 <= len(rows) <= 5 for rows in tried.values())
        assert len({row["ip"] for rows in tried.values() for row in rows}) == 1
        assert len({row["device_id"] for rows in tried.values() for row in rows}) == len(tried)


def test_the_drip_has_neighbouring_networks_one_issuer_and_few_attempts_an_account() -> None:
    for told in told_often(Kind.CARD_TESTING, "drip"):
        rows = declined(told)
        tried = by(rows, "account_id")
        times = [row["attempted_at"] for row in rows]

        assert len(tried) >= 6
        assert all(len(of_one) <= 3 for of_one in tried.values())
        assert len({row["ip"] for row in rows}) > 3
        assert len({network(row["ip"]) for row in rows}) == 1
        assert len({row["card_bin"] for row in rows}) == 1
        assert max(times) - min(times) > timedelta(minutes=50)


def test_it_is_tried_on_a_cheap_listing_of_an_honest_maker_and_little_passes() -> None:
    prices = {listing.price for listing in world_of(1).listings}
    makers = {maker.account_id for maker in world_of(1).population.makers}
    makers.add(world_of(1).population.office[0].account_id)
    for story in ("burst", "spread", "drip"):
        for told in told_often(Kind.CARD_TESTING, story):
            amounts = {row["amount"] for row in told.of("payment_attempts")}
            orders = told.of("orders")

            assert len(amounts) == 1
            assert amounts <= prices
            assert max(amounts) < 4_500
            assert 1 <= len(orders) <= 3
            assert {order["seller_id"] for order in orders} <= makers
