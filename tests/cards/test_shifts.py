"""What cards, threads and the channel say of reminders, holds and nights."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.cards import modals
from bot.cards.case_card import case_card
from bot.cards.notices import notice_card
from bot.cards.stories import story_text
from bot.domain.cases import CaseState, CaseView, Hold
from bot.domain.notices import Notice, NoticeKind
from bot.domain.story import Story, StoryKind
from bot.domain.verbs import Verb
from bot.locale import Messages
from tests.builders import NOW, a_case, a_decision, a_member, an_operation, an_order
from tests.cards.reading import EN, JA, TOKYO

ENDS = NOW + timedelta(hours=24)


def a_held_case(
    state: CaseState = CaseState.OPEN, owner: str | None = "U0SATO", **hold: object
) -> CaseView:
    """A case whose only order is on hold because of it."""
    order = an_order("O-81231")
    holding = a_decision(action="hold", targets=((Verb.HOLD, order),))
    return a_case(
        state=state,
        members=(a_member(order, amount=12400, held_at=NOW),),
        decisions=(holding,),
        operations=(an_operation(order, Verb.HOLD),),
        hold=Hold(owner=owner, since=NOW, until=ENDS, **hold),  # type: ignore[arg-type]  # by name
    )


def lines_of(view: CaseView, messages: Messages = JA) -> list[str]:
    return case_card(view, now=NOW, tz=TOKYO, messages=messages).text.split("\n")


def names_of(view: CaseView, messages: Messages = JA) -> list[str]:
    card = case_card(view, now=NOW, tz=TOKYO, messages=messages)
    elements = [e for block in card.blocks for e in block.get("elements", [])]
    buttons = [str(e["action_id"]) for e in elements if "action_id" in e]
    options = [str(o["value"]).split("|")[0] for e in elements for o in e.get("options", [])]
    return [*buttons, *options]


def test_a_card_says_whose_the_hold_is_and_until_when() -> None:
    assert "🔒 保留 佐藤 ・ 期限 4月16日 14:02" in lines_of(a_held_case())
    assert "🔒 On hold: 佐藤 · until Apr 16, 14:02" in lines_of(a_held_case(), EN)


def test_what_a_detection_held_is_the_teams() -> None:
    assert "🔒 保留 チーム ・ 期限 4月16日 14:02" in lines_of(a_held_case(owner=None))


def test_a_card_counts_how_often_a_hold_was_extended() -> None:
    assert "🔒 保留 佐藤 ・ 期限 4月16日 14:02 ・ 延長2回" in lines_of(a_held_case(extended=2))


@pytest.mark.parametrize("state", [CaseState.AWAITING_APPROVAL, CaseState.EXECUTING])
def test_an_end_that_waits_is_not_told(state: CaseState) -> None:
    assert "🔒 保留 佐藤" in lines_of(a_held_case(state))
    assert "extend_hold" not in names_of(a_held_case(state))


def test_what_is_on_hold_no_more_is_not_told() -> None:
    view = a_held_case()
    released = a_case(
        members=(a_member(an_order("O-81231"), amount=12400),),
        operations=view.operations,
        decisions=view.decisions,
        hold=view.hold,
    )
    assert not [line for line in lines_of(released) if "🔒" in line]
    assert "extend_hold" not in names_of(released)


def test_the_way_to_extend_comes_out_of_the_menu_once_the_owner_was_reminded() -> None:
    assert "extend_hold" in names_of(a_held_case())
    assert "act:extend_hold" not in names_of(a_held_case())
    assert "act:extend_hold" in names_of(a_held_case(warned_at=NOW))


def test_the_modal_says_until_when_it_lasts_and_would_last() -> None:
    modal = modals.extend_hold_modal(
        a_held_case(), until=ENDS + timedelta(days=1), messages=JA, tz=TOKYO
    )
    first = modal["blocks"][0]["text"]["text"]
    assert first == (
        "注文1件の保留は4月16日 14:02に終了します。延長すると4月17日 14:02までとなり、以後はあなたが担当になります。"
    )
    assert modal["blocks"][1]["element"]["min_length"] == 5


K = StoryKind


@pytest.mark.parametrize(
    ("story", "ja", "en"),
    [
        (
            Story(kind=K.REMINDED, action="cancel", expires_at=ENDS, approver_groups=("S0LEADS",)),
            "<!subteam^S0LEADS> 申請(強制キャンセルと利用停止)への回答がまだありません。ご確認をお願いします。期限は4月16日 14:02です。",
            "<!subteam^S0LEADS> The request (Force-cancel + suspend) still waits for an answer. It ends at Apr 16, 14:02.",
        ),
        (
            Story(kind=K.CALLED_IN, action="cancel", hours=4, approver_groups=("S0ADMINS",)),
            "<!subteam^S0ADMINS> 申請(強制キャンセルと利用停止)に営業時間で4時間回答がありません。対応できる方の手配をお願いします。",
            (
                "<!subteam^S0ADMINS> Nobody has answered the request (Force-cancel + suspend) for 4 business hours."
                " Please see to it that somebody does."
            ),
        ),
        (
            Story(kind=K.HOLD_WARNED, orders=2, expires_at=ENDS, mention="U0SATO"),
            "<@U0SATO> 注文2件の保留は4月16日 14:02に終了し、自動的に解除されます。判断するか、理由を添えて延長してください。",
            (
                "<@U0SATO> The hold on 2 orders ends at Apr 16, 14:02: they are released then. Please decide, or extend"
                " the hold with a reason."
            ),
        ),
        (
            Story(kind=K.HOLD_EXTENDED, by_name="<!here>", expires_at=ENDS, note="*why*"),
            None,
            None,
        ),
        (
            Story(kind=K.HOLD_ENDED, orders=2),
            "保留の期限が過ぎ、延長されなかったため、注文2件の保留を解除しています。",
            "The hold has run out and nobody extended it: 2 orders are being released.",
        ),
        (
            Story(kind=K.NIGHT_HELD, orders=2, amounts=((24800, "JPY"),), count=1, detail="cap"),
            "営業時間外のため、ポリシーに従って注文2件(¥24,800)をすぐに保留しました。\n時間外の上限に達したため、保留していません: 注文1件。",
            (
                "Nobody is there: 2 orders (¥24,800) were put on hold at once, as the policy says.\n"
                "Not held, since the night's cap is reached: 1 order."
            ),
        ),
        (
            Story(kind=K.NIGHT_HELD, count=3, detail="paused"),
            "保留が一時停止中のため、保留していません: 注文3件。",
            "Not held, since holding is paused: 3 orders.",
        ),
    ],
)
def test_the_thread_says_it_in_short_sentences(
    story: Story, ja: str | None, en: str | None
) -> None:
    japanese, english = (story_text(story, messages=m, tz=TOKYO) for m in (JA, EN))
    if ja is None:
        assert "<!here>" not in japanese
        assert "4月16日 14:02" in japanese
        return
    assert (japanese, english) == (ja, en)


def test_the_shift_reads_what_was_held_and_what_was_not() -> None:
    notice = Notice(
        kind=NoticeKind.SHIFT,
        at=NOW,
        count=12,
        case_ids=(2001, 2002),
        counts=(("held", 3), ("unsure", 1), ("cap", 2), ("paused", 0)),
        amounts=((90000, "JPY"),),
        left_amounts=((40000, "JPY"),),
    )
    card = notice_card(notice, post_id="post_1", messages=JA, tz=TOKYO)
    assert card.text.split("\n") == [
        "🌙 営業時間外の検知: 12件のケース",
        "保留中: 注文3件(¥90,000)。判断または延長がなければ、期限に自動で解除されます。",
        "保留の結果が未確認、または失敗: 注文1件。",
        "時間外の上限に達したため、保留していません: 注文2件。",
        "保留していない金額: ¥40,000",
        "優先して確認をお願いします: C-2001、C-2002 ほか10件",
        "4月15日 14:02からの勤務の前まで",
    ]
