"""Notices: what is told beside the cases, in the channel's language."""

from __future__ import annotations

import pytest

from bot.cards.notices import DRAWERS, notice_card
from bot.domain.notices import Notice, NoticeKind
from bot.locale import LOCALES, messages_for
from tests.builders import NOW
from tests.cards.reading import TOKYO


def test_every_kind_of_notice_is_drawn() -> None:
    assert set(DRAWERS) == set(NoticeKind)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", list(NoticeKind))
def test_a_notice_shows_nothing_of_what_people_wrote_alive(kind: NoticeKind, locale: str) -> None:
    hostile = "<!channel> <https://evil.example|click> \u202egnp"
    notice = Notice(
        kind=kind, by_name=hostile, person_name=hostile, reason=hostile, note=hostile, at=NOW
    )
    card = notice_card(notice, post_id="post_1", messages=messages_for(locale), tz=TOKYO)
    assert "<!channel>" not in card.text
    assert "\u202e" not in str(card.blocks) + card.text
    for block in card.blocks:
        if block["type"] == "section" and block["text"]["type"] == "mrkdwn":
            assert "<!channel>" not in block["text"]["text"]


def test_a_pause_says_what_who_and_why() -> None:
    notice = Notice(kind=NoticeKind.PAUSED, by_name="鈴木", action="all", reason="決済障害", at=NOW)
    card = notice_card(notice, post_id="post_1", messages=messages_for("ja"), tz=TOKYO)
    assert card.text.startswith("🛑 一時停止: すべての操作")
    assert "鈴木さんが一時停止しました。理由: 決済障害" in card.text
