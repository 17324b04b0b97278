"""Brakes and dry runs on a card."""

from __future__ import annotations

import pytest

from bot.cards.case_card import CardMessage, case_card
from bot.domain.cases import CaseState, CaseView
from bot.domain.proposals import Pause
from tests.builders import NOW, a_case, a_case_awaiting_approval, a_case_with, an_operation
from tests.cards.reading import EN, JA, TOKYO, shown

PAUSE = Pause(name="all", by="鈴木", at=NOW, reason="決済障害")


def card(view: CaseView, *, dry_run: bool = False, english: bool = False) -> CardMessage:
    messages = EN if english else JA
    return case_card(view, now=NOW, tz=TOKYO, messages=messages, dry_run=dry_run)


def test_a_pause_of_everything_stands_on_every_open_card() -> None:
    for view in (a_case(pauses=(PAUSE,)), a_case_awaiting_approval(pauses=(PAUSE,))):
        drawn = card(view)
        told = "鈴木さんがすべての操作を一時停止しました(理由: 決済障害)。再開されるまで実行できません。"
        assert told in drawn.text
        assert any(told in words for words in shown(drawn.blocks))
    assert (
        "鈴木 paused all operations at 14:02 (reason: 決済障害)"
        in card(a_case(pauses=(PAUSE,)), english=True).text
    )


@pytest.mark.parametrize(
    ("name", "told"), [("cancel", True), ("hold", True), ("refund", False), ("suspend", False)]
)
def test_a_pause_of_one_action_stands_where_it_is_proposed_or_decided(
    name: str, *, told: bool
) -> None:
    pause = Pause(name=name, by="cli", at=NOW, reason="調査")
    assert ("コマンドラインが" in card(a_case(pauses=(pause,))).text) is told


def test_a_closed_card_says_nothing_of_a_pause() -> None:
    view = a_case_with(CaseState.DONE, an_operation(), closed_at=NOW, pauses=(PAUSE,))
    assert "一時停止" not in card(view).text


def test_a_dry_run_says_so_before_and_after_and_when_it_is_folded() -> None:
    assert "🧪 試行モード: 判断は記録されますが" in card(a_case(), dry_run=True).text
    assert "試行" not in card(a_case()).text
    done = a_case_with(CaseState.DONE, an_operation(resolved_by="dry_run"), closed_at=NOW)
    # Also when the mode is off again.
    assert "記録のみです" in card(done).text
    folded = a_case_with(
        CaseState.DONE, an_operation(resolved_by="dry_run"), closed_at=NOW, folded=True
    )
    assert card(folded).text.startswith("🧪 試行モード: ✅")


def test_what_was_done_in_earnest_is_not_called_a_dry_run() -> None:
    done = a_case_with(CaseState.DONE, an_operation(resolved_by="answer"), closed_at=NOW)
    assert "試行" not in card(done, dry_run=True).text


def test_a_reason_that_would_call_everybody_calls_nobody() -> None:
    pause = Pause(name="all", by="<!here>", at=NOW, reason="<!channel> " * 100)
    drawn = card(a_case(pauses=(pause,)))
    assert "<!channel>" not in drawn.text
    assert "<!here>" not in drawn.text
