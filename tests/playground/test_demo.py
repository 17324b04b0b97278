"""What a flavour changes in the demo's settings, and what it leaves to the operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.playground.demo import _seed, _with_flavour
from bot.playground.market.flavours import HARBOUR, MINATO
from bot.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_flavour_brings_its_language_clock_and_words() -> None:
    settings = _with_flavour(Settings(), HARBOUR)

    assert (settings.locale, settings.timezone) == ("en", "Europe/Berlin")
    assert settings.glossary_file == HARBOUR.glossary_file


def test_what_is_set_wins_over_the_flavour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALE", "ja")
    monkeypatch.setenv("GLOSSARY_FILE", "ours.yml")

    settings = _with_flavour(Settings(), HARBOUR)

    assert (settings.locale, settings.timezone) == ("ja", "Europe/Berlin")
    assert settings.glossary_file == Path("ours.yml")


def test_the_team_of_an_english_shop_works_in_english() -> None:
    assert _seed(HARBOUR, "http://127.0.0.1:1").team_name == "Harbour Lane"
    assert _seed(MINATO, "http://127.0.0.1:1").team_name == "みなと市場"
    assert {user.locale for user in _seed(HARBOUR, "").users} == {"en-US"}
