from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import text

from bot.cases.deciding import Decided, decide
from bot.cases.holding import follow_holds
from bot.cases.nights import hold_newcomers, tell_shift
from bot.cases.opening import open_findings
from bot.cases.policy import Cap, OffHours, PolicyFile
from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView, OperationState
from bot.domain.findings import Mode, Severity
from bot.domain.verbs import Verb
from bot.ledger import audit, switches
from bot.ledger.caps import lock_caps
from bot.ledger.engine import create_engine
from tests.cases.stage import (
    a_finding,
    an_open_case,
    hold_choice,
    press_of,
    reread,
    some_facts,
    the_case_of,
)
from tests.cases.test_holding import carry_out, carry_out_dry, hours_from_now, pass_hours, told
from tests.cases.test_reminding import nobody_there, tags, under

AGENT, LEAD = "U0SATO", "U0TANAKA"


def at_night(room: Room, *, yen: int = 100_000, count: int = 20, **entries: object) -> Room:
    """The room while nobody is there, under a policy that lets one detection hold."""
    rule = OffHours(detections=("self_dealing_link",), caps={"JPY": yen}, count=count)
    return under(room, **nobody_there(room), off_hours=rule, **entries)


def by_day(room: Room) -> Room:
    """The same policy with somebody always there."""
    return under(room, calendar=None)


async def found(
    room: Room, *orders: str, amount: int = 12_400, currency: str = "JPY", **changes: object
) -> CaseView:
    """A case that one finding about these orders opened."""
    finding = a_finding(orders[0], at=room.clock.now(), order_ids=orders, amount=amount, **changes)
    facts = {
        subject: replace(known, currency=currency) if known.amount else known
        for subject, known in some_facts(finding, room.clock.now(), amount=amount).items()
    }
    await open_findings(room, [finding], facts)
    return await the_case_of(room, orders[0])


def held(view: CaseView) -> list[str]:
    return sorted(o.subject.id for o in view.operations if o.verb is Verb.HOLD)


async def summaries(room: Room) -> list[Mapping[str, object]]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(
            text("SELECT story FROM ledger.posts WHERE kind = 'notice' ORDER BY created_at")
        )
        return [row.story for row in rows if row.story["kind"] == "shift"]


async def test_a_listed_detection_holds_at_once_what_it_finds_at_night(room: Room) -> None:
    room = at_night(room)
    view = await found(room, "O-1", "O-2")
    assert view.state is CaseState.EXECUTING
    assert held(view) == ["O-1", "O-2"]
    assert view.decision is not None
    assert (view.decision.requested_by, view.decision.action) == (
        "detection:self_dealing_link",
        "hold",
    )
    await carry_out(room)
    after = await reread(room, view)
    assert after.state is CaseState.OPEN
    assert after.hold is not None
    assert after.hold.owner is None
    assert after.hold.until > room.calendar.next_opening(after.hold.since)
    (story,) = await told(room, "night_held")
    assert (story["orders"], story["count"], story["amounts"]) == (2, 0, [[24_800, "JPY"]])
    assert await tags(room, "detection:hold:%") == ["detection:hold:made"]
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok


async def test_no_other_finding_holds_anything(room: Room) -> None:
    other = await found(at_night(room), "O-1", detection="new_seller_burst")
    assert (other.state, other.operations) == (CaseState.OPEN, ())
    lesser = await found(at_night(room), "O-2", severity=Severity.P2, account_ids=())
    assert (lesser.state, lesser.operations) == (CaseState.OPEN, ())


async def test_a_detection_in_shadow_holds_nothing(room: Room) -> None:
    room = at_night(room)
    finding = a_finding("O-1", at=room.clock.now(), mode=Mode.SHADOW)
    await open_findings(room, [finding], some_facts(finding, room.clock.now()))
    async with room.engine.connect() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM ledger.operations")) == 0


async def test_while_somebody_is_there_and_without_the_section_nothing_is_held(room: Room) -> None:
    view = await found(by_day(at_night(room)), "O-1")
    assert view.operations == ()
    view = await found(under(room, **nobody_there(room)), "O-2")
    assert view.operations == ()
    assert room.policy.file.off_hours is None


def test_a_policy_that_lets_detections_hold_at_night_must_say_when_night_is() -> None:
    rule = {"detections": ["self_dealing_link"], "caps": {"JPY": 1}, "count": 1}
    with pytest.raises(ValueError, match="off_hours needs a calendar"):
        PolicyFile.model_validate({"roles": {}, "actions": {}, "off_hours": rule})


