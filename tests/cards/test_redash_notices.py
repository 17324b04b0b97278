"""What the channel reads when something is wrong with Redash, and when it is over."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.cards.notices import notice_card
from bot.domain.notices import Notice, NoticeKind
from bot.locale import Messages, messages_for
from bot.playground.workspace.blocks import validate_message_blocks
from tests.cards.reading import TOKYO
from tests.cards.test_limits import LOCALES

DETAILS = ("stale", "idle", "misfit", "hidden", "away")


def a_notice(detail: str) -> Notice:
    return Notice(
        kind=NoticeKind.REDASH,
        detail=detail,
        by="detection:redash_self_dealing",
        title_ja="自己取引",
        title_en="Self-dealing",
        subject_ids=("318",),
        at=datetime(2026, 11, 22, 7, 1, tzinfo=UTC),
        counts=(("no_time:ordered_at", 1200), ("missing:<!channel>", 1))
        if detail == "misfit"
        else (),
    )


@LOCALES
@pytest.mark.parametrize(
    "detail", [*DETAILS, *(f"{one}_over" for one in DETAILS), "key", "something new"]
)
def test_each_is_drawn_for_slack_in_both_languages(detail: str, messages: Messages) -> None:
    card = notice_card(a_notice(detail), post_id="post_1", messages=messages, tz=TOKYO)
    assert validate_message_blocks(card.blocks) == []
    assert "<!channel>" not in card.text
    assert "{" not in card.text


def test_a_query_that_does_not_run_is_told_with_its_age_and_what_to_do() -> None:
    card = notice_card(a_notice("stale"), post_id="p", messages=messages_for("ja"), tz=TOKYO)
    assert "「自己取引」のRedashクエリが動いていません" in card.text
    assert "11月22日" in card.text
    assert "クエリ 318" in card.text


def test_rows_that_were_left_out_are_told_by_column_and_count() -> None:
    card = notice_card(a_notice("misfit"), post_id="p", messages=messages_for("en"), tz=TOKYO)
    assert "ordered_at: no time (1,200 rows)" in card.text


def test_no_two_say_the_same() -> None:
    heads = {
        notice_card(a_notice(one), post_id="p", messages=messages_for("ja"), tz=TOKYO).text
        for one in (*DETAILS, *(f"{one}_over" for one in DETAILS), "key")
    }
    assert len(heads) == 2 * len(DETAILS) + 1
