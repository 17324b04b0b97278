"""What a card says and offers, through the life of a case."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.domain.cases import CaseState, CaseView, DecisionState, OperationState, Precision
from bot.domain.findings import Evidence, EvidenceType, Severity
from bot.domain.verbs import Verb
from tests.builders import (
    NOW,
    a_case,
    a_case_awaiting_approval,
    a_case_with,
    a_decision,
    a_finding,
    a_member,
    an_account,
    an_operation,
    an_order,
    evolve,
)
from tests.cards.reading import EN, JA, buttons_of, menu_of, pressed, shown, the_card

S = OperationState


def lines(view: CaseView) -> list[str]:
    return the_card(view).text.split("\n")


def test_the_first_line_answers_what_is_wrong_how_much_and_how_urgent() -> None:
    assert lines(a_case())[0] == "🔴【緊急】自作自演による不正注文の疑い — 注文12件・¥148,734"
    english = the_card(a_case(), EN).text.split("\n")[0]
    assert english == "🔴 [Urgent] Suspected self-dealing — 12 orders, ¥148,734"


@pytest.mark.parametrize(
    ("severity", "words"),
    [(Severity.P1, "【緊急】"), (Severity.P2, "【本日中】"), (Severity.P3, "【参考】")],
)
def test_urgency_is_told_in_words_beside_its_colour(severity: Severity, words: str) -> None:
    assert words in lines(a_case(severity=severity))[0]


def test_the_title_is_of_the_most_severe_finding() -> None:
    mild = a_finding(severity=Severity.P3, title_ja="フォローの急増", detection="follow_churn")
    assert "自作自演" in lines(a_case(findings=(mild, a_finding())))[0]


def test_money_of_two_currencies_is_not_added_up() -> None:
    members = (a_member(), a_member(an_order("O-2"), amount=12400, currency="EUR"))
    assert lines(a_case(members=members))[0].endswith("注文2件・¥12,400 + €124.00")


def test_evidence_is_told_with_its_labels_and_units() -> None:
    def evidence(kind: EvidenceType, value: str | int, label: str) -> Evidence:
        return Evidence(
            name=label, label_ja=label, label_en=label, type=kind, value=value, currency="JPY"
        )

    finding = a_finding(
        evidence=(
            evidence(EvidenceType.MONEY, 148600, "金額"),
            evidence(EvidenceType.COUNT, 1200, "回数"),
            evidence(EvidenceType.TIME, "2026-04-15T05:02:00+00:00", "初回"),
            evidence(EvidenceType.TEXT, "203.0.113.0/24", "IP"),
        )
    )
    told = "金額: ¥148,600 ・ 回数: 1,200 ・ 初回: 4月15日 14:02 ・ IP: 203.0.113.0/24"
    assert told in lines(a_case(findings=(finding,)))


def test_a_second_finding_is_told_by_its_title() -> None:
    other = a_finding(title_ja="新規ショップへの注文集中", detection="burst", severity=Severity.P2)
    assert "新規ショップへの注文集中 — 一致した項目: カード・端末" in lines(
        a_case(findings=(a_finding(), other))
    )


def test_of_one_detection_the_worst_finding_speaks_for_all_on_the_card() -> None:
    found = [a_finding(finding_id=n, subject=an_order(f"O-{n}")) for n in range(3)]
    assert the_card(a_case(findings=found)).text.count("一致した項目") == 1


def test_detections_without_a_verdict_say_so_once() -> None:
    found = [
        a_finding(),
        a_finding(detection="burst", title_ja="注文の集中の疑い", severity=Severity.P2),
    ]
    text = the_card(a_case(findings=found, precisions=())).text
    assert "検知: 自作自演による不正注文の疑い、注文の集中の疑い(過去30日の判定なし)" in text


def test_the_clock_that_matters_is_told_as_time_left_and_as_a_time() -> None:
    assert "最短の発送期限まであと2時間14分(16:16) ・ 売上の振込まであと3日" in lines(a_case())
    late = the_card(a_case(), now=NOW + timedelta(hours=3)).text
    assert "最短の発送期限を過ぎています(16:16)" in late


@pytest.mark.parametrize(
    "changes",
    [
        {"held_at": NOW},
        {"canceled_at": NOW},
        {"status": "canceled"},
    ],
)
def test_an_order_that_cannot_leave_has_no_clock(changes: dict[str, Any]) -> None:
    card = the_card(a_case(members=(a_member(an_order(), **changes),)))
    assert "発送期限まで" not in card.text
    assert "振込まで" not in card.text


def test_a_shipped_order_has_no_shipping_clock_but_its_payout_has() -> None:
    card = the_card(a_case(members=(a_member(an_order(), shipped_at=NOW, status="shipped"),)))
    assert "発送期限まで" not in card.text
    assert "振込まで" in card.text


def test_five_orders_are_listed_and_the_others_counted() -> None:
    card = the_card(a_case())
    assert sum(line.startswith("O-812") for line in card.text.split("\n")) == 5
    assert "ほか7件" in card.text


def test_a_held_order_is_shown_as_held() -> None:
    card = the_card(a_case(members=(a_member(an_order(), held_at=NOW),)))
    assert "支払い済み(保留中)" in card.text
    assert "注文1件を保留中" in card.text


def test_a_column_that_the_marketplace_lacks_is_left_out() -> None:
    bare = a_member(
        an_order(), name_masked=None, ship_due_at=None, payout_at=None, amount=None, currency=None
    )
    (table,) = [b for b in the_card(a_case(members=(bare,))).blocks if b["type"] == "table"]
    assert [cell["text"] for cell in table["rows"][0]] == ["注文", "状態"]


def test_a_case_about_accounts_lists_accounts() -> None:
    spam = a_finding(
        subject=an_account("A-9"),
        title_ja="フォロースパムの疑い",
        title_en="Suspected follow spam",
        order_ids=(),
        account_ids=("A-9",),
        actions=("suspend",),
    )
    members = tuple(a_member(an_account(f"A-{n}"), is_seller=n == 9) for n in range(9, 12))
    card = the_card(a_case(findings=(spam,), members=members))
    assert card.text.split("\n")[0] == "🔴【緊急】フォロースパムの疑い — 3アカウント"
    assert "A-9 ・ 佐＊＊＊ ・ 販売者 ・ 有効 ・ 2026-04-13" in card.text
    assert pressed(card.blocks)[0] == "利用停止(3件)…"


@pytest.mark.parametrize(
    ("precision", "told"),
    [
        ((206, 214), "検知: 自作自演による不正注文の疑い(的中率 96%、過去30日・判定済み214件)"),
        ((0, 0), "検知: 自作自演による不正注文の疑い(過去30日の判定なし)"),
    ],
)
def test_how_often_the_detection_was_right(precision: tuple[int, int], told: str) -> None:
    confirmed, decided = precision
    view = a_case(
        precisions=(Precision(detection="self_dealing_link", confirmed=confirmed, decided=decided),)
    )
    assert told in lines(view)


def test_the_last_line_names_case_time_and_assignee() -> None:
    assert lines(a_case())[-1] == "ケース C-2041 ・ 検知 14:02 ・ 担当者: 未割り当て"
    taken = lines(a_case(assignee="U0SATO", opened_by="U0SUZUKI"))[-1]
    assert taken == "ケース C-2041 ・ 作成 14:02 鈴木 ・ 担当者: 佐藤"


def test_the_reversible_button_comes_first_and_the_irreversible_one_is_red() -> None:
    hold, cancel, dismiss = buttons_of(the_card(a_case()).blocks)
    assert hold["text"]["text"] == "発送と振込を保留(12件)"
    assert (hold["action_id"], hold["style"]) == ("act:hold", "primary")
    assert cancel["text"]["text"] == "強制キャンセル+利用停止…"
    assert (cancel["action_id"], cancel["style"]) == ("act:cancel", "danger")
    assert dismiss["text"]["text"] == "問題なし(誤検知)…"


def test_the_order_in_which_a_detection_names_actions_does_not_matter() -> None:
    view = a_case(findings=(a_finding(actions=("cancel", "hold")),))
    assert pressed(the_card(view).blocks)[0].startswith("発送と振込を保留")


def test_a_button_carries_the_case_and_the_version_and_nothing_else() -> None:
    card = the_card(a_case())
    assert {button["value"] for button in buttons_of(card.blocks)} == {"2041|3"}
    values = [option["value"] for option in menu_of(card.blocks)]
    assert values == [
        "claim|2041|3",
        "details|2041|3",
        "consult|2041|3",
        "open_admin|2041|3",
    ]


def test_a_verb_that_the_marketplace_does_not_offer_has_no_button() -> None:
    card = the_card(a_case(offered=frozenset({Verb.CANCEL, Verb.SUSPEND})))
    assert [b["action_id"] for b in buttons_of(card.blocks)] == ["act:cancel", "act:dismiss"]


def test_a_button_promises_no_suspension_that_cannot_be() -> None:
    card = the_card(a_case(offered=frozenset({Verb.CANCEL})))
    assert pressed(card.blocks)[0] == "強制キャンセル(12件)…"


def test_only_orders_that_can_still_be_held_are_counted() -> None:
    members = (
        a_member(an_order("O-1")),
        a_member(an_order("O-2"), held_at=NOW),
        a_member(an_order("O-3"), status="shipped", shipped_at=NOW),
        a_member(an_order("O-4"), status="canceled", canceled_at=NOW),
    )
    words = pressed(the_card(a_case(members=members)).blocks)
    assert words[0] == "発送と振込を保留(1件)"
    assert "保留を解除(1件)" in words


def test_a_case_opened_by_hand_offers_what_its_subject_can_take() -> None:
    view = a_case(findings=(), opened_by="U0SUZUKI")
    card = the_card(view)
    assert card.text.startswith("🔴【緊急】手動で作成したケース")
    assert "鈴木さんが手動で作成しました。" in card.text
    actions = [button["action_id"] for button in buttons_of(card.blocks)]
    assert actions == ["act:hold", "act:cancel", "act:dismiss"]


def test_the_link_to_the_back_office_is_a_web_address_or_not_there() -> None:
    card = the_card(a_case(members=(a_member(an_order(), admin_url="javascript:alert(1)"),)))
    assert not [option for option in menu_of(card.blocks) if "url" in option]


def test_after_a_hold_the_open_case_says_so() -> None:
    hold = a_decision(action="hold", reason="", targets=((Verb.HOLD, an_order()),), plans=())
    view = a_case(decisions=(hold,), operations=(an_operation(verb=Verb.HOLD),))
    assert "直近の操作: 注文1件を保留(14:07、佐藤)" in lines(view)


def test_a_rejected_request_is_told_with_its_reason() -> None:
    decision = a_decision(
        state=DecisionState.REJECTED,
        rejected_by="U0TANAKA",
        rejected_reason="The evidence is not enough",
    )
    told = "直近の操作: 田中さんが申請(強制キャンセルと利用停止)を却下しました。理由: 根拠が不足している"
    assert told in lines(a_case(decisions=(decision,)))


def test_a_request_waits_with_its_name_its_end_and_two_buttons() -> None:
    card = the_card(a_case_awaiting_approval())
    told = (
        "🟠 承認待ち(あと1名) — 14:07 に佐藤さんが強制キャンセルと利用停止を申請"
        " ・ 期限 4月16日 10:02"
    )
    assert told in card.text.split("\n")
    assert "理由: 盗難カードの使用" in card.text
    assert pressed(card.blocks)[:2] == ["承認…", "却下…"]


def test_progress_is_told_in_numbers() -> None:
    operations = (
        *(an_operation(an_order(f"O-{n}")) for n in range(37)),
        an_operation(an_order("O-37"), state=S.FAILED, failure_code="already_shipped"),
        an_operation(an_order("O-38"), state=S.UNKNOWN, unknown_since=NOW + timedelta(minutes=2)),
        an_operation(an_order("O-39"), state=S.QUEUED),
    )
    card = the_card(a_case_with(CaseState.EXECUTING, *operations))
    assert "⏳ 実行中 37/40 ・ 失敗 1 ・ 確認中 1" in card.text.split("\n")
    assert pressed(card.blocks)[0] == "残りを中止"


def test_while_a_result_is_unknown_nobody_shall_do_it_by_hand() -> None:
    operation = an_operation(state=S.UNKNOWN, unknown_since=NOW + timedelta(minutes=2))
    card = the_card(a_case_with(CaseState.EXECUTING, operation))
    told = "処理結果を確認中です(3分経過)。二重処理を防ぐため、管理画面から操作しないでください。"
    assert told in card.text.split("\n")
    assert "残りを中止" not in pressed(card.blocks)


def test_what_is_not_complete_is_told_order_by_order() -> None:
    view = a_case_with(
        CaseState.PARTLY_DONE,
        an_operation(),
        an_operation(an_order("O-81240"), state=S.FAILED, failure_code="already_shipped"),
        an_operation(an_order("O-81241"), state=S.NEEDS_HUMAN, failure_code="outcome_unknown"),
    )
    told = lines(view)
    assert (
        "⚠️ 一部未完了 — 3件中1件: 注文1件を強制キャンセル ・ ¥12,400 を取り消し"
        "(失敗 1 ・ 要確認 1)" in told
    )
    assert (
        "O-81240: 強制キャンセルできませんでした。すでに発送されています(already_shipped)" in told
    )


@pytest.mark.parametrize(
    ("operation", "helps"),
    [
        (an_operation(state=S.FAILED, failure_code="state_changed"), True),
        (an_operation(state=S.FAILED, failure_code="rule_of_this_shop"), True),
        (an_operation(state=S.STOPPED), True),
        (an_operation(state=S.FAILED, failure_code="already_shipped"), False),
        (an_operation(state=S.NEEDS_HUMAN, failure_code="outcome_unknown"), False),
    ],
)
def test_a_retry_is_offered_only_where_it_can_help(operation: object, helps: bool) -> None:
    card = the_card(a_case_with(CaseState.PARTLY_DONE, operation))  # type: ignore[arg-type]  # an Operation
    assert ("再試行…" in pressed(card.blocks)) is helps


def test_a_done_case_is_one_line_of_what_was_done_and_by_whom() -> None:
    view = a_case_with(
        CaseState.DONE,
        *(an_operation(an_order(f"O-{n}"), amount=11780) for n in range(40)),
        *(an_operation(an_account(f"A-{n}"), Verb.SUSPEND) for n in range(4)),
    )
    card = the_card(view)
    told = (
        "✅ 完了 — 注文40件を強制キャンセル・4アカウントを利用停止 ・ ¥471,200 を取り消し"
        " ・ 申請 佐藤 ・ 承認 田中 ・ 6分12秒"
    )
    assert told in card.text.split("\n")
    assert not [block for block in card.blocks if block["type"] == "table"]


def test_a_retry_does_not_hide_what_was_done_before_it() -> None:
    first = an_operation(an_order("O-1"))
    retried = an_operation(an_order("O-2"), decision_id="dec_2")
    view = a_case(
        state=CaseState.DONE,
        decisions=(a_decision(), a_decision(decision_id="dec_2", requested_by="U0TANAKA")),
        operations=(first, retried, an_operation(an_order("O-3"), Verb.HOLD)),
    )
    told = lines(view)
    assert "それ以前の操作: 注文1件を強制キャンセル ・ ¥12,400 を取り消し(14:07、佐藤)" in told
    assert "対象: O-1、O-2" in told


def test_a_closed_case_still_names_its_orders() -> None:
    assert "対象: O-81231、O-81232、O-81233、O-81234、O-81235、O-81236、ほか6件" in lines(
        a_case(state=CaseState.DISMISSED)
    )


def test_a_suspension_can_be_undone_while_it_stands() -> None:
    members = (a_member(an_order()), a_member(an_account(), suspended_at=NOW, status="suspended"))
    view = a_case_with(CaseState.DONE, an_operation(), members=members)
    assert pressed(the_card(view).blocks)[0] == "利用停止を解除(1件)…"
    free = a_case_with(CaseState.DONE, an_operation(), members=(a_member(an_order()),))
    assert "利用停止を解除(1件)…" not in pressed(the_card(free).blocks)


def test_a_dismissed_case_says_who_judged_it_and_why() -> None:
    view = a_case(
        state=CaseState.DISMISSED,
        dismiss_reason="Gift or bulk purchase",
        closed_by="U0SUZUKI",
        closed_at=NOW,
    )
    told = "問題なし(誤検知) — 鈴木さんが判定 ・ 4月15日 14:02 ・ 理由: 贈り物・まとめ買い"
    assert told in lines(view)
    assert buttons_of(the_card(view).blocks) == []


@pytest.mark.parametrize("messages", [JA, EN])
@pytest.mark.parametrize(
    "view",
    [
        a_case(),
        a_case_awaiting_approval(),
        a_case_with(CaseState.EXECUTING, an_operation(state=S.UNKNOWN)),
        a_case_with(CaseState.PARTLY_DONE, an_operation(state=S.FAILED)),
        a_case_with(CaseState.DONE, an_operation()),
        a_case(state=CaseState.DISMISSED, closed_by="U0SATO", closed_at=NOW),
    ],
    ids=lambda view: view.state.value,
)
def test_the_text_tells_everything_that_the_blocks_show(view: CaseView, messages: object) -> None:
    """A screen reader reads the text and skips the blocks."""
    card = the_card(view, messages)  # type: ignore[arg-type]  # one of the two catalogues
    read = card.text.replace("&amp;", "&")
    for words in shown(card.blocks):
        for line in words.split("\n"):
            assert line in read


def test_the_same_case_at_the_same_moment_is_the_same_card() -> None:
    assert the_card(a_case()) == the_card(a_case())


def test_a_card_knows_its_case_by_its_metadata() -> None:
    assert the_card(a_case()).metadata == {
        "event_type": "mimawari_case",
        "event_payload": {"case_id": 2041},
    }


def test_a_person_is_named_and_never_pinged() -> None:
    view = evolve(a_case_awaiting_approval(), assignee="U0SUZUKI")
    card = the_card(view)
    assert "<@" not in card.text
    assert "U0S" not in card.text
