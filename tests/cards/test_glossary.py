"""A shop's own words: given in one file, they stand in every sentence, and never as markup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cards.glossary import read_glossary
from bot.domain.errors import SayableError
from bot.locale import messages_for, use_glossary
from bot.playground.market.flavours import HARBOUR


@pytest.fixture(autouse=True)
def _our_own_words_again() -> Iterator[None]:
    yield
    use_glossary({})


def write(folder: Path, text: str) -> Path:
    path = folder / "glossary.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_words_of_the_file_stand_in_every_sentence(tmp_path: Path) -> None:
    path = write(
        tmp_path, "en: {buyer: customer, buyers: customers}\nja: {buyer: 顧客, buyers: 顧客}"
    )
    before = [messages_for(locale).t("tell the {buyer}") for locale in ("en", "ja")]

    use_glossary(read_glossary(path))

    assert before == ["tell the buyer", "購入者への通知"]
    assert messages_for("en").t("tell the {buyer}") == "tell the customer"
    assert messages_for("ja").t("tell the {buyer}") == "顧客への通知"
    assert messages_for("en-GB").n("{count} {buyer}", "{count} {buyers}", 3) == "3 customers"


def test_words_that_the_file_leaves_out_stay_ours(tmp_path: Path) -> None:
    use_glossary(read_glossary(write(tmp_path, "en: {buyer: customer, buyers: customers}")))

    assert messages_for("en").t("tell the {seller}") == "tell the seller"
    assert messages_for("ja").t("tell the {buyer}") == "購入者への通知"


def test_the_harbour_flavour_has_every_word_in_both_languages() -> None:
    assert HARBOUR.glossary_file is not None
    words = read_glossary(HARBOUR.glossary_file)

    use_glossary(words)

    for locale in ("ja", "en"):
        assert words[locale] == messages_for(locale).glossary


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fr: {buyer: client, buyers: clients}", "names the language fr"),
        ("en: {shopper: x}", "names shopper under en"),
        ("en: {buyer: customer}", "must name buyer and buyers"),
        ("en: {buyer: '<!channel>', buyers: x}", "gives buyer under en no plain word"),
        ("en: {buyer: '{seller}', buyers: x}", "gives buyer under en no plain word"),
        ("en: {buyer: '*b*', buyers: x}", "gives buyer under en no plain word"),
        (f"en: {{buyer: {'x' * 25}, buyers: x}}", "gives buyer under en no plain word"),
        ("en: {buyer: ' ', buyers: x}", "gives buyer under en no plain word"),
        ("en: {buyer: 3, buyers: x}", "gives buyer under en no plain word"),
        ("en: customer", "must hold words under en"),
        ("- en", "must hold words by language"),
        ("", "must hold words by language"),
        ("en: {", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SayableError, match="GLOSSARY_FILE") as caught:
        read_glossary(write(tmp_path, text))
    assert told in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SayableError, match=r"nowhere\.yml cannot be read"):
        read_glossary(tmp_path / "nowhere.yml")
