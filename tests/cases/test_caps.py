from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from bot.cases.approving import approve, expire_requests, reject
from bot.cases.deciding import Decided, decide
from bot.cases.freezing import Choice
from bot.cases.opening import open_findings
from bot.cases.policy import ActionRule, Cap, Policy, Tier
from bot.cases.room import Room
from bot.cases.taking_back import take_back
from bot.domain.cases import CaseState, CaseView
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Role
from bot.domain.subjects import SubjectKind
from bot.domain.verbs import Verb
from tests.cases.stage import (
    a_finding,
    a_plan,
    an_order,
    cancel_choice,
    hold_choice,
    press_of,
    reread,
    some_facts,
    the_case_of,
)

AGENT, AGENT_2, LEAD, LEAD_2 = "U0SATO", "U0SUZUKI", "U0TANAKA", "U0SMITH"


def with_rules(room: Room, *, caps: tuple[Cap, ...] = (), **rules: ActionRule) -> Room:
    """The room under the same policy with these caps alone and these actions' rules."""
    file = room.policy.file.model_copy(
        update={"caps": caps, "actions": {**room.policy.file.actions, **rules}}
    )
    return replace(room, policy=Policy(file=file, hash=room.policy.hash))


async def a_case(
    room: Room, order: str, *, buyer: str, amount: int = 1000, currency: str = "JPY"
) -> CaseView:
    finding = a_finding(order, at=room.clock.now(), amount=amount, account_ids=())
    facts = {
        subject: replace(known, buyer_id=buyer, currency=currency)
        if subject.kind is SubjectKind.ORDER
        else known
        for subject, known in some_facts(finding, room.clock.now(), amount=amount).items()
    }
    await open_findings(room, [finding], facts)
    return await the_case_of(room, order)


def refund_of(order: str, amount: int, currency: str = "JPY") -> Choice:
    plan = replace(a_plan(Verb.REFUND, an_order(order)), refund_amount=amount, currency=currency)
    return Choice(
        action="refund", targets=((plan.verb, plan.subject),), plans=(plan,), reason="Not delivered"
    )


async def refund(room: Room, user: str, order: str, buyer: str, amount: int) -> Decided | Refusal:
    view = await a_case(room, order, buyer=buyer, amount=100_000)
    return await decide(room, press_of(view, user), refund_of(order, amount))


def alone(answer: object) -> bool:
    assert isinstance(answer, Decided)
    return not answer.awaiting_approval


def refused(answer: object, code: RefusalCode) -> Refusal:
    assert isinstance(answer, Refusal)
    assert answer.code is code
    return answer


async def taken(room: Room) -> int:
    async with room.engine.connect() as conn:
        total: int = (
            await conn.execute(
                text(
                    "SELECT coalesce(sum(amount), 0)::bigint FROM ledger.cap_entries WHERE returned_at IS NULL"
                )
            )
        ).scalar_one()
    return total


async def test_many_small_refunds_to_one_buyer_count_as_the_one_that_they_make(room: Room) -> None:
    room = with_rules(room)
    assert alone(await refund(room, LEAD, "O-1", "B-1", 4000))
    assert alone(await refund(room, LEAD_2, "O-2", "B-1", 6000))
    assert not alone(await refund(room, LEAD, "O-3", "B-1", 1))
    assert alone(await refund(room, LEAD, "O-4", "B-2", 10_000))


async def test_over_a_cap_of_ones_own_another_person_must_decide(room: Room) -> None:
    cap = Cap(per="person", window="hour", actions=("refund",), amount={"JPY": 5000})
    room = with_rules(room, caps=(cap,))
    assert alone(await refund(room, LEAD, "O-1", "B-1", 4000))
    asked = await refund(room, LEAD, "O-2", "B-2", 1001)
    assert not alone(asked)
    assert alone(await refund(room, LEAD, "O-3", "B-3", 1000))


async def test_an_approver_has_the_same_cap(room: Room) -> None:
    cap = Cap(per="person", window="hour", actions=("refund",), amount={"JPY": 5000})
    room = with_rules(room, caps=(cap,))
    for number in (1, 2):
        asked = await refund(room, AGENT, f"O-{number}", f"B-{number}", 3000)
        assert isinstance(asked, Decided)
        view = await the_case_of(room, f"O-{number}")
        assert asked.decision_id is not None
        answer = await approve(room, press_of(view, LEAD), asked.decision_id)
        if number == 1:
            assert isinstance(answer, Decided)
        else:
            told = refused(answer, RefusalCode.CAP_REACHED)
            assert (told.reason, told.amount, told.currency) == ("person", 2000, "JPY")
            assert isinstance(
                await approve(room, press_of(view, LEAD_2), asked.decision_id), Decided
            )


