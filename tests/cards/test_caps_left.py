from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest

from bot.cards.case_card import case_card
from bot.cards.modal_frames import case_line
from bot.domain.cases import CapLeft, CaseState
from bot.locale import messages_for
from tests.builders import NOW, a_case

LEFT = (
    CapLeft(
        actions=("refund",),
        window="day",
        own=False,
        count=284,
        amounts=((2_400_000, "JPY"), (99, "EUR")),
    ),
    CapLeft(actions=("refund",), window="hour", own=True, count=None, amounts=((0, "JPY"),)),
)


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("ja", ["残り枠（返金・チーム全体・24時間）: ¥2,400,000 ・ 284件", "あなた・1時間）: ¥0"]),
        (
            "en",
            ["Left within 24 hours for the team: ¥2,400,000 · 284 subjects", "1 hour for you: ¥0"],
        ),
    ],
)
def test_the_card_and_the_modal_say_what_the_caps_leave(locale: str, said: list[str]) -> None:
    view = replace(a_case(), caps_left=LEFT)
    messages = messages_for(locale)
    card = case_card(view, now=NOW, tz=UTC, messages=messages)
    for drawn in (str(card.blocks), str(case_line(view, messages))):
        assert all(words in drawn for words in said)
        assert "€" not in drawn


def test_a_closed_case_says_nothing_of_caps() -> None:
    view = replace(a_case(), caps_left=LEFT, state=CaseState.DONE, closed_at=NOW)
    card = case_card(view, now=NOW, tz=UTC, messages=messages_for("en"))
    assert "Left within" not in str(card.blocks)