async def test_the_nights_sum_stays_under_its_cap_dearest_first(room: Room) -> None:
    room = at_night(room, yen=25_000)
    first = await found(room, "O-1", amount=15_000)
    second = await found(room, "O-2", amount=10_001, account_ids=())
    third = await found(room, "O-3", amount=10_000, account_ids=())
    fourth = await found(room, "O-4", amount=1, account_ids=())
    assert [held(view) for view in (first, second, third, fourth)] == [["O-1"], [], ["O-3"], []]
    assert (second.state, fourth.state) == (CaseState.OPEN, CaseState.OPEN)
    assert await tags(room, "detection:hold:%") == [
        "detection:hold:made",
        "detection:hold:left",
        "detection:hold:made",
        "detection:hold:left",
    ]


async def test_what_hit_the_cap_is_told_once_however_often_it_is_found(room: Room) -> None:
    room = at_night(room, yen=1000)
    await found(room, "O-1")
    again = await found(room, "O-1", window_key="w2", amount=99_999)
    assert len(again.findings) == 2
    assert held(again) == []
    assert len(await told(room, "night_held")) == 1
    assert await tags(room, "detection:hold:%") == ["detection:hold:left"]


async def test_no_more_orders_than_the_count_and_no_unlisted_currency(room: Room) -> None:
    view = await found(at_night(room, count=2), "O-1", "O-2", "O-3")
    assert len(held(view)) == 2
    view = await found(at_night(room), "O-9", currency="EUR", account_ids=())
    assert held(view) == []


async def test_the_policys_own_caps_hold_at_night_too(room: Room) -> None:
    cap = Cap(per="action", window="day", actions=("hold",), count=1)
    room = at_night(room, caps=(cap,))
    assert held(await found(room, "O-1")) == ["O-1"]
    assert held(await found(room, "O-2", account_ids=())) == []


async def test_many_processes_at_once_stay_under_the_cap_and_hold_each_order_once(
    room: Room,
) -> None:
    room = at_night(room, yen=50_000)
    other = replace(room, engine=create_engine(room.engine.url.render_as_string(False)))
    findings = [a_finding(f"O-{n}", at=room.clock.now(), account_ids=()) for n in range(6)]
    try:
        await asyncio.gather(
            *(
                open_findings(one, [finding], some_facts(finding, room.clock.now()))
                for finding in findings
                for one in (room, other)
            )
        )
    finally:
        await other.engine.dispose()
    async with room.engine.connect() as conn:
        rows = (await conn.execute(text("SELECT subject_id FROM ledger.operations"))).all()
    # Four times ¥12,400 fit; both processes found every order.
    assert len(rows) == len({row.subject_id for row in rows}) == 4
    assert len(await told(room, "night_held")) == 6


async def test_a_hold_of_the_night_waits_for_whoever_is_counting_the_caps(room: Room) -> None:
    room = at_night(room)

    async def waits() -> bool:
        async with room.engine.connect() as conn:
            waiting = await conn.scalar(
                text(
                    """SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                        WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted"""
                )
            )
        return bool(waiting)

    async with room.engine.begin() as conn:
        await lock_caps(conn)
        task = asyncio.create_task(found(room, "O-1"))
        async with asyncio.timeout(20):
            while not await waits():
                assert not task.done()
                await asyncio.sleep(0.02)
    assert held(await task) == ["O-1"]


async def test_what_a_person_has_decided_on_is_not_held_again(room: Room) -> None:
    view = await an_open_case(room)
    assert isinstance(await decide(room, press_of(view, AGENT), hold_choice("O-1")), Decided)
    await carry_out(room)
    view = await reread(room, view)
    released = replace(
        hold_choice(), action="release", targets=((Verb.RELEASE, view.members[0].subject),)
    )
    assert isinstance(await decide(room, press_of(view, LEAD), released), Decided)
    await carry_out(room)
    again = await found(at_night(room), "O-1", window_key="w2", amount=99_999)
    assert again.case_id == view.case_id
    assert len(again.findings) == 2
    assert [d.action for d in again.decisions] == ["hold", "release"]


async def test_what_joins_the_case_later_in_the_night_is_held_too(room: Room) -> None:
    room = at_night(room)
    view = await found(room, "O-1")
    await carry_out(room)
    joined = await found(room, "O-2", window_key="w2", account_ids=("buyer-of-O-1",))
    assert joined.case_id == view.case_id
    assert held(joined) == ["O-1", "O-2"]