@pytest.mark.parametrize("per", ["account", "action", "subject"])
async def test_over_a_shared_cap_nobody_can(room: Room, per: str) -> None:
    cap = Cap.model_validate(
        {"per": per, "window": "day", "actions": ["refund"], "amount": {"JPY": 5000}}
    )
    room = with_rules(room, caps=(cap,))
    view = await a_case(room, "O-1", buyer="B-1", amount=100_000)
    if per == "subject":
        over = await decide(room, press_of(view, LEAD), refund_of("O-1", 5001))
    else:
        assert alone(await decide(room, press_of(view, LEAD), refund_of("O-1", 4000)))
        over = await refund(room, LEAD_2, "O-2", "B-1", 1001)
    told = refused(over, RefusalCode.CAP_REACHED)
    assert told.reason == per
    assert told.amount == (5000 if per == "subject" else 1000)
    other = await refund(room, LEAD_2, "O-3", "B-9", 1001)
    if per == "action":
        refused(other, RefusalCode.CAP_REACHED)
    else:
        assert alone(other)


async def test_a_cap_counts_subjects_too(room: Room) -> None:
    cap = Cap(per="action", window="hour", actions=("hold",), count=2)
    room = with_rules(room, caps=(cap,))
    for order in ("O-1", "O-2"):
        view = await a_case(room, order, buyer="B")
        assert alone(await decide(room, press_of(view, AGENT), hold_choice(order)))
    view = await a_case(room, "O-3", buyer="B")
    told = refused(
        await decide(room, press_of(view, AGENT), hold_choice("O-3")), RefusalCode.CAP_REACHED
    )
    assert told.count == 0
    assert told.at is not None


async def test_where_nobody_approves_ones_own_cap_refuses(room: Room) -> None:
    cap = Cap(per="person", window="hour", actions=("hold",), count=1)
    room = with_rules(room, caps=(cap,))
    first, second = await a_case(room, "O-1", buyer="B"), await a_case(room, "O-2", buyer="B")
    assert alone(await decide(room, press_of(first, AGENT), hold_choice("O-1")))
    refused(
        await decide(room, press_of(second, AGENT), hold_choice("O-2")), RefusalCode.CAP_REACHED
    )
    assert alone(await decide(room, press_of(second, AGENT_2), hold_choice("O-2")))


async def test_decisions_at_once_never_overshoot(room: Room) -> None:
    cap = Cap(per="action", window="day", actions=("cancel",), amount={"JPY": 5000})
    room = with_rules(room, caps=(cap,))
    views = [await a_case(room, f"O-{n}", buyer=f"B-{n}", amount=1000) for n in range(12)]
    answers = await asyncio.gather(
        *(
            decide(room, press_of(view, (LEAD, LEAD_2)[n % 2]), cancel_choice(f"O-{n}"))
            for n, view in enumerate(views)
        )
    )
    decided = [answer for answer in answers if isinstance(answer, Decided)]
    assert len(decided) == 5
    assert await taken(room) == 5000
    for answer in answers:
        if not isinstance(answer, Decided):
            refused(answer, RefusalCode.CAP_REACHED)


@pytest.mark.parametrize("end", ["reject", "expire", "take_back"])
async def test_what_was_not_done_gives_back_what_it_took(room: Room, end: str) -> None:
    cap = Cap(per="action", window="day", actions=("cancel",), amount={"JPY": 1000})
    room = with_rules(room, caps=(cap,))
    view = await a_case(room, "O-1", buyer="B-1", amount=1000)
    if end == "take_back":
        room = replace(room, take_back_s=600)
        assert alone(await decide(room, press_of(view, LEAD), cancel_choice("O-1")))
        assert await taken(room) == 1000
        assert isinstance(await take_back(room, press_of(await reread(room, view), LEAD)), Decided)
    else:
        asked = await decide(room, press_of(view, AGENT), cancel_choice("O-1"))
        assert isinstance(asked, Decided)
        assert asked.decision_id is not None
        assert await taken(room) == 1000
        if end == "reject":
            now = await reread(room, view)
            answer = await reject(room, press_of(now, LEAD), asked.decision_id, reason="No")
            assert isinstance(answer, Decided)
        else:
            async with room.engine.begin() as conn:
                await conn.execute(
                    text("UPDATE ledger.decisions SET expires_at = clock_timestamp()")
                )
            assert await expire_requests(room) == 1
    assert await taken(room) == 0
    other = await a_case(room, "O-2", buyer="B-2", amount=1000)
    assert alone(await decide(room, press_of(other, LEAD_2), cancel_choice("O-2")))


