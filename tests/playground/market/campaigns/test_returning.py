"""Suspended, and back."""

from __future__ import annotations

from typing import Any

import pytest

from bot.playground.market.campaigns.parameters import Kind
from tests.playground.market.campaigns.stories import Told, told_often


def people(told: Told) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The suspended account, the new shop, its buyers."""
    accounts = told.of("accounts")
    old = next(row for row in accounts if row["status"] == "suspended")
    new = next(row for row in accounts if row["is_seller"] and row["status"] == "active")
    return old, new, [row for row in accounts if not row["is_seller"]]


@pytest.mark.parametrize(
    ("story", "kept"),
    [
        ("same_device", {"signup_device_id", "payout_account_hash"}),
        ("same_payout", {"payout_account_hash"}),
        ("same_phone", {"phone"}),
    ],
)
def test_a_new_shop_keeps_of_a_suspended_one_what_its_way_to_work_says(
    story: str, kept: set[str]
) -> None:
    identity = {"signup_device_id", "payout_account_hash", "phone", "address", "email", "signup_ip"}
    for told in told_often(Kind.RETURNING, story):
        old, new, _ = people(told)

        assert {name for name in identity if old[name] == new[name]} == kept
        assert old["created_at"] < old["suspended_at"] < new["created_at"]


def test_its_buyers_have_nothing_in_common_with_it() -> None:
    for told in told_often(Kind.RETURNING, "same_device"):
        _, new, buyers = people(told)

        assert len(buyers) >= 2
        for buyer in buyers:
            for name in ("signup_device_id", "signup_ip", "address", "phone"):
                assert buyer[name] != new[name]
        assert {order["seller_id"] for order in told.of("orders")} == {new["account_id"]}


def test_old_and_new_account_are_both_in_the_truth() -> None:
    for told in told_often(Kind.RETURNING, "same_payout"):
        assert {row["account_id"] for row in told.of("accounts")} == told.fraud("account")