async def test_what_joins_while_the_first_orders_are_being_held_is_held_after_them(
    room: Room,
) -> None:
    room = at_night(room)
    view = await found(room, "O-1")
    joined = await found(room, "O-2", window_key="w2", account_ids=("buyer-of-O-1",))
    assert joined.case_id == view.case_id
    assert held(joined) == ["O-1"]
    assert await hold_newcomers(room) == 0
    await carry_out(room)
    other = replace(room, engine=create_engine(room.engine.url.render_as_string(False)))
    try:
        counts = await asyncio.gather(*(hold_newcomers(one) for one in (room, other) * 3))
    finally:
        await other.engine.dispose()
    assert sorted(counts) == [0, 0, 0, 0, 0, 1]
    assert held(await reread(room, view)) == ["O-1", "O-2"]
    assert await hold_newcomers(by_day(room)) == 0


async def test_what_the_shift_saw_and_left_alone_is_not_held_because_another_order_joins(
    room: Room,
) -> None:
    view = await an_open_case(room)
    night = at_night(room)
    joined = await found(night, "O-2", window_key="w2", account_ids=("buyer-of-O-1",))
    assert joined.case_id == view.case_id
    assert held(joined) == ["O-2"]


async def test_a_dry_run_tells_the_shift_of_no_hold(room: Room) -> None:
    room = replace(at_night(room), dry_run=True)
    await found(room, "O-1")
    await carry_out_dry(room)
    assert await tell_shift(by_day(room))
    (summary,) = await summaries(room)
    assert summary["counts"] == [["held", 0], ["unsure", 1], ["cap", 0], ["paused", 0]]


async def test_while_holding_is_paused_nothing_is_held_and_the_shift_hears_of_it(
    room: Room,
) -> None:
    room = at_night(room)
    async with room.engine.begin() as conn:
        await switches.pull(conn, "hold", by=LEAD, reason="決済障害")
    view = await found(room, "O-1")
    assert view.operations == ()
    assert await tell_shift(by_day(room))
    (summary,) = await summaries(room)
    assert dict(summary["counts"])["paused"] == 1  # type: ignore[call-overload]  # JSON of ours
    assert summary["left_amounts"] == [[12_400, "JPY"]]


async def test_the_shift_hears_once_what_was_held_and_what_hit_the_cap(room: Room) -> None:
    room = at_night(room, yen=25_000)
    await found(room, "O-1", "O-2")
    await carry_out(room)
    await found(room, "O-3", account_ids=())
    assert not await tell_shift(room)
    assert await summaries(room) == []

    day = by_day(room)
    other = replace(day, engine=create_engine(room.engine.url.render_as_string(False)))
    try:
        said = await asyncio.gather(*(tell_shift(one) for one in (day, other) * 4))
    finally:
        await other.engine.dispose()
    assert sorted(said) == [False] * 7 + [True]
    (summary,) = await summaries(room)
    assert summary["counts"] == [["held", 2], ["unsure", 0], ["cap", 1], ["paused", 0]]
    assert summary["amounts"] == [[24_800, "JPY"]]
    assert summary["left_amounts"] == [[12_400, "JPY"]]
    assert summary["count"] == 2
    assert await tags(room, "clock:shift:%") == ["clock:shift:told"]


async def test_a_hold_that_did_not_take_effect_is_not_told_as_one(room: Room) -> None:
    room = at_night(room)
    await found(room, "O-1")
    assert await tell_shift(by_day(room))
    (summary,) = await summaries(room)
    assert summary["counts"] == [["held", 0], ["unsure", 1], ["cap", 0], ["paused", 0]]


async def test_a_quiet_night_is_not_told(room: Room) -> None:
    assert not await tell_shift(by_day(at_night(room)))


async def test_a_hold_of_the_night_runs_out_like_any_other(room: Room) -> None:
    room = at_night(room)
    view = await found(room, "O-1")
    await carry_out(room)
    day = by_day(room)
    view = await reread(room, view)
    await pass_hours(room, hours_from_now(view) - 3)
    assert await follow_holds(day) == 1
    (warning,) = await told(room, "hold_warned")
    assert (warning["mention"], warning["approver_groups"]) == (None, ["S0AGENTS", "S0LEADS"])
    await pass_hours(room, 4)
    assert await follow_holds(day) == 1
    await carry_out(room)
    after = await reread(room, view)
    assert [o.state for o in after.operations] == [OperationState.SUCCEEDED] * 2
    assert after.hold is None