async def test_a_currency_without_a_cap_needs_another_person(room: Room) -> None:
    cap = Cap(per="account", window="day", actions=("cancel",), amount={"JPY": 5000})
    rule = ActionRule(request=(Role.APPROVER,), approve=(Role.APPROVER,))
    room = with_rules(room, caps=(cap,), cancel=rule)
    view = await a_case(room, "O-1", buyer="B-1", currency="CHF")
    choice = cancel_choice("O-1")
    choice = replace(choice, plans=tuple(replace(p, currency="CHF") for p in choice.plans))
    assert not alone(await decide(room, press_of(view, LEAD), choice))


TWO_ROLES = ActionRule(
    request=(Role.AGENT, Role.APPROVER),
    approve=(Role.APPROVER,),
    approvals=(Tier(above={"JPY": 500}, each_of=(Role.APPROVER, Role.ENGINEER)),),
)


async def test_one_person_of_each_role_must_approve(room: Room) -> None:
    room = with_rules(room, cancel=TWO_ROLES)
    view = await a_case(room, "O-1", buyer="B-1")
    asked = await decide(room, press_of(view, AGENT), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    assert asked.decision_id is not None
    view = await reread(room, view)
    assert view.decision is not None
    assert view.decision.slots == (("approver",), ("engineer",))
    first = await approve(room, press_of(view, LEAD), asked.decision_id)
    assert isinstance(first, Decided)
    assert first.awaiting_approval
    view = await reread(room, view)
    told = refused(
        await approve(room, press_of(view, LEAD_2), asked.decision_id), RefusalCode.NO_ROLE
    )
    assert told.roles == ("engineer",)
    last = await approve(room, press_of(view, "U0ITO"), asked.decision_id)
    assert isinstance(last, Decided)
    assert (await reread(room, view)).state is CaseState.EXECUTING


async def test_a_role_decides_up_to_its_own_limit(room: Room) -> None:
    rule = ActionRule(
        request=(Role.AGENT, Role.APPROVER),
        approve=(Role.APPROVER, Role.ADMIN),
        request_up_to={Role.AGENT: {"JPY": 999}},
        approve_up_to={Role.APPROVER: {"JPY": 2000}},
    )
    room = with_rules(room, cancel=rule)
    small = await a_case(room, "O-1", buyer="B-1", amount=999)
    large = await a_case(room, "O-2", buyer="B-2", amount=1000)
    huge = await a_case(room, "O-3", buyer="B-3", amount=2001)
    assert isinstance(await decide(room, press_of(small, AGENT), cancel_choice("O-1")), Decided)
    told = refused(
        await decide(room, press_of(large, AGENT), cancel_choice("O-2")), RefusalCode.OVER_LIMIT
    )
    assert told.roles == ("approver",)
    asked = await decide(room, press_of(huge, LEAD), cancel_choice("O-3"))
    assert not alone(asked)
    assert isinstance(asked, Decided)
    told = refused(
        await approve(room, press_of(await reread(room, huge), LEAD_2), asked.decision_id or ""),
        RefusalCode.OVER_LIMIT,
    )
    assert told.roles == ("admin",)


async def test_a_refusal_over_a_cap_is_in_the_log(room: Room) -> None:
    cap = Cap(per="action", window="hour", actions=("hold",), count=1)
    room = with_rules(room, caps=(cap,))
    for order in ("O-1", "O-2"):
        view = await a_case(room, order, buyer="B")
        await decide(room, press_of(view, AGENT), hold_choice(order))
    async with room.engine.connect() as conn:
        codes = (
            await conn.execute(
                text(
                    "SELECT details ->> 'code' FROM ledger.audit_entries WHERE tag = 'policy:decision:denied'"
                )
            )
        ).scalars()
        assert list(codes) == ["cap_reached"]
