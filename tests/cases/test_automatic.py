"""What detections in automatic do by themselves: holds under caps, and never more than the policy says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from bot.cases.automatic import follow_newcomers
from bot.cases.deciding import Decided, decide
from bot.cases.opening import open_findings
from bot.cases.pausing import pause
from bot.cases.policy import Automatic, Cap
from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView
from bot.domain.findings import Mode
from bot.domain.verbs import Verb
from bot.ledger import audit
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
from tests.cases.test_holding import carry_out, carry_out_dry, told
from tests.cases.test_modes import until_waiting
from tests.cases.test_reminding import tags, under

AGENT, LEAD, ENGINEER = "U0SATO", "U0TANAKA", "U0ITO"


def by_itself(room: Room, **entries: object) -> Room:
    """The room under a policy that lets detections in automatic act."""
    rule = {"caps": {"JPY": 100_000}, "count": 20, **entries}
    return under(room, automatic=Automatic.model_validate(rule))


async def found(
    room: Room,
    *orders: str,
    amount: int = 12_400,
    currency: str = "JPY",
    mode: Mode = Mode.AUTOMATIC,
    **changes: object,
) -> CaseView:
    """The case of what one finding of a detection in automatic found."""
    finding = a_finding(
        orders[0],
        at=room.clock.now(),
        order_ids=orders,
        amount=amount,
        mode=mode,
        **changes,
    )
    facts = {
        subject: replace(known, currency=currency) if known.amount else known
        for subject, known in some_facts(finding, room.clock.now(), amount=amount).items()
    }
    await open_findings(room, [finding], facts)
    return await the_case_of(room, orders[0])


def held(view: CaseView) -> list[str]:
    return sorted(o.subject.id for o in view.operations if o.verb is Verb.HOLD)


async def test_a_detection_in_automatic_holds_at_once_what_it_finds(room: Room) -> None:
    room = by_itself(room)
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
    assert (after.state, after.hold is not None) == (CaseState.OPEN, True)
    (story,) = await told(room, "automatic_held")
    assert (story["orders"], story["count"], story["amounts"]) == (2, 0, [[24_800, "JPY"]])
    assert (story["action"], story["starts_at"]) == (None, None)
    assert await tags(room, "detection:hold:%") == ["detection:hold:automatic"]
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok


async def test_in_review_and_in_shadow_and_without_the_policy_nothing_is_held(room: Room) -> None:
    assert held(await found(by_itself(room), "O-1", mode=Mode.REVIEW)) == []
    assert held(await found(room, "O-2", account_ids=())) == []
    assert room.policy.file.automatic is None


async def test_what_its_file_does_not_propose_a_detection_does_not_do(room: Room) -> None:
    assert held(await found(by_itself(room), "O-1", actions=("cancel",))) == []


async def test_above_the_caps_the_dearest_that_fit_are_held_and_people_decide_the_rest(
    room: Room,
) -> None:
    room = by_itself(room, caps={"JPY": 25_000})
    first = await found(room, "O-1", amount=15_000)
    second = await found(room, "O-2", amount=10_001, account_ids=())
    third = await found(room, "O-3", amount=10_000, account_ids=())
    assert [held(view) for view in (first, second, third)] == [["O-1"], [], ["O-3"]]
    assert second.state is CaseState.OPEN
    assert await tags(room, "detection:hold:%") == [
        "detection:hold:automatic",
        "detection:hold:not_automatic",
        "detection:hold:automatic",
    ]
    story = (await told(room, "automatic_held"))[1]
    assert (story["orders"], story["count"], story["detail"]) == (0, 1, "cap")
    assert isinstance(await decide(room, press_of(second, AGENT), hold_choice("O-2")), Decided)


async def test_no_more_orders_than_the_count_and_no_unlisted_currency(room: Room) -> None:
    assert len(held(await found(by_itself(room, count=2), "O-1", "O-2", "O-3"))) == 2
    assert held(await found(by_itself(room), "O-9", currency="EUR", account_ids=())) == []


async def test_the_policys_own_caps_bind_detections_too(room: Room) -> None:
    room = by_itself(room)
    cap = Cap(per="action", window="day", actions=("hold",), count=1)
    room = under(room, caps=(cap,))
    assert held(await found(room, "O-1")) == ["O-1"]
    assert held(await found(room, "O-2", account_ids=())) == []


async def test_a_pause_stops_detections_too(room: Room) -> None:
    room = by_itself(room)
    await pause(room, LEAD, "hold", "決済障害")
    view = await found(room, "O-1")
    assert (view.state, held(view)) == (CaseState.OPEN, [])
    (story,) = await told(room, "automatic_held")
    assert story["detail"] == "paused"


async def test_what_anybody_decided_before_is_left_alone(room: Room) -> None:
    room = by_itself(room)
    view = await an_open_case(room)
    assert isinstance(await decide(room, press_of(view, AGENT), hold_choice("O-1")), Decided)
    await carry_out(room)
    again = await found(room, "O-1", window_key="w2", amount=99_999)
    assert held(again) == ["O-1"]
    assert await tags(room, "detection:hold:%") == []


async def test_many_processes_at_once_stay_under_the_caps_and_hold_each_order_once(
    room: Room,
) -> None:
    room = by_itself(room, caps={"JPY": 50_000})
    other = replace(room, engine=create_engine(room.engine.url.render_as_string(False)))
    findings = [
        a_finding(f"O-{n}", at=room.clock.now(), account_ids=(), mode=Mode.AUTOMATIC)
        for n in range(6)
    ]
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
    assert len(rows) == len({row.subject_id for row in rows}) == 4


async def test_a_hold_waits_for_whoever_is_counting_the_caps(room: Room) -> None:
    room = by_itself(room)
    async with room.engine.begin() as conn:
        await lock_caps(conn)
        task = asyncio.create_task(found(room, "O-1"))
        await until_waiting(room, 1)
    assert held(await task) == ["O-1"]


async def test_what_joins_while_a_hold_runs_is_held_after_it(room: Room) -> None:
    room = by_itself(room)
    await found(room, "O-1", account_ids=("A-1",))
    view = await found(room, "O-2", account_ids=("A-1",))
    assert held(view) == ["O-1"]
    assert await follow_newcomers(room) == 0
    await carry_out(room)
    assert await follow_newcomers(room) == 1
    assert held(await reread(room, view)) == ["O-1", "O-2"]
    await carry_out(room)
    assert await follow_newcomers(room) == 0


async def test_in_a_dry_run_a_hold_is_shown_and_recorded_and_nothing_is_held(room: Room) -> None:
    room = replace(by_itself(room), dry_run=True)
    view = await found(room, "O-1")
    assert held(view) == ["O-1"]
    async with room.engine.connect() as conn:
        assert await conn.scalar(text("SELECT bool_and(dry_run) FROM ledger.decisions"))
    await carry_out_dry(room)
    after = await reread(room, view)
    assert (after.state, after.hold) == (CaseState.OPEN, None)
    assert await follow_newcomers(room) == 0


def test_every_detection_is_for_holds_only() -> None:
    with pytest.raises(ValueError, match="for holds only"):
        Automatic(caps={}, count=1, every_detection=True, actions=("cancel",))
