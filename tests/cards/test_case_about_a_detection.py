"""A case about a detection of ours offers nothing that could be done to a customer."""

from __future__ import annotations

from bot.domain.cases import Member, MemberFacts
from bot.domain.subjects import Subject, SubjectKind
from tests.builders import NOW, a_case, a_finding
from tests.cards.reading import EN, objects, the_card

QUIET = Subject(SubjectKind.DETECTION, "self_dealing_link")
VIEW = a_case(
    members=(Member(subject=QUIET, is_subject=True, facts=MemberFacts(), joined_at=NOW),),
    findings=(a_finding(subject=QUIET, amount=None, currency=None, actions=()),),
)


def test_it_counts_detections_and_names_the_one() -> None:
    card = the_card(VIEW, EN)
    assert "1 detection" in card.text
    assert "self_dealing_link" in str(card.blocks)


def test_its_buttons_act_on_nobody() -> None:
    buttons = {
        part.get("action_id", "").split(":")[0] + str(part.get("text", {}).get("text", ""))
        for part in objects(the_card(VIEW, EN).blocks)
        if part.get("type") == "button"
    }
    assert buttons, "it can still be dismissed"
    assert not [said for said in buttons if "uspend" in said or "ancel" in said or "old" in said]
