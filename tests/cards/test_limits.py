"""Slack would take every card, modal and answer: in each state, for the largest case, with hostile text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.actions import registry
from bot.cards import answers, modals
from bot.cards.refusals import refusal_sentence
from bot.cards.stories import story_text
from bot.cases.selecting import Picked
from bot.domain.audit import AuditTag
from bot.domain.cases import CaseState, CaseView, DecisionState, OperationState, QueueEntry
from bot.domain.findings import Evidence, EvidenceType
from bot.domain.plans import Plan, PlanStep, Selection, StepState
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import SubjectKind
from bot.domain.verbs import Verb
from bot.ledger.audit import WrittenEntry
from bot.locale import Messages
from bot.playground.workspace.blocks import validate_message_blocks, validate_view
from tests.builders import (
    NAMES,
    NOW,
    a_case,
    a_case_awaiting_approval,
    a_case_with,
    a_decision,
    a_finding,
    a_member,
    a_message,
    a_plan,
    an_account,
    an_affected,
    an_approval,
    an_operation,
    an_order,
    evolve,
)
from tests.cards.reading import EN, JA, TOKYO, objects, the_card

S = OperationState
LOCALES = pytest.mark.parametrize("messages", [JA, EN], ids=["ja", "en"])

HOSTILE = [
    "<!channel>",
    "<!here|hello>",
    "<!subteam^S0LEADS>",
    "<@U0TANAKA>",
    "<#C0ALERTS>",
    "<https://evil.example|minne.com>",
    "https://evil.example/login",
    "mailto:a@evil.example",
    "*bold* _italic_ ~strike~ `code` ```block```",
    "> quote\n- list\n1. list",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "in\u200bvis\u200dible\ufeff\u00ad",
    "lone \ud800 and \udfff surrogates",
    "Z" + "\u0301" * 500,
    "山" * 10_000,
    "&lt;!channel&gt; &amp;",
    "{name} {0} %s %(x)s {seller.__class__}",
    "line\nbreak\r\nand\x00null\x1b[31m",
    "👨‍👩‍👧‍👦" * 2000,
    ":tada: @here #general",
    "",
    " ",
    "\u3164",
]
TEXTS = pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))


def a_case_of_strangers(state: CaseState, text: str, *, members: int = 1) -> CaseView:
    """A case in which everything that can come from outside is this text."""
    subjects = [an_order(f"{text}{n}") for n in range(members)]
    accounts = [an_account(f"a{text}{n}") for n in range(members)]
    evidence = tuple(
        Evidence(name=f"e{n}", label_ja=text, label_en=text, type=kind, value=text, currency=text)
        for n, kind in enumerate(EvidenceType)
    )
    finding = a_finding(
        title_ja=text, title_en=text, evidence=evidence * 8, subject=subjects[0], detection=text
    )
    operations = tuple(
        an_operation(
            subject,
            state=S.FAILED if state is CaseState.PARTLY_DONE else S.SUCCEEDED,
            failure_code=text,
            failure_message=text,
            currency=text,
            steps=(PlanStep(name=text, state=StepState.FAILED, detail=text, amount=5),),
        )
        for subject in subjects
    )
    decision = a_decision(
        state=DecisionState.AWAITING_APPROVAL
        if state is CaseState.AWAITING_APPROVAL
        else DecisionState.APPROVED,
        requested_by=text or "U",
        reason=text,
        note=text,
        approvals=(an_approval(text),),
        expires_at=NOW + timedelta(hours=8),
        targets=tuple((Verb.CANCEL, subject) for subject in subjects),
        plans=tuple(a_hostile_plan(subject.id, text) for subject in subjects),
    )
    facts: dict[str, Any] = {"name_masked": text, "status": text, "payment_method": text}
    return a_case(
        state=state,
        members=(
            *(a_member(s, currency=text, admin_url=text, **facts) for s in subjects),
            *(a_member(s, is_seller=None, **facts) for s in accounts),
        ),
        findings=(finding,) * 20,
        decisions=() if state is CaseState.OPEN else (decision,),
        operations=() if state is CaseState.OPEN else operations,
        names={**NAMES, text: text, "U": text},
        dismiss_reason=text,
        closed_by=text or "U",
        assignee=text or "U",
    )


def a_hostile_plan(id_: str, text: str, *, allowed: bool = True) -> Plan:
    return a_plan(
        Verb.CANCEL,
        an_order(id_),
        allowed=allowed,
        refusal_code=text,
        refusal_message=text,
        currency=text,
        withheld_amount=5,
        refund_route=text,
        affects=(an_affected(text, text),),
        messages=(a_message(to=text, subject=text, body=text),),
    )


def all_modals(view: CaseView, plans: Sequence[Plan], messages: Messages) -> list[dict[str, Any]]:
    decision = view.decision or a_decision()
    return [
        *(
            modals.action_modal(
                action,
                view,
                plans,
                plan_set_id="ps_" + "0" * 32,
                second_person=True,
                messages=messages,
                tz=TOKYO,
                changed=True,
            )
            for action in registry().values()
        ),
        modals.approve_modal(view, decision, messages=messages, tz=TOKYO),
        modals.reject_modal(view, decision, messages=messages, tz=TOKYO),
        modals.dismiss_modal(view, messages=messages),
        modals.overturn_modal(view, decision, messages=messages),
        modals.overturn_modal(view, replace(decision, action="dismiss"), messages=messages),
        *(
            modals.selection_modal(
                action,
                Picked(
                    view=view,
                    plans=tuple(plans),
                    selection=Selection(
                        plan_set_id="ps_" + "0" * 32,
                        chosen=frozenset(plan.subject for plan in plans[::2]),
                        revision=10**6,
                    ),
                    page=page,
                ),
                messages=messages,
                said="x" * 5000,
                changed=True,
            )
            for action in registry().values()
            for page in (0, 1)
        ),
        modals.details_modal(
            view,
            now=NOW,
            messages=messages,
            tz=TOKYO,
            runbook=[m.subject.id for m in view.members[:3]],
            false_positives=["x" * 5000],
        ),
        modals.loading_modal("cancel", messages=messages),
    ]


def assert_sendable(card_text: str, blocks: list[dict[str, Any]]) -> None:
    assert validate_message_blocks(blocks) == []
    assert 0 < len(card_text) <= 4000
    assert card_text.encode()
    assert str(blocks).encode()


def assert_dead(text: str) -> None:
    """No mention, link or formatting lives in this mrkdwn."""
    assert "<" not in text
    assert not {"*", "~"} & set(text)
    assert "@here" not in text
    assert "https:" not in text


@LOCALES
@TEXTS
def test_hostile_text_in_a_card_lives_nowhere(text: str, messages: Messages) -> None:
    for state in CaseState:
        card = the_card(a_case_of_strangers(state, text), messages)
        assert_sendable(card.text, card.blocks)
        assert_dead(card.text)
        # Blocks take text from outside as plain text alone, where nothing can live.
        assert not [found for found in objects(card.blocks) if found.get("type") == "mrkdwn"]


@LOCALES
@TEXTS
def test_hostile_text_in_a_modal_lives_nowhere(text: str, messages: Messages) -> None:
    view = a_case_of_strangers(CaseState.PARTLY_DONE, text)
    plans = [a_hostile_plan(f"{text}0", text), a_hostile_plan(f"{text}1", text, allowed=False)]
    for made in all_modals(view, plans, messages):
        assert validate_view(made) == []
        assert str(made).encode()
        assert not [found for found in objects(made) if found.get("type") == "mrkdwn"]


@LOCALES
@TEXTS
def test_hostile_text_in_a_thread_lives_nowhere(text: str, messages: Messages) -> None:
    for kind in StoryKind:
        told = story_text(a_hostile_story(kind, text), messages=messages, tz=TOKYO)
        assert 0 < len(told) <= 4000
        assert told.encode()
        assert_dead(told.replace("<!subteam^S0LEADS>", ""))


def a_hostile_story(kind: StoryKind, text: str) -> Story:
    return Story(
        kind=kind,
        by=text,
        by_name=text,
        action=text,
        reason=text,
        note=text,
        title_ja=text,
        title_en=text,
        evidence=(
            Evidence(name="e", label_ja=text, label_en=text, type=EvidenceType.TEXT, value=text),
        ),
        subject_ids=(text,) * 30,
        verb=text,
        code=text,
        detail=text,
        orders=3,
        accounts=2,
        count=30,
        expires_at=NOW,
        approver_groups=(text, "S0LEADS"),
    )


@LOCALES
@TEXTS
def test_hostile_text_in_a_refusal_lives_nowhere(text: str, messages: Messages) -> None:
    for code in RefusalCode:
        sentence = refusal_sentence(a_hostile_refusal(code, text), messages, TOKYO)
        assert 0 < len(sentence) <= 3000
        assert_dead(sentence.replace("<!subteam^S0LEADS>", ""))
        assert validate_view(modals.message_modal(sentence, messages=messages)) == []


def a_hostile_refusal(code: RefusalCode, text: str) -> Refusal:
    return Refusal(
        code=code,
        action=text,
        by=text,
        at=NOW,
        reason=text,
        roles=(text, "approver"),
        groups=(text, "S0LEADS"),
        detail=text,
    )


@LOCALES
@TEXTS
def test_hostile_text_in_an_answer_lives_nowhere(text: str, messages: Messages) -> None:
    queue = answers.queue_answer(
        [a_queue_entry(title=text, assignee=text or None)] * 20, now=NOW, messages=messages
    )
    trail = answers.audit_answer(
        text, [a_written_entry(text)] * 20, messages=messages, tz=TOKYO, names={}
    )
    for answer in (queue, trail, answers.audit_answer(text, [], messages=messages, tz=TOKYO)):
        assert_sendable(answer.text, list(answer.blocks))
        assert_dead(answer.text)
        assert not [f for f in objects(list(answer.blocks)) if f.get("type") == "mrkdwn"]
    assert_dead(answers.unknown_command(text, None, messages=messages))


@LOCALES
@pytest.mark.parametrize("state", list(CaseState))
@pytest.mark.parametrize("kind", list(SubjectKind))
def test_the_largest_case_fits(kind: SubjectKind, state: CaseState, messages: Messages) -> None:
    subjects = [evolve(an_order(f"{kind.value}-{n:03}-" + "9" * 40), kind=kind) for n in range(200)]
    verb = {SubjectKind.ORDER: Verb.CANCEL, SubjectKind.ACCOUNT: Verb.SUSPEND}.get(
        kind, Verb.TAKEDOWN
    )
    ended = S.FAILED if state is CaseState.PARTLY_DONE else S.SUCCEEDED
    operations = [an_operation(s, verb, ended, failure_code="rule") for s in subjects]
    view = a_case_with(
        state,
        *operations,
        members=tuple(a_member(subject) for subject in subjects),
        findings=tuple(a_finding(detection=f"d{n}", subject=subjects[n]) for n in range(30)),
    )
    plans = [a_plan(verb, subject, messages=(a_message(),)) for subject in subjects]
    card = the_card(view, messages)
    assert_sendable(card.text, card.blocks)
    assert len(card.blocks) <= 15
    for made in all_modals(view, plans, messages):
        assert validate_view(made) == []
        assert len(str(made).encode()) < 250_000


@LOCALES
def test_the_details_of_the_largest_case_count_what_they_leave_out(messages: Messages) -> None:
    members = tuple(
        a_member(an_order(f"O-{n}-" + "9" * 200), name_masked="x" * 30) for n in range(900)
    )
    made = modals.details_modal(a_case(members=members), now=NOW, messages=messages, tz=TOKYO)
    assert validate_view(made) == []
    rest = "ほか" if messages is JA else "and "
    assert any(rest in str(block) for block in made["blocks"])


@LOCALES
@pytest.mark.parametrize(
    "view",
    [
        a_case(),
        a_case(findings=(), opened_by="U0SATO"),
        a_case(members=()),
        a_case_awaiting_approval(),
        a_case_with(CaseState.EXECUTING),
        a_case_with(CaseState.PARTLY_DONE),
        a_case_with(CaseState.DONE),
        evolve(a_case(), state=CaseState.DISMISSED),
        evolve(a_case(), state=CaseState.AWAITING_APPROVAL),
        evolve(a_case(), state=CaseState.DONE),
    ],
    ids=range(10),
)
def test_a_case_with_something_missing_is_drawn_all_the_same(
    view: CaseView, messages: Messages
) -> None:
    card = the_card(view, messages)
    assert_sendable(card.text, card.blocks)
    for made in all_modals(view, [], messages):
        assert validate_view(made) == []


def a_queue_entry(**changes: Any) -> QueueEntry:
    title = changes.pop("title", "自作自演による不正注文の疑い")
    return evolve(
        QueueEntry(
            case_id=2041,
            severity=a_case().severity,
            state=CaseState.OPEN,
            opened_at=NOW,
            assignee=None,
            title_ja=title,
            title_en=title,
            amounts=((148600, "JPY"),),
            deadline=NOW + timedelta(hours=2, minutes=14),
        ),
        **changes,
    )


def a_written_entry(text: str) -> WrittenEntry:
    return WrittenEntry(
        seq=1,
        at=NOW,
        actor=text,
        tag=AuditTag.DENIED,
        case_id=1,
        decision_id=None,
        operation_id=None,
        subject_kind=None,
        subject_id=text,
        details={"action": text, "reason": text, "verb": text, "code": text, "status": text},
        canonical="",
        previous_hash="",
        hash="",
    )
