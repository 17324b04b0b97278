"""Buys, receives, says that nothing came."""

from __future__ import annotations

from bot.playground.market.campaigns.campaign import Campaign
from bot.playground.market.campaigns.parameters import Kind
from bot.playground.market.flavours import MINATO
from bot.playground.market.shoppers_rows import Fed
from tests.playground.market.campaigns.stories import by, plan, told_often, world_of


def test_several_accounts_share_door_device_and_card() -> None:
    for told in told_often(Kind.REFUND_ABUSE, "not_arrived"):
        accounts, orders = told.of("accounts"), told.of("orders")

        assert len(accounts) >= 3
        assert {order["buyer_id"] for order in orders} == {row["account_id"] for row in accounts}
        assert len({order["ship_address"] for order in orders}) == 1
        assert len({order["device_id"] for order in orders}) == 1
        assert len({order["card_fingerprint"] for order in orders}) == 1


def test_the_more_careful_share_the_door_then_only_the_building() -> None:
    for told in told_often(Kind.REFUND_ABUSE, "same_door"):
        orders = told.of("orders")
        assert len({order["ship_address"] for order in orders}) == 1
        assert len({order["device_id"] for order in orders}) == len(orders) >= 2
        assert len({order["card_fingerprint"] for order in orders}) == len(orders)
    doors = set()
    for told in told_often(Kind.REFUND_ABUSE, "patient"):
        orders = told.of("orders")
        doors.add(len({order["ship_address"] for order in orders}))
        assert len({order["ship_postal_code"] for order in orders}) == 1
        assert len({str(order["ship_address"]).rpartition(" ")[0] for order in orders}) == 1
    assert max(doors) > 1


def test_claims_come_after_the_delivery_and_many_ask_for_the_bank_though_paid_by_card() -> None:
    told = told_often(Kind.REFUND_ABUSE, "not_arrived", waves=2)
    claims = [row for one in told for row in one.of("inquiries")]
    by_bank = [row for row in claims if any(wish in row["body"] for wish in MINATO.bank_wishes)]
    for one in told:
        orders = by(one.of("orders"), "order_id")
        for claim in one.of("inquiries"):
            order = orders[claim["body"].partition("(")[2].partition(")")[0]][0]
            assert order["payment_method"] == "card"
            assert claim["account_id"] == order["buyer_id"]
            assert claim["created_at"] > order["delivered_at"]

    assert len(claims) > sum(len(one.of("orders")) for one in told)  # some are repeated
    assert 0.6 < len(by_bank) / len(claims) < 0.95
    assert {claim["subject"] for claim in claims} <= set(MINATO.claims)


def claiming() -> Campaign:
    """A campaign that has just claimed, of which support would grant something."""
    for n in range(20):
        campaign = Campaign(world_of(1), plan(Kind.REFUND_ABUSE, "not_arrived", no=f"c-{n}"))
        campaign.go_on(was_caught=False)
        if len({row.values["order_id"] for row in campaign.grant_claims(frozenset())}) >= 2:
            return campaign
    raise AssertionError("nobody grants anything")


def refunded(rows: list[Fed]) -> set[str]:
    return {str(row.values["order_id"]) for row in rows}


def test_support_gives_in_by_bank_and_in_full() -> None:
    campaign = claiming()
    orders = {p.order_id: p.paid_in_money for p, _ in campaign.wave.claims}

    for row in campaign.grant_claims(frozenset()):
        assert row.values["route"] == "external"
        assert row.values["amount"] == orders[str(row.values["order_id"])]
        assert row.at > campaign.looks_at


def test_nothing_is_granted_to_a_stopped_account_or_for_a_stopped_order() -> None:
    campaign = claiming()
    purchases = {p.order_id: p for p, granted in campaign.wave.claims if granted}
    first, *others = sorted(purchases)
    account = purchases[first].buyer.account_id
    of_account = {o for o, p in purchases.items() if p.buyer.account_id == account}

    assert refunded(campaign.grant_claims(frozenset({first}))) == set(others)
    assert refunded(campaign.grant_claims(frozenset({account}))) == set(purchases) - of_account


def test_caught_before_the_claims_nothing_is_claimed() -> None:
    campaign = Campaign(world_of(1), plan(Kind.REFUND_ABUSE, "not_arrived"))

    campaign.go_on(was_caught=True)

    assert campaign.round.number == 2
    assert not [row for row in campaign.wave.rows if row.relation == "inquiries"]
