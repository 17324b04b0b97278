"""Notices: what is told beside the cases, in the channel's language."""

from __future__ import annotations

from typing import Any

import pytest

from bot.cards import modals
from bot.cards.notices import DETECTION_NEWS, DRAWERS, notice_card
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import Proposal, ProposalKind, ProposalState
from bot.locale import Messages, messages_for
from bot.playground.workspace.blocks import validate_message_blocks, validate_view
from tests.builders import NOW, a_case_awaiting_approval, evolve
from tests.cards.reading import TOKYO, buttons_of, objects
from tests.cards.test_limits import LOCALES, TEXTS


def test_every_kind_of_notice_is_drawn() -> None:
    assert set(DRAWERS) == set(NoticeKind)


def a_notice(kind: NoticeKind, text: str, **changes: Any) -> Notice:
    """A notice in which everything that can come from outside is this text."""
    return evolve(
        Notice(
            kind=kind,
            by=text or "U0SATO",
            by_name=text,
            person=text,
            person_name=text,
            action="all",
            role="approver",
            reason=text,
            note=text,
            detail="policy",
            at=NOW,
            until=NOW,
            case_id=2001,
            subject_ids=tuple(f"{text}{n}" for n in range(40)),
            names=(text,) * 3,
            lines=(text,) * 40,
            count=2,
            counts=((text, 3),),
            amounts=((1200, "JPY"), (5, "EUR")),
            groups=("S0LEADS",),
            proposal_id="prop_" + "0" * 32,
            state="open",
        ),
        **changes,
    )


PROPOSALS = [(kind.value, state.value) for kind in ProposalKind for state in ProposalState]


def check(notice: Notice, messages: Messages) -> None:
    """Slack takes it, and nothing that people wrote is alive in it."""
    card = notice_card(notice, post_id="post_" + "0" * 32, messages=messages, tz=TOKYO)
    assert validate_message_blocks(card.blocks) == []
    assert 0 < len(card.text) <= 4000
    whole = card.text + "".join(
        str(one["text"]) for one in objects(card.blocks) if one.get("type") == "mrkdwn"
    )
    for alive in ("<!channel>", "<!here", "<@U0TANAKA>", "<#C0ALERTS>", "<https://evil"):
        assert alive not in whole
    for hidden in ("\u202e", "\u200b", "\ud800", "\x00"):
        assert hidden not in whole + str(card.blocks)


@TEXTS
@LOCALES
@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind is not NoticeKind.PROPOSAL])
def test_slack_takes_every_notice_whatever_is_in_it(
    kind: NoticeKind, messages: Messages, text: str
) -> None:
    check(a_notice(kind, text), messages)


@TEXTS
@LOCALES
@pytest.mark.parametrize(("detail", "state"), PROPOSALS)
def test_slack_takes_every_proposal_in_every_state(
    detail: str, state: str, messages: Messages, text: str
) -> None:
    check(a_notice(NoticeKind.PROPOSAL, text, detail=detail, state=state), messages)


@LOCALES
@pytest.mark.parametrize(("detail", "state"), PROPOSALS)
def test_only_what_is_open_asks_for_an_answer(detail: str, state: str, messages: Messages) -> None:
    notice = a_notice(NoticeKind.PROPOSAL, "佐藤", detail=detail, state=state)
    card = notice_card(notice, post_id="post_1", messages=messages, tz=TOKYO)
    assert bool(buttons_of(card.blocks)) == (state == "open")
    assert ("<!subteam^S0LEADS>" in str(card.blocks)) == (state == "open")


@TEXTS
@LOCALES
def test_slack_takes_the_modals_of_an_emergency(messages: Messages, text: str) -> None:
    view = a_case_awaiting_approval()
    assert view.decision is not None
    proposal = Proposal(
        proposal_id="prop_" + "0" * 32,
        kind=ProposalKind.REVIEW,
        about="dec_1",
        body={"case": 2001, "reason": text},
        body_hash="0" * 64,
        proposed_by="U0SATO",
        proposed_at=NOW,
        approvals_needed=1,
    )
    for modal in (
        modals.break_glass_modal(view, view.decision, messages=messages, tz=TOKYO),
        modals.review_modal(proposal, justified=True, messages=messages),
        modals.review_modal(proposal, justified=False, messages=messages),
    ):
        assert validate_view(modal) == []
        assert "\u202e" not in str(modal)


def test_a_pause_says_what_who_and_why() -> None:
    notice = Notice(kind=NoticeKind.PAUSED, by_name="鈴木", action="all", reason="決済障害", at=NOW)
    card = notice_card(notice, post_id="post_1", messages=messages_for("ja"), tz=TOKYO)
    assert card.text.startswith("🛑 一時停止: すべての操作")
    assert "鈴木さんが一時停止しました。理由: 決済障害" in card.text


def test_every_news_of_a_detection_names_it_in_both_languages() -> None:
    for what in (*DETECTION_NEWS, "approved"):
        notice = Notice(
            kind=NoticeKind.DETECTION,
            detail=what,
            by="detection:large_order",
            title_ja="高額注文の疑い",
            title_en="Suspected large order",
            mode="automatic",
            names=("伊藤", "田中"),
            count=31,
        )
        japanese, english = (
            notice_card(notice, post_id="post_" + "0" * 32, messages=m, tz=TOKYO).text
            for m in (messages_for("ja"), messages_for("en"))
        )
        assert japanese != english
        if not what.startswith("unreachable"):
            assert "高額注文の疑い" in japanese
            assert "Suspected large order" in english
            assert "large_order" in english
        assert "{" not in japanese + english
        if what in {"flood", "band", "baseline", "silent"}:
            assert "31" in japanese
            assert "31" in english
