"""Text from users is data: cleaned, cut to length, never a mention, a link or formatting."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.text import escape, user_text

ANY_TEXT = st.text(st.characters(codec=None), max_size=300)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("山田 太郎", "山田 太郎"),
        ("  two\n\n lines\t", "two lines"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("in\u200bvis\u2060ible\ufeff", "invisible"),
        ("bell\x07 and\x00 null", "bell and null"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("\u3164\u3164", ""),
        ("が", "が"),
        ("👨\u200d👩\u200d👧 family", "👨\u200d👩\u200d👧 family"),
        ("a\u200db", "ab"),
        ("Z" + "\u0301" * 50, unicodedata.normalize("NFC", "Z\u0301") + "\u0301" * 4),
        ("全角　空白", "全角 空白"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(value: str, text: str) -> None:
    assert user_text(value, 100) == text


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("ab cdefg", 4, "ab…"),
        ("👨\u200d👩\u200d👧x", 4, "…"),
        ("🇯🇵🇫🇷🇩🇪", 4, "🇯🇵…"),
        ("が" * 5, 3, "がが…"),
        ("g\u0308g\u0308g\u0308", 4, "g\u0308…"),
        ("abc", 1, "…"),
    ],
)
def test_a_cut_splits_no_letter_and_shows(value: str, limit: int, text: str) -> None:
    assert user_text(value, limit) == text


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        ("שלום", 100, "\u2068שלום\u2069"),
        ("a שלום 12", 100, "\u2068a שלום 12\u2069"),
        # An isolate that somebody opened and did not close, or closed without having opened it.
        ("\u2068abc", 100, "abc"),
        ("\u2069שלום\u2068", 100, "\u2068שלום\u2069"),
        ("\u2068abc\u2069", 100, "abc"),
        ("\u2067שלום", 100, "\u2068שלום\u2069"),
        # A line of ours with names that are isolated already.
        ("12 \u2068שלום\u2069 34", 100, "12 \u2068שלום\u2069 34"),
        ("\u2068\u2068שלום\u2069\u2069", 100, "\u2068שלום\u2069"),
        ("שלום", 5, "\u2068של…\u2069"),
        ("שלום", 2, "…"),
        ("12 \u2068שלום\u2069 34", 6, "12…"),
        ("12 \u2068שלום\u2069 34", 9, "\u206812 שלו…\u2069"),
    ],
)
def test_text_from_right_to_left_is_isolated(value: str, limit: int, text: str) -> None:
    assert user_text(value, limit) == text
    assert len(text) <= limit


RIGHT_TO_LEFT = st.text("ab1 שم\u2068\u2069\u2067\u202e\u0301é", max_size=40)


@given(RIGHT_TO_LEFT, st.integers(1, 30))
def test_isolates_are_paired_however_text_is_cut(value: str, limit: int) -> None:
    once = user_text(value, limit)
    assert len(once) <= limit
    assert user_text(once, limit) == once
    depth = 0
    for sign in once:
        depth += {"\u2068": 1, "\u2069": -1}.get(sign, 0)
        assert depth in {0, 1}
        assert depth == 1 or unicodedata.bidirectional(sign) not in {"R", "AL", "AN"}
    assert depth == 0


def test_a_book_is_cut_however_much_of_it_cannot_be_seen() -> None:
    assert user_text("山" * 1_000_000, 10) == "山" * 9 + "…"
    assert user_text("\u200b" * 1_000_000 + "tail", 10) == "…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<!channel>", "&lt;!channel&gt;"),
        ("<@U0SATO>", "&lt;@\u2060U0SATO&gt;"),
        ("<https://evil.example|shop>", "&lt;https\u2060://evil\u2060.\u2060example|shop&gt;"),
        ("A & B", "A &amp; B"),
        ("*bold* ~gone~ `code`", "∗bold∗ ∼gone∼ ˋcodeˋ"),
        ("_italic_", "＿italic＿"),
        ("ord_81_231", "ord_81_231"),
        ("@here", "@\u2060here"),
        ("#general", "#\u2060general"),
        (":tada:", ":\u2060tada:"),
        ("14:02:10", "14:02:10"),
        ("¥12,400", "¥12,400"),
        ("mailto:a@evil.example", "mailto\u2060:a@\u2060evil\u2060.\u2060example"),
        ("203.0.113.0/24", "203.0.113.0/24"),
    ],
)
def test_nothing_in_escaped_text_lives(value: str, text: str) -> None:
    assert escape(value) == text


def test_the_limit_of_escaped_text_counts_what_a_person_reads() -> None:
    assert escape("&" * 5, 5) == "&amp;" * 5


@given(ANY_TEXT, st.integers(1, 40))
def test_any_text_fits_its_limit_and_can_be_sent(value: str, limit: int) -> None:
    text = user_text(value, limit)
    assert len(text) <= limit
    assert text.encode().decode() == text
    unseen = {"Cc", "Cs", "Co", "Cn"}
    assert not [sign for sign in text if unicodedata.category(sign) in unseen]


@given(st.text("ab \u202e\u2066\u200b\u200f\u2060\ufeff\u00ad\U000e0041"))
def test_no_sign_turns_text_around_or_hides_in_it(value: str) -> None:
    assert set(user_text(value, 100)) <= set("ab …")


@given(ANY_TEXT)
def test_cleaning_twice_is_cleaning_once(value: str) -> None:
    once = user_text(value, 100)
    assert user_text(once, 100) == once


@given(ANY_TEXT)
def test_no_escaped_text_holds_a_live_bracket(value: str) -> None:
    text = escape(value)
    assert "<" not in text
    assert ">" not in text
    assert not {"*", "`", "~"} & set(text)
