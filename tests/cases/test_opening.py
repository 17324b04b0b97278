from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from bot.cases.deciding import decide, dismiss
from bot.cases.opening import Claimed, Opened, claim_case, open_by_hand, open_findings
from bot.cases.room import Room
from bot.domain.cases import CaseState
from bot.domain.findings import Finding, Mode, Severity
from bot.domain.refusals import Refusal, RefusalCode
from bot.ledger import audit
from tests.cases.stage import (
    a_finding,
    an_account,
    an_open_case,
    an_order,
    cancel_choice,
    press_of,
    reread,
    some_facts,
    the_case_of,
)


async def open_(room: Room, *findings: Finding) -> Opened:
    facts = {}
    for finding in findings:
        facts.update(some_facts(finding, room.clock.now()))
    return await open_findings(room, findings, facts)


async def test_a_finding_opens_a_case_with_its_members_and_a_stale_card(room: Room) -> None:
    view = await an_open_case(room)
    assert view.state is CaseState.OPEN
    assert {member.subject for member in view.members if member.is_subject} == {an_order("O-1")}
    assert an_account("buyer-of-O-1") in {member.subject for member in view.members}
    assert view.money_at_risk == ((12400, "JPY"),)
    async with room.engine.connect() as conn:
        stale = await conn.scalar(text("SELECT stale FROM ledger.cards"))
    assert stale is True


async def test_findings_of_one_tick_end_as_if_one_had_come_after_the_other(room: Room) -> None:
    at = room.clock.now()
    await an_open_case(room, "O-1")
    findings = [
        a_finding("O-2", at=at, account_ids=("A", "B")),
        a_finding("O-3", at=at, account_ids=("C",)),
        # Joins the older of the two that it knows.
        a_finding("O-4", at=at, account_ids=("C", "B")),
        # Knows a case that was there before, and brings O-5 into it.
        a_finding("O-5", at=at, account_ids=("buyer-of-O-1",), severity=Severity.P2),
        a_finding("O-6", at=at, order_ids=("O-6", "O-5"), account_ids=()),
        # Adds nothing to the first, nor does the same again.
        a_finding("O-2", at=at, window_key="w2"),
        a_finding("O-2", at=at, account_ids=("A", "B")),
        a_finding("O-7", at=at, mode=Mode.SHADOW),
    ]
    result = await open_(room, *findings)
    assert result == Opened(new=7, opened=2, joined=3, suppressed=1)
    second, third = await the_case_of(room, "O-2"), await the_case_of(room, "O-3")
    assert an_order("O-4") in {member.subject for member in second.members}
    assert third.case_id == second.case_id + 1
    first = await the_case_of(room, "O-1")
    assert {an_order("O-5"), an_order("O-6")} <= {member.subject for member in first.members}
    assert first.severity is Severity.P1
    async with room.engine.connect() as conn:
        tags = (
            await conn.execute(
                text("SELECT tag, subject_id FROM ledger.audit_entries ORDER BY seq OFFSET 1")
            )
        ).all()
        assert (await audit.verify(conn)).ok
    assert sorted(map(tuple, tags)) == [
        ("detection:case:joined", "O-4"),
        ("detection:case:joined", "O-5"),
        ("detection:case:joined", "O-6"),
        ("detection:case:opened", "O-2"),
        ("detection:case:opened", "O-3"),
        ("detection:finding:suppressed", "O-2"),
    ]


async def test_a_finding_that_the_ledger_refuses_keeps_none_of_the_others_out(room: Room) -> None:
    at = room.clock.now()
    findings = [a_finding(f"O-{n}", at=at) for n in range(9)]
    findings[4] = replace(findings[4], order_ids=("",))
    with pytest.raises(IntegrityError):
        await open_(room, *findings)
    async with room.engine.connect() as conn:
        stored = (await conn.scalars(text("SELECT subject_id FROM ledger.findings"))).all()
        cases = await conn.scalar(text("SELECT count(*) FROM ledger.cases"))
    assert sorted(stored) == [f"O-{n}" for n in range(9) if n != 4]
    assert cases == 8


async def test_the_same_finding_never_alerts_twice(room: Room) -> None:
    finding = a_finding("O-1", at=room.clock.now())
    assert (await open_(room, finding)).opened == 1
    assert await open_(room, finding) == Opened()
    results = await asyncio.gather(*(open_(room, finding) for _ in range(5)))
    assert all(result == Opened() for result in results)


async def test_findings_that_arrive_at_once_open_one_case(room: Room) -> None:
    finding = a_finding("O-1", at=room.clock.now())
    await asyncio.gather(*(open_(room, finding) for _ in range(6)))
    async with room.engine.connect() as conn:
        count = await conn.scalar(text("SELECT count(*) FROM ledger.cases"))
    assert count == 1


