"""Sets the stage for tests of the case room: findings, open cases, plans."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.cases.freezing import Choice
from bot.cases.opening import open_findings, subjects_of
from bot.cases.planning import read_case
from bot.cases.room import Press, Room
from bot.domain.cases import CaseView, MemberFacts
from bot.domain.findings import Finding, Mode, Severity
from bot.domain.plans import Plan
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.ledger import cases


def an_order(id_: str) -> Subject:
    return Subject(SubjectKind.ORDER, id_)


def an_account(id_: str) -> Subject:
    return Subject(SubjectKind.ACCOUNT, id_)


def a_finding(order: str, *, at: datetime, **changes: object) -> Finding:
    finding = Finding(
        detection="self_dealing_link",
        detection_hash="0" * 64,
        title_ja="自作自演による不正注文の疑い",
        title_en="Suspected self-dealing",
        severity=Severity.P1,
        mode=Mode.REVIEW,
        subject=an_order(order),
        window_key="w1",
        occurred_at=at,
        amount=12400,
        currency="JPY",
        account_ids=(f"buyer-of-{order}",),
        order_ids=(order,),
        actions=("hold", "cancel"),
    )
    return replace(finding, **changes)  # type: ignore[arg-type]  # fields by name, as the caller says


def some_facts(
    finding: Finding, at: datetime, *, amount: int = 12400
) -> dict[Subject, MemberFacts]:
    return {
        subject: MemberFacts(
            status="paid",
            name_masked="山＊＊＊",
            amount=amount,
            currency="JPY",
            ordered_at=at,
            ship_due_at=at + timedelta(hours=2),
        )
        if subject.kind is SubjectKind.ORDER
        else MemberFacts(status="active", name_masked="山＊＊＊", is_seller=False)
        for subject in subjects_of(finding)
    }


async def an_open_case(room: Room, order: str = "O-1", *, amount: int = 12400) -> CaseView:
    """A case that one finding opened, as its card shows it."""
    finding = a_finding(order, at=room.clock.now(), amount=amount)
    await open_findings(room, [finding], some_facts(finding, room.clock.now(), amount=amount))
    return await the_case_of(room, order)


async def the_case_of(room: Room, order: str) -> CaseView:
    async with room.engine.connect() as conn:
        case_id = await cases.open_case_of(conn, an_order(order))
        assert case_id is not None
        view = await cases.read_view(conn, case_id)
    assert view is not None
    return view


async def reread(room: Room, view: CaseView) -> CaseView:
    again = await read_case(room, view.case_id)
    assert again is not None
    return again


def a_plan(verb: Verb, subject: Subject, *, token: str = "token-1", allowed: bool = True) -> Plan:
    return Plan(
        verb=verb,
        subject=subject,
        allowed=allowed,
        reversible=verb is not Verb.CANCEL,
        token=token,
        refusal_code=None if allowed else "already_shipped",
        currency="JPY",
        refund_amount=12400,
        refund_route="card",
    )


def cancel_choice(*orders: str, suspend: tuple[str, ...] = ()) -> Choice:
    targets = (
        *((Verb.CANCEL, an_order(order)) for order in orders),
        *((Verb.SUSPEND, an_account(account)) for account in suspend),
    )
    return Choice(
        action="cancel",
        targets=targets,
        plans=tuple(a_plan(verb, subject) for verb, subject in targets),
        reason="Stolen card",
    )


def hold_choice(*orders: str) -> Choice:
    return Choice(
        action="hold",
        targets=tuple((Verb.HOLD, an_order(order)) for order in orders),
        plans=(),
        reason="",
    )


def press_of(view: CaseView, user_id: str) -> Press:
    return Press(user_id=user_id, case_id=view.case_id, version=view.version)
