"""Texts of detections stand in the shop's own words, articles and all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.locale import messages_for, use_glossary

OWN = {
    "en": {
        "seller": "artisan",
        "sellers": "artisans",
        "buyer": "customer",
        "buyers": "customers",
        "work": "item",
        "works": "items",
    },
    "ja": {"seller": "職人", "sellers": "職人", "work": "商品", "works": "商品"},
}


@pytest.fixture(autouse=True)
def _words_of_the_shop() -> Iterator[None]:
    use_glossary(OWN)
    yield
    use_glossary({})


@pytest.mark.parametrize(
    ("written", "drawn"),
    [
        ("Shared by buyer and seller", "Shared by customer and artisan"),
        ("Buyer signed up", "Customer signed up"),
        ("A seller who ships to a buyer", "An artisan who ships to a customer"),
        ("Many cards by one buyer's friends", "Many cards by one customer's friends"),
        ("Buyers, sellers", "Customers, artisans"),
        ("A detection that works", "A detection that works"),
        ("bestseller and buyer_id", "bestseller and buyer_id"),
        ("", ""),
    ],
)
def test_an_english_text_takes_the_shop_s_words(written: str, drawn: str) -> None:
    assert messages_for("en").pick(None, written) == drawn


def test_a_japanese_text_takes_the_shop_s_words() -> None:
    assert messages_for("ja").pick("購入者と販売者の作品画像", None) == "購入者と職人の商品画像"


def test_a_shop_without_words_of_its_own_changes_nothing() -> None:
    use_glossary({})

    assert messages_for("en").pick(None, "A seller's work") == "A seller's work"
    assert messages_for("ja").pick("販売者の作品", None) == "販売者の作品"


def test_a_shop_that_calls_everything_as_we_do_changes_nothing() -> None:
    use_glossary({"en": {"seller": "seller", "sellers": "sellers"}})

    assert messages_for("en").own_words is None
