"""What the slash command answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.cards import answers
from bot.cards.answers import _TAGS
from bot.domain.audit import AuditTag
from bot.domain.cases import CaseState
from bot.domain.findings import Mode, Severity
from bot.domain.modes import Results, Standing, Trouble
from bot.domain.text import escape
from bot.handlers.commands import commands
from bot.playground.workspace.blocks import validate_message_blocks
from tests.builders import NAMES, NOW, evolve
from tests.cards.reading import EN, JA, TOKYO, shown
from tests.cards.test_limits import a_queue_entry, a_written_entry


def test_help_gives_each_subcommand_one_line() -> None:
    entries = [(c.name, c.argument, c.description) for c in commands().values()]
    answer = answers.help_answer(entries, messages=JA)
    lines = answer.text.split("\n")
    assert lines[0] == "使えるコマンドは次のとおりです。"
    assert "/cre queue — 対応中のケースを緊急度の高い順に表示" in lines
    assert "/cre cancel ORDER — 注文を強制キャンセル(実行前に確認画面が開きます)" in lines
    assert len(lines) == 1 + len(entries)


def test_a_mistyped_subcommand_is_told_the_nearest() -> None:
    told = answers.unknown_command("queu", "queue", messages=EN)
    assert told == "There is no “queu”. Did you mean `/cre queue`?"
    assert "`/cre help`" in answers.unknown_command("x", None, messages=JA)


def test_a_missing_argument_is_named() -> None:
    told = answers.missing_argument("cancel", "ORDER", messages=JA)
    assert told == "対象を指定してください。例: `/cre cancel ORDER`"


def test_the_queue_lists_what_decides_which_case_to_take() -> None:
    entries = [
        a_queue_entry(),
        a_queue_entry(
            case_id=7,
            severity=Severity.P2,
            state=CaseState.AWAITING_APPROVAL,
            assignee="U0SATO",
            amounts=(),
            deadline=NOW - timedelta(hours=1),
        ),
    ]
    answer = answers.queue_answer(entries, now=NOW, messages=JA, names=NAMES)
    assert answer.text.split("\n") == [
        "対応中のケース 2件(緊急度の高い順)",
        (
            "🔴 【緊急】 C-2041 自作自演による不正注文の疑い ・ ¥148,600 ・ 発送期限まであと2時間14分"
            " ・ 担当者: 未割り当て"
        ),
        "🟡 【本日中】 C-7 自作自演による不正注文の疑い ・ 発送期限を超過 ・ 承認待ち ・ 担当者: 佐藤",
    ]


def test_a_case_opened_by_hand_has_a_title_in_the_queue() -> None:
    answer = answers.queue_answer([a_queue_entry(title=None)], now=NOW, messages=JA)
    assert "C-2041 手動で作成したケース" in answer.text


def test_an_empty_queue_says_so() -> None:
    assert answers.queue_answer([], now=NOW, messages=JA).text == "未対応のケースはありません。"


def test_the_trail_tells_who_did_what_and_when() -> None:
    trail = [
        evolve(
            a_written_entry("O-1"),
            actor="U0SATO",
            tag=AuditTag.DECISION_REQUESTED,
            details={"action": "cancel", "reason": "Stolen card", "params_hash": "0" * 64},
        ),
        evolve(
            a_written_entry("O-1"),
            actor="system",
            tag=AuditTag.OPERATION_ENDED,
            details={"verb": "cancel", "state": "failed", "code": "already_shipped"},
        ),
        evolve(
            a_written_entry("O-1"), actor="detection:card_testing", tag="old:tag:gone", details={}
        ),
    ]
    answer = answers.audit_answer("O-1", trail, messages=JA, tz=TOKYO, names=NAMES)
    assert answer.text.split("\n") == [
        "O-1 の操作履歴(新しい順)",
        "4月15日 14:02 ・ 佐藤 ・ 申請 ・ 強制キャンセルと利用停止 ・ 理由: 盗難カードの使用 ・ O-1 ・ C-1",
        (
            "4月15日 14:02 ・ 自動 ・ 結果を記録 ・ 強制キャンセル ・ すでに発送されています"
            "(already_shipped) ・ O-1 ・ C-1"
        ),
        "4月15日 14:02 ・ card_testing ・ " + escape("old:tag:gone") + " ・ O-1 ・ C-1",
    ]
    assert "0" * 64 not in answer.text


def test_a_subject_without_a_trail_is_told_so() -> None:
    answer = answers.audit_answer("O-1", [], messages=JA, tz=TOKYO)
    assert answer.text == "O-1 の操作履歴はありません。"


@pytest.mark.parametrize("tag", list(AuditTag))
def test_every_tag_of_the_log_has_words(tag: AuditTag) -> None:
    assert JA.t(_TAGS[tag]) != _TAGS[tag]


def test_an_opened_case_is_linked_where_its_card_stands() -> None:
    bare = answers.case_opened(7, messages=JA)
    linked = answers.case_opened(7, messages=JA, permalink="https://x.slack.com/archives/C1/p2")
    assert bare.text == "ケース C-7 です。"
    assert linked.text == "ケース <https://x.slack.com/archives/C1/p2|C-7> です。"


def test_the_text_of_an_answer_tells_what_its_blocks_show() -> None:
    answer = answers.queue_answer([a_queue_entry()] * 20, now=NOW, messages=EN)
    for words in shown(list(answer.blocks)):
        assert all(escape(line, 1000) in answer.text for line in words.split("\n"))


def a_standing(name: str, **changes: Any) -> Standing:
    return replace(
        Standing(
            name=name,
            title_ja="高額注文の疑い",
            title_en="Suspected large order",
            severity="P1",
            mode=Mode.REVIEW,
            row=None,
            week=Results(days=7, findings=12),
            precise=Results(days=90, findings=80, fraud=41, good=3),
            last_good_at=NOW,
        ),
        **changes,
    )


def test_a_detection_is_told_with_its_mode_its_precision_and_what_is_wrong() -> None:
    found = [
        a_standing("large_order", troubles=(Trouble.FAILING,), last_error="Postgres refused it")
    ]
    told = answers.rules_answer(found, page=1, messages=JA, tz=TOKYO).text
    for words in (
        "高額注文の疑い(large_order)",
        "P1 ・ レビュー ・ 7日間で12件",
        "的中率 93%(過去90日間・判定済み44件)",
        "直近の正常実行",
        "エラー",
        "Postgres refused it",
    ):
        assert words in told


def test_many_detections_are_told_a_page_at_a_time_within_slacks_limits() -> None:
    found = [a_standing(f"detection_{n}", last_error="x" * 900) for n in range(40)]
    seen: list[str] = []
    for page in range(1, 5):
        answer = answers.rules_answer(found, page=page, messages=EN, tz=TOKYO)
        validate_message_blocks(answer.blocks)
        seen += [one.name for one in found if f"({one.name})" in answer.text]
    assert seen == [one.name for one in found]
    beyond = answers.rules_answer(found, page=99, messages=EN, tz=TOKYO)
    assert "page 4 of 4" in beyond.text