async def test_detections_that_find_the_same_orders_at_once_share_one_case(room: Room) -> None:
    one = a_finding("O-1", at=room.clock.now(), account_ids=("seller-1",))
    findings = [
        replace(one, detection=name, order_ids=("O-2",), account_ids=accounts)
        for name, accounts in (
            ("self_dealing_link", ("buyer-1", "seller-1")),
            ("many_cards_per_buyer", ("buyer-1",)),
            ("repeat_card_or_buyer_hour", ("buyer-1", "buyer-2")),
        )
    ]
    results = await asyncio.gather(*(open_(room, finding) for finding in findings))
    assert sorted((result.opened, result.joined) for result in results) == [(0, 1), (0, 1), (1, 0)]
    view = await the_case_of(room, "O-2")
    assert len(view.findings) == 3
    assert an_account("buyer-2") in {member.subject for member in view.members}


async def test_a_finding_about_a_shared_account_joins_the_open_case(room: Room) -> None:
    view = await an_open_case(room)
    joined = await open_(room, a_finding("O-2", at=room.clock.now(), account_ids=("buyer-of-O-1",)))
    assert (joined.opened, joined.joined) == (0, 1)
    after = await reread(room, view)
    assert an_order("O-2") in {member.subject for member in after.members}
    assert after.version > view.version


async def test_the_thread_is_told_what_is_new_and_not_the_same_again(room: Room) -> None:
    await an_open_case(room)
    finding = a_finding("O-1", at=room.clock.now())
    for again in (
        replace(finding, window_key="later", amount=99999),
        replace(finding, detection="many_cards_per_buyer"),
        replace(finding, window_key="more", amount=9999999, order_ids=("O-2",)),
    ):
        assert (await open_(room, again)).joined == 1
    async with room.engine.connect() as conn:
        told = await conn.scalar(text("SELECT count(*) FROM ledger.posts"))
    assert told == 3


async def test_a_newcomer_does_not_change_what_waits_for_approval(room: Room) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    waiting = await reread(room, view)
    await open_(room, a_finding("O-2", at=room.clock.now(), account_ids=("buyer-of-O-1",)))
    after = await reread(room, view)
    assert after.version == waiting.version
    assert after.revision > waiting.revision
    assert after.decision is not None
    assert [subject for _, subject in after.decision.targets] == [an_order("O-1")]


async def test_more_of_the_same_within_a_day_is_suppressed_but_recorded(room: Room) -> None:
    view = await an_open_case(room)
    await dismiss(room, press_of(view, "U0SATO"), reason="Gift")
    again = a_finding("O-1", at=room.clock.now(), window_key="w2")
    assert (await open_(room, again)).suppressed == 1
    dearer = replace(again, window_key="w3", amount=99999)
    assert (await open_(room, dearer)).opened == 1


async def test_a_shadow_finding_opens_nothing(room: Room) -> None:
    found = await open_(room, a_finding("O-1", at=room.clock.now(), mode=Mode.SHADOW))
    assert (found.new, found.opened) == (1, 0)


async def test_a_case_is_as_severe_as_its_worst_finding(room: Room) -> None:
    finding = a_finding("O-1", at=room.clock.now(), severity=Severity.P2)
    await open_(room, finding)
    await open_(room, replace(finding, detection="many_cards_per_buyer", severity=Severity.P1))
    assert (await the_case_of(room, "O-1")).severity is Severity.P1


async def test_a_person_opens_a_case_by_hand_and_finds_it_again(room: Room) -> None:
    finding = a_finding("O-7", at=room.clock.now())
    facts = some_facts(finding, room.clock.now() - timedelta(hours=1))
    subjects = [an_order("O-7"), an_account("buyer-of-O-7")]
    first = await open_by_hand(
        room, user_id="U0SATO", action="cancel", subjects=subjects, facts=facts
    )
    second = await open_by_hand(
        room, user_id="U0TANAKA", action="cancel", subjects=subjects, facts=facts
    )
    assert isinstance(first, int)
    assert first == second
    assert (await the_case_of(room, "O-7")).opened_by == "U0SATO"


async def test_who_may_not_act_cannot_open_a_case_either(room: Room) -> None:
    answer = await open_by_hand(
        room, user_id="U0YAMADA", action="cancel", subjects=[an_order("O-7")], facts={}
    )
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.NO_ROLE


async def test_claiming_twice_gives_the_case_up(room: Room) -> None:
    view = await an_open_case(room)
    mine = Claimed(case_id=view.case_id, assignee="U0SATO")
    assert await claim_case(room, user_id="U0SATO", case_id=view.case_id) == mine
    assert (await reread(room, view)).assignee == "U0SATO"
    again = await claim_case(room, user_id="U0SATO", case_id=view.case_id, same_press_s=0)
    assert again == Claimed(case_id=view.case_id, assignee=None)
    assert (await reread(room, view)).assignee is None


async def test_a_double_click_claims_a_case_and_does_not_give_it_up_again(room: Room) -> None:
    view = await an_open_case(room)
    for _ in range(2):
        answer = await claim_case(room, user_id="U0SATO", case_id=view.case_id)
        assert answer == Claimed(case_id=view.case_id, assignee="U0SATO")
    # Somebody else takes it over at once all the same.
    taken = await claim_case(room, user_id="U0TANAKA", case_id=view.case_id)
    assert taken == Claimed(case_id=view.case_id, assignee="U0TANAKA")
