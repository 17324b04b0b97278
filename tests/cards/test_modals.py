"""What the modals say before anybody decides, and what comes back from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.actions import registry
from bot.cards import modals
from bot.domain.cases import CaseState, CaseView, OperationState
from bot.domain.plans import Foretold, Plan, PlanStep, StepState
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.handlers.payloads import parse_submission
from bot.locale import Messages
from tests.builders import (
    NOW,
    a_case,
    a_case_awaiting_approval,
    a_case_with,
    a_finding,
    a_member,
    a_message,
    a_plan,
    an_account,
    an_affected,
    an_operation,
    an_order,
    evolve,
)
from tests.cards.reading import EN, JA, TOKYO, shown

S = OperationState


def plans_for(view: CaseView, **changes: Any) -> list[Plan]:
    verbs = {SubjectKind.ORDER: Verb.CANCEL, SubjectKind.ACCOUNT: Verb.SUSPEND}
    return [
        a_plan(verbs[member.subject.kind], member.subject, **changes) for member in view.members
    ]


def cancel_modal(
    view: CaseView,
    plans: Sequence[Plan],
    *,
    second_person: bool = True,
    messages: Messages = JA,
    changed: bool = False,
) -> dict[str, Any]:
    return modals.action_modal(
        registry()["cancel"],
        view,
        plans,
        plan_set_id="ps_1",
        second_person=second_person,
        messages=messages,
        tz=TOKYO,
        changed=changed,
    )


def words(view: dict[str, Any]) -> str:
    return "\n".join(shown(view["blocks"]))


def boxes(view: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        block["block_id"]: block["element"]
        for block in view["blocks"]
        if block["type"] == "input" and block["element"]["type"] == "checkboxes"
    }


def offered(view: dict[str, Any]) -> list[str]:
    return [option["value"] for box in boxes(view).values() for option in box["options"]]


def ticked(view: dict[str, Any]) -> list[str]:
    return [
        option["value"] for box in boxes(view).values() for option in box.get("initial_options", [])
    ]


def the_ring() -> tuple[CaseView, list[Plan]]:
    """Twelve orders of which one was paid at a convenience store, and four accused accounts."""
    view = a_case()
    finding = evolve(view.findings[0], account_ids=("A-1", "A-2", "A-3", "A-4"))
    konbini = a_member(view.members[11].subject, amount=12389, payment_method="konbini")
    view = evolve(
        view, findings=(finding,), members=(*view.members[:11], konbini, *view.members[12:])
    )
    plans = plans_for(view)
    plans[11] = evolve(plans[11], refund_amount=0, withheld_amount=12389, refund_route="none")
    return view, plans


def test_the_modal_says_what_will_happen_in_numbers() -> None:
    said = words(cancel_modal(*the_ring()))
    assert said.startswith("注文12件を強制キャンセルし、4アカウントを利用停止にします。")
    assert (
        "カード決済11件(¥136,400)は取り消し・返金されます。"
        "コンビニ払い1件(¥12,389)は、別途決定するまで返金を保留します。"
        "強制キャンセルは元に戻せません。利用停止は後から解除できます。"
        "実行には別の承認者1名の承認が必要です。" in said
    )


def test_the_same_in_english() -> None:
    said = words(cancel_modal(*the_ring(), messages=EN))
    assert said.startswith("12 orders will be force-cancelled and 4 accounts suspended.")
    assert (
        "11 orders: ¥136,400 goes back (card payments). "
        "1 order: ¥12,389 is withheld until a separate decision (convenience store payments). "
        "A forced cancel cannot be undone. A suspension can be lifted later. "
        "One other person must approve before it is carried out." in said
    )


def test_money_of_each_currency_is_told_apart() -> None:
    plans = [
        a_plan(Verb.CANCEL, an_order("O-1"), refund_amount=1000, currency="JPY"),
        a_plan(Verb.CANCEL, an_order("O-2"), refund_amount=1000, currency="EUR"),
    ]
    said = words(cancel_modal(a_case(), plans))
    assert "カード決済1件(¥1,000)" in said
    assert "カード決済1件(€10.00)" in said


@pytest.mark.parametrize(
    ("second_person", "submit", "said"),
    [
        (True, "承認を申請", "実行には別の承認者1名の承認が必要です。"),
        (False, "実行する", "送信後に実行されます。"),
    ],
)
def test_the_button_says_whether_a_second_person_is_needed(
    second_person: bool, submit: str, said: str
) -> None:
    view, plans = the_ring()
    made = cancel_modal(view, plans, second_person=second_person)
    assert made["submit"]["text"] == submit
    assert said in words(made)


def test_the_messages_that_people_will_get_are_shown_once() -> None:
    plans = plans_for(a_case(), messages=(a_message(), a_message(to="seller", body="売れません。")))
    said = words(cancel_modal(a_case(), plans))
    assert "購入者への通知(14件):\nご注文について\nご注文をキャンセルしました。" in said
    assert "販売者への通知(14件):\nご注文について\n売れません。" in said


def test_whom_else_it_touches_is_listed_once() -> None:
    plans = plans_for(a_case(), affects=(an_affected("O-900"),))
    said = words(cancel_modal(a_case(), plans))
    assert said.count("O-900 — 発送待ちの注文 ¥3,200") == 1


def test_who_gets_a_message_is_told_in_words() -> None:
    plans = plans_for(a_case(), messages=(a_message(to="account"),))
    assert "アカウントの利用者への通知(14件)" in words(cancel_modal(a_case(), plans))


def test_what_it_is_done_to_anyway_is_not_told_as_touched() -> None:
    plans = plans_for(a_case(), affects=(an_affected("O-81231"),))
    assert "次の方にも影響します" not in words(cancel_modal(a_case(), plans))


def test_messages_that_differ_in_the_order_alone_are_shown_for_the_first_one() -> None:
    plans = [
        a_plan(
            Verb.CANCEL, an_order(id_), messages=(a_message(body=f"ご注文 {id_} は不成立です。"),)
        )
        for id_ in ("O-1", "O-2", "O-3")
    ]
    said = words(cancel_modal(a_case(), plans))
    assert "購入者への通知(3件):\nご注文について\nご注文 O-1 は不成立です。" in said
    assert "ご注文 O-2" not in said


def test_findings_with_the_same_evidence_stand_together_in_the_details() -> None:
    same = [a_finding(subject=an_order(id_), finding_id=n) for n, id_ in enumerate(("O-1", "O-2"))]
    made = modals.details_modal(a_case(findings=same), now=NOW, messages=JA, tz=TOKYO)
    said = words(made)
    assert "自作自演による不正注文の疑い — O-1、O-2" in said
    assert said.count("カード・端末") == 1


def test_what_the_marketplace_refuses_is_named_and_cannot_be_ticked() -> None:
    view, plans = the_ring()
    plans[3] = evolve(plans[3], allowed=False, refusal_code="already_shipped")
    made = cancel_modal(view, plans)
    assert "・O-81234: すでに発送されています(already_shipped)" in words(made)
    assert "order:O-81234" not in offered(made)
    assert words(made).startswith("注文11件を")


def test_a_refusal_that_we_do_not_know_is_told_in_the_marketplace_s_words() -> None:
    view, plans = the_ring()
    plans[0] = evolve(
        plans[0], allowed=False, refusal_code="rule_7", refusal_message="Locked by the bank"
    )
    assert "O-81231: Locked by the bank(rule_7)" in words(cancel_modal(view, plans))


def test_where_nothing_is_possible_there_is_nothing_to_send() -> None:
    view = a_case()
    plans = plans_for(view, allowed=False, refusal_code="already_shipped")
    made = cancel_modal(view, plans)
    assert "submit" not in made
    assert words(made).startswith("この操作の対象はもうありません。")


def test_a_changed_plan_says_that_nothing_was_done() -> None:
    view, plans = the_ring()
    said = words(cancel_modal(view, plans, changed=True))
    assert said.startswith(
        "⚠️ この画面を開いている間に状況が変わりました。まだ何も実行していません。"
    )


@pytest.mark.parametrize(
    ("messages", "told", "unknown"),
    [
        (JA, "カードの売上を取り消します。", "実行内容がマーケットから提示されません"),
        (EN, "The card payment is voided.", "is not known here"),
    ],
)
def test_a_marketplace_that_shows_no_plan_is_said_to_show_none(
    messages: Messages, told: str, unknown: str
) -> None:
    view = a_case()
    foretold = Foretold(ja="カードの売上を取り消します。", en="The card payment is voided.")
    plans = plans_for(view, token=None, foretold=foretold, affects=(), messages=())
    shown_words = words(cancel_modal(view, plans, messages=messages))
    assert told in shown_words
    assert unknown in shown_words
    assert unknown not in words(cancel_modal(view, plans_for(view), messages=messages))
    waiting = a_case_awaiting_approval()
    assert waiting.decision is not None
    decision = replace(waiting.decision, plans=tuple(plans))
    approval = modals.approve_modal(waiting, decision, messages=messages, tz=TOKYO)
    assert told in words(approval)
    assert unknown in words(approval)


def test_members_are_offered_ten_a_block() -> None:
    made = cancel_modal(*the_ring())
    assert list(boxes(made)) == ["targets", "targets_1", "targets_2", "options"]
    assert len(offered(made)) == 12 + 4 + 1


def test_accounts_that_no_finding_accuses_are_not_ticked() -> None:
    view = a_case()  # its finding names; came along
    made = cancel_modal(view, plans_for(view))
    assert [value for value in ticked(made) if value.startswith("account")] == [
        "account:A-1",
        "account:A-2",
    ]
    assert words(made).startswith("注文12件を強制キャンセルし、2アカウントを利用停止にします。")


def test_an_order_named_by_hand_suspends_nobody_unasked() -> None:
    members = (
        a_member(an_order()),
        a_member(an_account("A-1"), is_subject=False),
        a_member(an_account("A-2"), is_subject=False),
    )
    view = a_case(findings=(), members=members)
    made = cancel_modal(view, plans_for(view))
    assert ticked(made) == ["order:O-81231"]
    assert "利用停止にします" not in words(made).split("\n")[0]
    assert "suspend" in offered(made)


def test_more_than_fifty_members_are_not_ticked_one_by_one() -> None:
    members = tuple(a_member(an_order(f"O-{n}")) for n in range(60))
    view = a_case(members=members)
    made = cancel_modal(view, plans_for(view))
    assert boxes(made) == {}
    assert words(made).startswith("実行する内容: 注文60件を強制キャンセル")


def test_an_id_that_fits_in_no_option_takes_the_choice_away_not_the_order() -> None:
    view = a_case(members=(a_member(an_order("O-" + "9" * 80)),))
    made = cancel_modal(view, plans_for(view))
    assert boxes(made) == {}
    assert made["submit"]["text"] == "承認を申請"


def test_reasons_are_keys_that_read_in_every_language() -> None:
    japanese, english = cancel_modal(*the_ring()), cancel_modal(*the_ring(), messages=EN)

    def reasons(view: dict[str, Any]) -> list[tuple[str, str]]:
        (block,) = [b for b in view["blocks"] if b.get("block_id") == "reason"]
        return [(o["value"], o["text"]["text"]) for o in block["element"]["options"]]

    assert reasons(japanese)[0] == ("Stolen card", "盗難カードの使用")
    assert reasons(english)[0] == ("Stolen card", "Stolen card")


def submitted(view: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """What Slack would send for this modal."""
    return {
        "type": "view_submission",
        "user": {"id": "U0SATO", "team_id": "T0MIMAWARI"},
        "team": {"id": "T0MIMAWARI"},
        "view": {**view, "state": {"values": values}},
    }


def test_what_the_modal_offers_is_what_comes_back() -> None:
    made = cancel_modal(*the_ring())
    values: dict[str, Any] = {
        block_id: {
            box["action_id"]: {
                "type": "checkboxes",
                "selected_options": box.get("initial_options", []),
            }
        }
        for block_id, box in boxes(made).items()
    }
    values["reason"] = {
        "reason": {"type": "static_select", "selected_option": {"value": "Stolen card"}}
    }
    values["note"] = {"note": {"type": "plain_text_input", "value": "confirmed by phone"}}
    submission = parse_submission(submitted(made, values))
    assert submission.name == "cancel"
    assert (submission.press.case_id, submission.press.version) == (2041, 3)
    assert submission.plan_set_id == "ps_1"
    assert (submission.reason, submission.note) == ("Stolen card", "confirmed by phone")
    assert submission.options == {Verb.SUSPEND}
    assert submission.ticked is not None
    assert len(submission.ticked) == 16
    assert Subject(SubjectKind.ACCOUNT, "A-1") in submission.ticked


def test_the_metadata_holds_ids_and_nothing_else() -> None:
    made = cancel_modal(*the_ring())
    assert json.loads(made["private_metadata"]) == {
        "case": 2041,
        "version": 3,
        "plans": "ps_1",
        "decision": None,
    }


def test_an_approval_shows_exactly_what_was_requested() -> None:
    view = a_case_awaiting_approval()
    assert view.decision is not None
    made = modals.approve_modal(view, view.decision, messages=JA, tz=TOKYO)
    said = words(made)
    assert "注文1件を強制キャンセルし、1アカウントを利用停止にします。" in said
    assert "申請: 佐藤さん、4月15日 14:07" in said
    assert "理由: 盗難カードの使用" in said
    assert "強制キャンセル:\n・O-81231 ・ ¥12,400 ・ 山＊＊＊" in said
    assert json.loads(made["private_metadata"])["decision"] == "dec_1"
    assert made["submit"]["text"] == "承認"


def test_a_rejection_asks_for_a_reason() -> None:
    view = a_case_awaiting_approval()
    assert view.decision is not None
    made = modals.reject_modal(view, view.decision, messages=JA, tz=TOKYO)
    assert [block["block_id"] for block in made["blocks"] if block["type"] == "input"] == [
        "reason",
        "note",
    ]


def test_not_fraud_says_which_holds_it_releases() -> None:
    held = a_member(an_order(), held_at=NOW)
    view = a_case(members=(held,), operations=(an_operation(verb=Verb.HOLD),))
    said = words(modals.dismiss_modal(view, messages=JA))
    assert "保留中の注文1件は解除され、発送と振込が再開します。" in said
    free = words(modals.dismiss_modal(a_case(), messages=JA))
    assert "保留中の注文" not in free


def test_the_details_hold_every_member_and_the_whole_history() -> None:
    operation = an_operation(
        steps=(
            PlanStep(name="void_payment", state=StepState.DONE, amount=12400),
            PlanStep(name="notify_buyer", state=StepState.FAILED),
        )
    )
    failed = an_operation(an_order("O-81232"), state=S.FAILED, failure_code="already_shipped")
    view = a_case_with(CaseState.PARTLY_DONE, operation, failed)
    said = words(
        modals.details_modal(
            view,
            now=NOW,
            messages=JA,
            tz=TOKYO,
            runbook=["注文を保留する", "お客様に確認する"],
            false_positives=["家族で同じカードを使う"],
        )
    )
    assert all(f"O-{81231 + n} ・ 山＊＊＊" in said for n in range(12))
    assert "対応手順\n1. 注文を保留する\n2. お客様に確認する" in said
    assert "よくある誤検知\n1. 家族で同じカードを使う" in said
    assert "4月15日 14:07 ・ 佐藤さん ・ 強制キャンセルと利用停止 ・ 決定 ・ 承認 田中" in said
    assert (
        "・O-81231: 強制キャンセル、完了(決済の取り消し ¥12,400: 完了 ・ 購入者への通知: 失敗)"
        in said
    )
    assert "・O-81232: 強制キャンセルできませんでした。すでに発送されています" in said


def test_a_linked_account_is_marked_as_such_in_the_details() -> None:
    said = words(
        modals.details_modal(a_case(), now=NOW + timedelta(hours=1), messages=JA, tz=TOKYO)
    )
    assert "A-1 ・ 佐＊＊＊ ・ 販売者 ・ 有効 ・ 関連" in said


@pytest.mark.parametrize("messages", [JA, EN], ids=["ja", "en"])
def test_follows_that_are_not_there_do_not_read_as_a_refused_suspension(messages: Messages) -> None:
    account = an_account("A-1")
    idle = a_plan(
        Verb.REMOVE_FOLLOWS, account, allowed=False, refusal_code="nothing_to_remove", token=None
    )
    view = modals.action_modal(
        registry()["suspend"],
        a_case(members=(a_member(account),)),
        [a_plan(Verb.SUSPEND, account), idle],
        plan_set_id="ps_1",
        second_person=False,
        messages=messages,
        tz=TOKYO,
    )
    assert messages.t("Not possible:") not in words(view)
    alone = modals.action_modal(
        registry()["suspend"],
        a_case(members=(a_member(account),)),
        [evolve(idle, verb=Verb.SUSPEND, refusal_code="already_suspended")],
        plan_set_id="ps_1",
        second_person=False,
        messages=messages,
        tz=TOKYO,
    )
    assert messages.t("Not possible:") in words(alone)
