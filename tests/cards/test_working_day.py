"""What helps through a day of 150 cases: counting down, waiting, folding, by hand, the roll-up, the next case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot.actions import registry
from bot.cards import answers, modals
from bot.cards.blocks import Block
from bot.cards.roll_up import roll_up_card
from bot.cards.stories import story_text
from bot.domain.cases import (
    CaseState,
    CaseView,
    DecisionState,
    Note,
    OperationState,
    QueueEntry,
    RollUp,
    Wait,
    WaitKind,
)
from bot.domain.findings import Severity
from bot.domain.story import Story, StoryKind
from bot.domain.verbs import OperationClass, Verb
from bot.locale import Messages
from bot.playground.workspace.blocks import validate_message_blocks, validate_view
from tests.builders import (
    NAMES,
    NOW,
    a_case,
    a_case_with,
    a_decision,
    a_finding,
    a_member,
    an_account,
    an_approval,
    an_operation,
    an_order,
    evolve,
)
from tests.cards.reading import EN, JA, TOKYO, WALL, menu_of, pressed, shown, the_card

S = OperationState
LOCALES = pytest.mark.parametrize("messages", [JA, EN], ids=["ja", "en"])


def counting_down(**changes: Any) -> CaseView:
    operations = (
        an_operation(state=S.QUEUED),
        an_operation(an_account(), Verb.SUSPEND, S.QUEUED),
    )
    decision = a_decision(
        approvals=(an_approval(),),
        starts_at=WALL + timedelta(seconds=60),
        targets=tuple((o.verb, o.subject) for o in operations),
    )
    return evolve(
        a_case(state=CaseState.EXECUTING, decisions=(decision,), operations=operations), **changes
    )


def by_hand(count: int = 2, **changes: Any) -> CaseView:
    orders = [an_order(f"O-{n}") for n in range(count)]
    operations = tuple(
        an_operation(order, state=S.PENDING, operation_class=OperationClass.MANUAL)
        for order in orders
    )
    members = tuple(
        a_member(order, admin_url=f"https://shop.example/orders/{order.id}") for order in orders
    )
    return evolve(a_case_with(CaseState.EXECUTING, *operations), members=members, **changes)


def waiting(kind: WaitKind, group: str | None = None) -> CaseView:
    return a_case(
        wait=Wait(kind=kind, by="U0SATO", since=WALL, until=WALL + timedelta(hours=4), group=group)
    )


# ---- The card


def test_a_decision_that_waits_says_when_it_starts_and_offers_to_take_it_back_alone() -> None:
    card = the_card(counting_down())
    assert "⏳ 14:08:00 に実行します。それまで取り消せます" in card.text
    assert "承認 田中" in card.text
    assert pressed(card.blocks)[0] == "取り消す"
    assert "残りを中止" not in pressed(card.blocks)
    english = the_card(counting_down(), EN)
    assert "Starts at 14:08:00; until then it can be taken back." in english.text


@pytest.mark.parametrize(
    "changes", [{"state": S.EXECUTING}, {"attempts": 1}, {"state": S.SUCCEEDED}]
)
def test_what_has_begun_is_not_offered_to_be_taken_back(changes: dict[str, Any]) -> None:
    view = counting_down()
    begun = (evolve(view.operations[0], **changes), *view.operations[1:])
    card = the_card(evolve(view, operations=begun))
    assert "取り消す" not in pressed(card.blocks)
    assert "実行中" in card.text


def test_a_decision_taken_back_is_told_with_who_did_it() -> None:
    decision = a_decision(state=DecisionState.TAKEN_BACK, taken_back_by="U0SUZUKI")
    card = the_card(a_case(decisions=(decision,), operations=(an_operation(state=S.STOPPED),)))
    assert "鈴木さんが決定" in card.text
    assert "何も実行されていません" in card.text


def test_a_case_that_waits_says_for_whom_since_when_and_until_when() -> None:
    asked = the_card(waiting(WaitKind.CUSTOMER))
    assert "お客様に確認中 — 14:07 に佐藤さんが確認 ・ 期限 18:07" in asked.text
    escalated = the_card(waiting(WaitKind.GROUP, "cs-leads"))
    assert "cs-leads にエスカレーション中" in escalated.text
    assert "Waiting for the customer" in the_card(waiting(WaitKind.CUSTOMER), EN).text


@LOCALES
def test_a_folded_card_is_one_line_with_what_came_of_it_and_a_menu(messages: Messages) -> None:
    done = a_case_with(CaseState.DONE, an_operation(), folded=True, closed_at=NOW)
    card = the_card(done, messages)
    (block,) = card.blocks
    line = block["text"]["text"]
    assert "\n" not in line
    assert line.startswith("✅")
    assert "C-2041" in line
    assert block["accessory"]["options"][0]["value"] == "details|2041|3"
    assert validate_message_blocks(card.blocks) == []


def test_a_folded_case_that_is_open_again_is_drawn_whole() -> None:
    assert len(the_card(a_case(folded=True)).blocks) > 1


def test_a_folded_suspension_can_still_be_undone_from_its_menu() -> None:
    account = a_member(an_account(), suspended_at=NOW, status="suspended")
    view = a_case_with(
        CaseState.DONE,
        an_operation(an_account(), Verb.SUSPEND),
        folded=True,
        members=(account,),
        closed_at=NOW,
    )
    (block,) = the_card(view).blocks
    values = [option["value"] for option in block["accessory"]["options"]]
    assert "reinstate|2041|3" in values


def test_what_people_must_do_by_hand_is_linked_and_can_be_recorded_or_stopped() -> None:
    card = the_card(by_hand())
    assert "管理画面で次の操作を行い、結果を記録してください" in card.text
    links = next(
        b["text"]["text"]
        for b in card.blocks
        if b["type"] == "section" and b["text"]["type"] == "mrkdwn"
    )
    assert "<https://shop.example/orders/O-0|O-0: 強制キャンセル>" in links
    assert pressed(card.blocks)[:2] == ["実施結果を記録…", "残りを中止"]


def test_a_link_of_the_marketplace_cannot_break_out_of_its_place() -> None:
    view = by_hand(1)
    (member,) = view.members
    evil = evolve(member, facts=evolve(member.facts, admin_url="https://x.example/|<!channel>"))
    card = the_card(evolve(view, members=(evil,)))
    assert "<!channel>" not in str([b for b in card.blocks if b["type"] == "section"])


def test_notes_are_counted_on_the_card_and_read_in_the_details() -> None:
    notes = tuple(
        Note(author="U0SATO", body=f"メモ本文{n} <!here>", at=NOW + timedelta(minutes=n))
        for n in range(5)
    )
    view = a_case(notes=notes, note_count=7)
    assert "メモ7件" in the_card(view).text
    told = "\n".join(shown(modals.details_modal(view, now=NOW, messages=JA, tz=TOKYO)["blocks"]))
    assert "ほか2件のメモ" in told
    assert "佐藤さん ・ メモ本文4" in told


@pytest.mark.parametrize("state", list(CaseState))
def test_asking_or_escalating_is_offered_while_there_is_something_to_decide(
    state: CaseState,
) -> None:
    values = [
        option["value"].partition("|")[0]
        for option in menu_of(the_card(a_case_with(state, an_operation())).blocks)
    ]
    assert ("consult" in values) is (state in {CaseState.OPEN, CaseState.PARTLY_DONE})


# ---- Modals


def every_modal(messages: Messages) -> Iterator[Block]:
    yield modals.consult_modal(a_case(), ["cs-leads", "engineers"], messages=messages)
    yield modals.consult_modal(
        a_case(), [f"a-rather-long-group-handle-{n}" for n in range(30)], messages=messages
    )
    yield modals.by_hand_modal(by_hand(), messages=messages)
    yield modals.by_hand_modal(by_hand(250), messages=messages)


@LOCALES
def test_slack_takes_these_modals(messages: Messages) -> None:
    for modal in every_modal(messages):
        assert validate_view(modal) == []


def test_the_customers_text_accuses_nobody_and_names_the_orders() -> None:
    modal = modals.consult_modal(a_case(), ["cs-leads"], messages=JA)
    text = next(
        b["element"]["initial_value"] for b in modal["blocks"] if b.get("block_id") == "text"
    )
    assert "O-81231" in text
    for accusing in ("不正", "疑い", "詐欺", "盗難"):
        assert accusing not in text


def test_nothing_is_ticked_before_somebody_says_that_it_was_done() -> None:
    modal = modals.by_hand_modal(by_hand(13), messages=JA)
    inputs = [b["element"] for b in modal["blocks"] if b["type"] == "input"]
    assert [len(element["options"]) for element in inputs] == [10, 3]
    assert all("initial_options" not in element for element in inputs)


# ---- Answers


@LOCALES
def test_the_next_case_comes_with_its_own_buttons(messages: Messages) -> None:
    card = the_card(a_case(), messages)
    answer = answers.next_case(2041, card.text, card.blocks, messages=messages)
    assert "C-2041" in answer.text.splitlines()[0]
    assert {b["type"] for b in answer.blocks} >= {"actions", "table"}
    assert validate_message_blocks(list(answer.blocks)) == []


def test_every_press_is_answered_with_what_it_led_to_and_the_next_case() -> None:
    names = [*registry(), "approve", "reject", "dismiss", "consult", "by_hand", "take_back"]
    for name in names:
        for waits, starts_at in ((True, None), (False, WALL), (False, None)):
            answer = answers.pressed(
                name, 2041, waits=waits, starts_at=starts_at, messages=JA, tz=TOKYO
            )
            assert answer.text.startswith("C-2041: ")
            assert "この操作" not in answer.text, name
            assert answer.blocks[-1]["elements"][0]["action_id"] == "act:next"
            assert validate_message_blocks(list(answer.blocks)) == []


# ---- The roll-up


def an_entry(case_id: int, **changes: Any) -> QueueEntry:
    return evolve(
        QueueEntry(
            case_id=case_id,
            severity=Severity.P2,
            state=CaseState.OPEN,
            opened_at=NOW - timedelta(minutes=20),
            assignee=None,
            title_ja="短時間の繰り返し注文",
            title_en="Repeated orders",
            amounts=((12400, "JPY"),),
            deadline=NOW + timedelta(hours=3),
        ),
        **changes,
    )


def a_roll_up(**changes: Any) -> RollUp:
    return evolve(
        RollUp(
            since=NOW - timedelta(hours=1),
            until=NOW,
            new=((Severity.P2, 12), (Severity.P3, 3)),
            left=((Severity.P2, 20), (Severity.P3, 4)),
            amounts=((512300, "JPY"), (9900, "EUR")),
            oldest_at=NOW - timedelta(hours=5),
            first=tuple(an_entry(2041 + n) for n in range(5)),
        ),
        **changes,
    )


@LOCALES
def test_the_roll_up_tells_what_came_what_is_left_and_the_first_few(messages: Messages) -> None:
    card = roll_up_card(
        a_roll_up(), post_id="post_1", now=NOW, messages=messages, tz=TOKYO, names=NAMES
    )
    assert validate_message_blocks(card.blocks) == []
    for told in ("12", "20", "¥512,300", "€99.00", "C-2041", "C-2045"):
        assert told in card.text
    assert pressed(card.blocks) == [messages.t("Next case")]


def test_a_roll_up_of_hostile_titles_keeps_them_harmless() -> None:
    hostile = tuple(an_entry(n, title_ja="<!channel> *太字*" * 30) for n in range(5))
    card = roll_up_card(
        a_roll_up(first=hostile), post_id="post_1", now=NOW, messages=JA, tz=TOKYO, names={}
    )
    assert validate_message_blocks(card.blocks) == []
    assert "<!channel>" not in card.text


# ---- The thread


def test_the_thread_tells_waiting_taking_back_and_work_by_hand() -> None:
    def told(kind: StoryKind, **changes: Any) -> str:
        story = Story(kind=kind, by="U0SATO", by_name="佐藤", action="cancel", **changes)
        return story_text(story, messages=JA, tz=TOKYO)

    assert "14:08:00 に実行します" in told(
        StoryKind.DECIDED, starts_at=WALL + timedelta(seconds=60)
    )
    assert "佐藤さんが決定を取り消しました" in told(StoryKind.TAKEN_BACK)
    asked = told(StoryKind.ASKED, note="一行目\n<!channel> 二行目", expires_at=WALL)
    assert "\n> 一行目\n> " in asked
    assert "<!channel>" not in asked
    escalated = told(StoryKind.ESCALATED, expires_at=WALL, approver_groups=("S0LEADS",))
    assert "<!subteam^S0LEADS>" in escalated
    assert told(StoryKind.WAIT_OVER, mention="U0SATO").startswith("<@U0SATO> ")
    assert "<@" not in told(StoryKind.WAIT_OVER, mention="<!channel>")
    done = told(StoryKind.BY_HAND, count=2, subject_ids=("O-9",))
    assert "2件の操作を手作業で実施" in done
    assert "未実施: O-9" in done


def test_the_finding_of_an_account_asks_about_the_account() -> None:
    view = a_case(
        members=(a_member(an_account()),),
        findings=(a_finding(subject=an_account(), order_ids=()),),
    )
    text = modals.consult_modal(view, [], messages=JA)
    assert "アカウントのご利用状況" in str(text)
