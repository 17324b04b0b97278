"""What the modal of a refund says and asks, and which amounts a person may type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bot.actions import registry
from bot.cards import modals
from bot.cards.modal_refund import chosen_plan, parse_amount, plain_amount
from bot.domain.cases import CaseView
from bot.domain.plans import Plan
from bot.domain.verbs import Verb
from bot.locale import Messages
from bot.playground.workspace.blocks import validate_view
from tests.builders import a_case, a_member, a_message, a_plan, an_order
from tests.cards.reading import EN, JA, shown

LOCALES = pytest.mark.parametrize("messages", [JA, EN], ids=["ja", "en"])


def a_refund(id_: str = "O-1", amount: int = 12400, **changes: Any) -> Plan:
    return a_plan(
        Verb.REFUND,
        an_order(id_),
        **{
            "refund_amount": amount,
            "refund_route": "card",
            "reversible": False,
            "messages": (a_message(subject=f"{id_} の返金", body=f"{id_} を返金しました。"),),
        }
        | changes,
    )


def the_modal(
    plans: Sequence[Plan], messages: Messages = JA, *, typed: bool = False
) -> dict[str, Any]:
    view: CaseView = a_case(members=tuple(a_member(plan.subject) for plan in plans))
    return modals.refund_modal(
        registry()["refund"],
        view,
        plans,
        plan_set_id="ps_1",
        second_person=False,
        messages=messages,
        typed=typed,
    )


def words(modal: dict[str, Any]) -> str:
    return "\n".join(shown(modal["blocks"]))


def the_input(modal: dict[str, Any], name: str) -> dict[str, Any]:
    (block,) = [block for block in modal["blocks"] if block.get("block_id") == name]
    return dict(block)


@pytest.mark.parametrize(
    ("typed", "currency", "amount"),
    [
        ("12,400", "JPY", 12400),
        ("12400", "JPY", 12400),
        ("¥12,400", "JPY", 12400),
        ("１２，４００円", "JPY", 12400),
        ("12,400 JPY", "JPY", 12400),
        ("42.50", "EUR", 4250),
        ("42,50", "EUR", 4250),
        ("42.5", "EUR", 4250),
        ("42", "EUR", 4200),
        ("€ 1,042.50", "EUR", 104250),
    ],
)
def test_an_amount_is_typed_as_the_currency_is_written(
    typed: str, currency: str, amount: int
) -> None:
    assert parse_amount(typed, currency) == amount


@pytest.mark.parametrize(
    ("typed", "currency"),
    [
        ("", "JPY"),
        ("0", "JPY"),
        ("0.00", "EUR"),
        ("-5", "JPY"),
        ("1.5", "JPY"),
        ("12.400", "JPY"),
        ("1,24", "JPY"),
        ("42.505", "EUR"),
        ("12,40,0", "JPY"),
        ("1e3", "JPY"),
        ("12 EUR", "JPY"),
        ("all", "JPY"),
        ("9" * 40, "JPY"),
    ],
)
def test_what_is_no_amount_of_the_currency_is_none(typed: str, currency: str) -> None:
    assert parse_amount(typed, currency) is None


@pytest.mark.parametrize(("currency", "amount"), [("JPY", 12400), ("EUR", 104250)])
def test_the_amount_that_stands_there_is_read_back_as_itself(currency: str, amount: int) -> None:
    plan = a_refund(amount=amount, currency=currency)
    assert parse_amount(plain_amount(plan), currency) == amount


@LOCALES
def test_one_order_shows_what_goes_back_and_how_and_what_the_buyer_is_told(
    messages: Messages,
) -> None:
    modal = the_modal([a_refund()], messages)
    assert "¥12,400" in words(modal)
    assert messages.t("card payments") in words(modal)
    assert "O-1 を返金しました。" in words(modal)
    assert messages.t("A refund cannot be undone.") in words(modal)
    assert the_input(modal, "amount")["element"]["initial_value"] == "12,400"
    assert validate_view(modal) == []


@LOCALES
def test_of_several_orders_one_is_chosen_before_anything_of_it_is_said(messages: Messages) -> None:
    plans = [a_refund("O-1"), a_refund("O-2", 900, refund_route="wallet")]
    modal = the_modal(plans, messages)
    options = the_input(modal, "order")["element"]["options"]
    assert [one["value"] for one in options] == ["O-1", "O-2"]
    assert "initial_value" not in the_input(modal, "amount")["element"]
    assert "を返金しました" not in words(modal)
    assert messages.t(
        "It is carried out once you have sent this; until it starts, it can be taken back on the card."
    ) not in words(modal)
    assert modal["submit"]["text"] == messages.t("Continue")
    assert validate_view(modal) == []


def test_a_typed_amount_is_not_taken_for_all_that_can_be_given_back() -> None:
    assert "hint" in the_input(the_modal([a_refund()]), "amount")
    assert "hint" not in the_input(the_modal([a_refund(amount=3000)], typed=True), "amount")


@LOCALES
def test_what_only_a_bank_transfer_gives_back_has_no_button(messages: Messages) -> None:
    by_bank = a_refund("O-9", 0, refund_route="bank_transfer")
    modal = the_modal([by_bank], messages)
    assert "submit" not in modal
    assert "O-9" in words(modal)
    assert chosen_plan([by_bank], None) is None
    assert chosen_plan([by_bank, a_refund("O-1")], "O-9") is None


@LOCALES
def test_slack_takes_the_modal_of_the_largest_case(messages: Messages) -> None:
    plans = [a_refund(f"O-{n}", messages=(a_message(body="長" * 3000),)) for n in range(300)]
    assert validate_view(the_modal(plans, messages)) == []
    refused = [a_refund(f"O-{n}", allowed=False, refusal_code="not_paid") for n in range(300)]
    assert validate_view(the_modal(refused, messages)) == []
