"""Builders of ledger values for tests: a whole example each, of which a test changes one thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bot.domain.cases import (
    Approval,
    CaseState,
    CaseView,
    Decision,
    DecisionState,
    Member,
    MemberFacts,
    Operation,
    OperationState,
    Precision,
)
from bot.domain.findings import Evidence, EvidenceType, Finding, Mode, Severity
from bot.domain.plans import Affected, Plan, PlanMessage
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb

NOW = datetime(2026, 4, 15, 5, 2, tzinfo=UTC)
"""14:02 in Tokyo."""
NAMES = {"U0SATO": "佐藤", "U0TANAKA": "田中", "U0SUZUKI": "鈴木", "U0SMITH": "Smith"}

T = TypeVar("T")


def evolve(value: T, **changes: Any) -> T:
    """The same value, but for what is named."""
    return replace(value, **changes)  # type: ignore[type-var]  # every value of the domain is a dataclass


def an_order(id_: str = "O-81231") -> Subject:
    return Subject(SubjectKind.ORDER, id_)


def an_account(id_: str = "A-1") -> Subject:
    return Subject(SubjectKind.ACCOUNT, id_)


def order_facts(**changes: Any) -> MemberFacts:
    return evolve(
        MemberFacts(
            status="paid",
            name_masked="山＊＊＊",
            amount=12400,
            currency="JPY",
            payment_method="card",
            buyer_id="A-2",
            seller_id="A-1",
            ordered_at=NOW - timedelta(hours=2),
            ship_due_at=NOW + timedelta(hours=2, minutes=14),
            payout_at=NOW + timedelta(days=3, minutes=5),
            admin_url="https://shop.example/admin/orders/O-81231",
        ),
        **changes,
    )


def account_facts(**changes: Any) -> MemberFacts:
    return evolve(
        MemberFacts(
            status="active",
            name_masked="佐＊＊＊",
            is_seller=False,
            created_at=NOW - timedelta(days=2),
        ),
        **changes,
    )


def a_member(subject: Subject | None = None, *, is_subject: bool = True, **facts: Any) -> Member:
    """An order unless told otherwise; `facts` change those of its kind."""
    subject = subject or an_order()
    made = order_facts if subject.kind is SubjectKind.ORDER else account_facts
    return Member(subject=subject, is_subject=is_subject, facts=made(**facts), joined_at=NOW)


def a_finding(**changes: Any) -> Finding:
    return evolve(
        Finding(
            detection="self_dealing_link",
            detection_hash="0" * 64,
            title_ja="自作自演による不正注文の疑い",
            title_en="Suspected self-dealing",
            severity=Severity.P1,
            mode=Mode.REVIEW,
            subject=an_order(),
            window_key="w1",
            occurred_at=NOW,
            amount=12400,
            currency="JPY",
            account_ids=("A-1", "A-2"),
            order_ids=("O-81231",),
            evidence=(
                Evidence(
                    name="shared",
                    label_ja="一致した項目",
                    label_en="Shared",
                    type=EvidenceType.TEXT,
                    value="card, device",
                    value_ja="カード・端末",
                    value_en="card, device",
                ),
            ),
            actions=("hold", "cancel"),
            finding_id=1,
        ),
        **changes,
    )


def a_plan(verb: Verb = Verb.CANCEL, subject: Subject | None = None, **changes: Any) -> Plan:
    subject = subject or an_order()
    return evolve(
        Plan(
            verb=verb,
            subject=subject,
            allowed=True,
            reversible=verb is not Verb.CANCEL,
            token=f"token-{verb}-{subject.id}",
            currency="JPY",
            refund_amount=12400 if verb is Verb.CANCEL else 0,
            refund_route="card" if verb is Verb.CANCEL else "none",
        ),
        **changes,
    )


def a_message(**changes: Any) -> PlanMessage:
    return evolve(
        PlanMessage(to="buyer", subject="ご注文について", body="ご注文をキャンセルしました。"),
        **changes,
    )


def an_affected(id_: str = "O-900", summary: str | None = "発送待ちの注文 ¥3,200") -> Affected:
    return Affected(kind="order", id=id_, summary=summary)


def a_decision(**changes: Any) -> Decision:
    return evolve(
        Decision(
            decision_id="dec_1",
            case_id=2041,
            case_version=3,
            action="cancel",
            state=DecisionState.APPROVED,
            requested_by="U0SATO",
            requested_at=NOW + timedelta(minutes=5),
            reason="Stolen card",
            note=None,
            targets=((Verb.CANCEL, an_order()), (Verb.SUSPEND, an_account())),
            plans=(a_plan(), a_plan(Verb.SUSPEND, an_account())),
            params_hash="0" * 64,
            amounts=((12400, "JPY"),),
            approvals_needed=1,
        ),
        **changes,
    )


def an_operation(
    subject: Subject | None = None,
    verb: Verb = Verb.CANCEL,
    state: OperationState = OperationState.SUCCEEDED,
    **changes: Any,
) -> Operation:
    subject = subject or an_order()
    return evolve(
        Operation(
            operation_id=f"op_{verb}_{subject.id}",
            decision_id="dec_1",
            verb=verb,
            subject=subject,
            state=state,
            plan_token=None,
            amount=12400 if subject.kind is SubjectKind.ORDER else None,
            currency="JPY" if subject.kind is SubjectKind.ORDER else None,
            created_at=NOW + timedelta(minutes=5),
            ended_at=NOW + timedelta(minutes=11, seconds=12)
            if state is OperationState.SUCCEEDED
            else None,
        ),
        **changes,
    )


def a_case(**changes: Any) -> CaseView:
    """An open ring: 12 orders, one seller, three buyers."""
    orders = tuple(a_member(an_order(f"O-{81231 + n}"), amount=12400 - n) for n in range(12))
    accounts = tuple(
        a_member(an_account(f"A-{n}"), is_subject=False, is_seller=n == 1) for n in range(1, 5)
    )
    return evolve(
        CaseView(
            case_id=2041,
            state=CaseState.OPEN,
            severity=Severity.P1,
            version=3,
            revision=7,
            opened_at=NOW,
            opened_by=None,
            assignee=None,
            closed_at=None,
            closed_by=None,
            dismiss_reason=None,
            updated_by=None,
            updated_at=NOW,
            members=(*orders, *accounts),
            findings=(a_finding(),),
            precisions=(Precision(detection="self_dealing_link", confirmed=206, decided=214),),
            names=NAMES,
        ),
        **changes,
    )


def an_approval(user_id: str = "U0TANAKA") -> Approval:
    return Approval(user_id=user_id, at=NOW + timedelta(minutes=9))


def a_case_awaiting_approval(**changes: Any) -> CaseView:
    decision = a_decision(
        state=DecisionState.AWAITING_APPROVAL, expires_at=NOW + timedelta(hours=20)
    )
    return a_case(state=CaseState.AWAITING_APPROVAL, decisions=(decision,), **changes)


def a_case_with(state: CaseState, *operations: Operation, **changes: Any) -> CaseView:
    """A case whose approved cancel led to these operations."""
    decision = a_decision(
        approvals=(an_approval(),),
        targets=tuple((operation.verb, operation.subject) for operation in operations),
    )
    return a_case(state=state, decisions=(decision,), operations=operations, **changes)
