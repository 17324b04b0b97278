"""One person behind seller and buyers."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta
from typing import Any

from bot.playground.market.campaigns.parameters import Kind
from bot.playground.market.shoppers import HOUR
from tests.playground.market.campaigns.stories import Told, by, told_often, world_of


def shared(told: Told) -> list[frozenset[str]]:
    """What seller and buyer of each fraudulent order have in common."""
    accounts = {row["account_id"]: row for row in told.of("accounts")}

    def of(order: dict[str, Any]) -> frozenset[str]:
        seller, buyer = accounts[order["seller_id"]], accounts[order["buyer_id"]]
        pairs = {
            "device": (order["device_id"], seller["signup_device_id"]),
            "ip": (order["ip"], seller["signup_ip"]),
            "subnet": (network(order["ip"]), network(seller["signup_ip"])),
            "address": (order["ship_address"], seller["address"]),
            "phone": (buyer["phone"], seller["phone"]),
        }
        return frozenset(name for name, (one, other) in pairs.items() if one == other)

    fraud = told.fraud("order")
    return [of(order) for order in told.of("orders") if order["order_id"] in fraud]


def network(ip: str) -> str:
    return ip.rpartition(".")[0]


def test_a_ring_shares_device_network_or_door_and_never_nothing() -> None:
    rings = told_often(Kind.SELF_DEALING, "ring", often=60)
    links = [found for told in rings for found in shared(told)]
    counted = Counter(link for found in links for link in found)

    assert all(counted[name] > 5 for name in ("device", "ip", "address"))
    assert all(found & {"device", "ip", "address"} for found in links)
    assert len({found & {"device", "ip", "address"} for found in links}) > 3


def test_the_careful_share_only_the_door_and_the_telephone() -> None:
    for told in told_often(Kind.SELF_DEALING, "careful"):
        assert set(shared(told)) == {frozenset({"address", "phone"})}


def test_the_quiet_share_only_a_network_s_neighbourhood_and_the_time_of_signing_up() -> None:
    for told in told_often(Kind.SELF_DEALING, "quiet"):
        seller, *buyers = sorted(told.of("accounts"), key=lambda row: not row["is_seller"])

        assert set(shared(told)) <= {frozenset({"subnet"}), frozenset({"subnet", "ip"})}
        assert all(
            buyer["created_at"] - seller["created_at"] < timedelta(days=3) for buyer in buyers
        )


def test_each_order_has_a_stolen_card_of_its_own_and_the_ring_shows_refused_ones() -> None:
    declined = 0
    for told in told_often(Kind.SELF_DEALING, "ring"):
        orders = [o for o in told.of("orders") if o["order_id"] in told.fraud("order")]
        cards = [order["card_fingerprint"] for order in orders]
        declined += sum(row["result"] == "declined" for row in told.of("payment_attempts"))

        assert len(set(cards)) == len(cards) >= 2

    assert declined > 5


def test_the_shop_offers_copies_of_honest_makers_photos() -> None:
    photos = [listing.image_hash for listing in world_of(1).listings]
    titles = {listing.title for listing in world_of(1).listings}
    same_title = 0
    for told in told_often(Kind.SELF_DEALING, "ring"):
        for copy in told.of("listings"):
            assert min((copy["image_hashes"][0] ^ photo).bit_count() for photo in photos) == 1
            same_title += copy["title"] in titles

    assert same_title > 30


def test_the_more_careful_sell_slower_and_for_less() -> None:
    def spread(story: str) -> tuple[float, float, float]:
        prices, gaps, counts = [], [], []
        for told in told_often(Kind.SELF_DEALING, story):
            fraud = told.fraud("order")
            orders = [order for order in told.of("orders") if order["order_id"] in fraud]
            times = sorted(order["ordered_at"] for order in orders)
            gaps += [(later - one) / HOUR for one, later in itertools.pairwise(times)]
            prices += [order["total_amount"] for order in orders]
            counts.append(len(orders))
        return sum(prices) / len(prices), min(gaps), sum(counts) / len(counts)

    ring, careful, quiet = spread("ring"), spread("careful"), spread("quiet")

    assert ring[0] > careful[0] > quiet[0]
    assert ring[1] < 0.2 < 1 < careful[1] < quiet[1]
    assert ring[2] > careful[2] > quiet[2]


def test_now_and_then_somebody_honest_falls_for_a_copy() -> None:
    told = told_often(Kind.SELF_DEALING, "ring", often=30)
    honest = {buyer.account_id for buyer in world_of(1).population.buyers}
    fooled = [
        order
        for one in told
        for order in one.of("orders")
        if order["order_id"] not in one.fraud("order")
    ]

    assert 3 <= len(fooled) <= 18
    assert {order["buyer_id"] for order in fooled} <= honest
    labels = by([row for one in told for row in one.of("truth")], "subject_id")
    assert {labels[order["order_id"]][0]["label"] for order in fooled} == {"good"}
