"""Every sentence of the bot has its Japanese, with the same placeholders."""

from __future__ import annotations

from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir

from bot.actions import registry
from bot.cards.blocks import MODAL_TITLE, OPTION_VALUE
from bot.cards.modal_decision import REJECT_REASONS
from bot.cards.modal_frames import _TITLES, DISMISS_REASONS, modal_title
from bot.locale import LOCALES, messages_for
from bot.locale.messages import GLOSSARY, GLOSSARY_KEYS, read_catalog

BOT = Path(__file__).parents[2] / "bot"
# The page of the local workspace has its own words, in JavaScript.
_OTHERS = {"workspace", "__pycache__"}


def said() -> dict[str, str | None]:
    """Every sentence in the code, with its plural."""
    found: dict[str, str | None] = {}
    for _, _, message, _, _ in extract_from_dir(
        BOT,
        method_map=[("**.py", "python")],
        keywords={"t": None, "n": (1, 2), "N_": None},
        directory_filter=lambda folder: Path(folder).name not in _OTHERS,
    ):
        if isinstance(message, tuple):
            singular, plural = message[0], message[1]
            found[str(singular)] = str(plural)
        else:
            found.setdefault(message, None)
    return found


def fields(sentence: str) -> set[str]:
    """Its placeholders, but for the shop's own words, which every sentence may take."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name} - set(GLOSSARY_KEYS)


def translations() -> dict[str, Message]:
    catalog = read_catalog("ja")
    return {
        message.id if isinstance(message.id, str) else message.id[0]: message
        for message in catalog
        if message.id and message.context is None
    }


SAID, JAPANESE = said(), translations()


def test_the_code_says_something() -> None:
    assert len(SAID) > 250


def test_no_sentence_lacks_its_japanese() -> None:
    untold = {
        sentence
        for sentence in SAID
        if sentence not in JAPANESE or not _strings(JAPANESE[sentence])[0]
    }
    assert untold == set()


def test_the_catalogue_holds_no_sentence_that_nobody_says() -> None:
    assert set(JAPANESE) - set(SAID) == set()


@pytest.mark.parametrize("sentence", sorted(SAID))
def test_a_translation_has_the_placeholders_of_its_sentence(sentence: str) -> None:
    wanted = fields(sentence) | fields(SAID[sentence] or "")
    for translated in _strings(JAPANESE[sentence]):
        assert fields(translated) == wanted


def test_plural_sentences_are_plural_in_the_catalogue() -> None:
    for sentence, plural in SAID.items():
        if plural is not None:
            assert JAPANESE[sentence].id == (sentence, plural)


def test_no_translation_is_fuzzy_or_english() -> None:
    for sentence, message in JAPANESE.items():
        assert not message.fuzzy
        if fields(sentence) == set() and any(sign.isalpha() for sign in sentence):
            assert _strings(message)[0] != sentence


@pytest.mark.parametrize("locale", LOCALES)
def test_every_language_has_the_shop_s_own_words(locale: str) -> None:
    catalog = read_catalog(locale)
    assert all(catalog.get(key, GLOSSARY) for key in GLOSSARY_KEYS)
    assert set(messages_for(locale).glossary) == set(GLOSSARY_KEYS)


def test_another_shop_changes_its_words_in_one_place() -> None:
    """The Japanese for seller, buyer and work stands in the glossary and nowhere else."""
    words = {"販売者", "購入者", "作家", "作品"}
    for message in JAPANESE.values():
        for translated in _strings(message):
            assert not any(word in translated for word in words), translated


@pytest.mark.parametrize("locale", LOCALES)
def test_titles_of_modals_fit(locale: str) -> None:
    messages = messages_for(locale)
    names = [*registry(), *_TITLES]
    long = {name for name in names if len(modal_title(name, messages)) > MODAL_TITLE}
    assert long == set()


@pytest.mark.parametrize("locale", LOCALES)
def test_submit_and_close_buttons_fit(locale: str) -> None:
    messages = messages_for(locale)
    for words in ("Approve", "Reject", "Close", "Close as not fraud", "Request approval"):
        assert len(messages.t(words)) <= MODAL_TITLE


@pytest.mark.parametrize("locale", LOCALES)
def test_reasons_fit_into_options(locale: str) -> None:
    messages = messages_for(locale)
    reasons = [*DISMISS_REASONS, *REJECT_REASONS]
    reasons += [reason for action in registry().values() for reason in action.reasons]
    for reason in reasons:
        assert len(reason) <= OPTION_VALUE
        assert len(messages.t(reason)) <= OPTION_VALUE


def _strings(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))
