from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from bot.cases.approving import expire_requests, reject
from bot.cases.deciding import Decided, decide, dismiss
from bot.cases.holding import extend_hold, follow_holds
from bot.cases.recording import Result, record
from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView, OperationState
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.verbs import Verb
from bot.ledger import claims, operations, switches
from bot.ledger.engine import create_engine
from tests.cases.stage import an_open_case, cancel_choice, hold_choice, press_of, reread
from tests.cases.test_reminding import nobody_there, tags, under

AGENT, AGENT_2, LEAD, ENGINEER = "U0SATO", "U0SUZUKI", "U0TANAKA", "U0ITO"
WHY = "警察の照会への回答を待っています"


async def carry_out(room: Room) -> int:
    """Send everything that is queued to a marketplace that does as it is told; how much that was."""
    at = datetime.now(UTC).isoformat()
    after: Mapping[Verb, dict[str, object]] = {
        Verb.HOLD: {"held_at": at},
        Verb.RELEASE: {"held_at": None},
        Verb.CANCEL: {"status": "canceled", "canceled_at": at},
        Verb.SUSPEND: {"status": "suspended", "suspended_at": at},
    }
    async with room.engine.begin() as conn:
        found = [
            await operations.read_claimed(conn, claim)
            for claim in await claims.claim(
                conn, claims.OPERATIONS, owner="test", lease_s=60, limit=50
            )
        ]
    for operation in found:
        async with room.engine.begin() as conn:
            assert await operations.start_attempt(conn, operation.claim, "send")
        outcome = Outcome(kind=OutcomeKind.SUCCEEDED, after=after[operation.verb])
        result = Result(state=OperationState.SUCCEEDED, outcome=outcome, resolved_by="answer")
        assert await record(room, operation, "send", result)
    return len(found)


async def carry_out_dry(room: Room) -> None:
    """End the one operation that is queued as a dry run does."""
    async with room.engine.begin() as conn:
        (claim,) = await claims.claim(conn, claims.OPERATIONS, owner="test", lease_s=60)
        operation = await operations.read_claimed(conn, claim)
    async with room.engine.begin() as conn:
        assert await operations.start_dry_run(conn, operation.claim)
    result = Result(state=OperationState.SUCCEEDED, resolved_by="dry_run")
    assert await record(room, operation, "", result)


async def a_hold(room: Room, by: str = AGENT, order: str = "O-1") -> CaseView:
    """A case whose order is on hold."""
    view = await an_open_case(room, order)
    assert isinstance(await decide(room, press_of(view, by), hold_choice(order)), Decided)
    await carry_out(room)
    return await reread(room, view)


async def pass_hours(room: Room, hours: float) -> None:
    """Let every hold have begun, and its owner been reminded, so much earlier."""
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.cases SET hold_since = hold_since - make_interval(mins => :m),
                          hold_until = hold_until - make_interval(mins => :m),
                          hold_warned_at = hold_warned_at - make_interval(mins => :m)"""
            ),
            {"m": hours * 60},
        )


async def told(room: Room, kind: str) -> list[Mapping[str, object]]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(
            text(
                "SELECT story FROM ledger.posts WHERE story ->> 'kind' = :kind ORDER BY created_at"
            ),
            {"kind": kind},
        )
        return [row.story for row in rows]


def hours_from_now(view: CaseView) -> float:
    assert view.hold is not None
    return (view.hold.until - datetime.now(UTC)).total_seconds() / 3600


async def test_a_hold_that_took_effect_is_its_deciders_for_24_hours(room: Room) -> None:
    view = await a_hold(room)
    assert view.hold is not None
    assert view.hold.owner == AGENT
    assert 23.9 < hours_from_now(view) <= 24


async def test_a_hold_that_was_only_decided_has_no_end_yet(room: Room) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, AGENT), hold_choice("O-1"))
    assert (await reread(room, view)).hold is None


async def test_a_hold_lasts_24_business_hours(room: Room) -> None:
    room = under(room, **nobody_there(room))
    view = await a_hold(room)
    assert view.hold is not None
    # Nine hours a week: the 24th is the sixth hour of the third week.
    opens = room.calendar.next_opening(datetime.now(UTC))
    assert view.hold.until == opens + timedelta(days=14, hours=6)


async def test_its_owner_is_reminded_four_hours_before_the_end_once(room: Room) -> None:
    view = await a_hold(room)
    counts = []
    for hours in (19.9, 0.2, 1):
        await pass_hours(room, hours)
        counts.append(await follow_holds(room))
    assert counts == [0, 1, 0]
    (warning,) = await told(room, "hold_warned")
    assert (warning["mention"], warning["approver_groups"]) == (AGENT, [])
    assert warning["orders"] == 1
    assert (await reread(room, view)).state is CaseState.OPEN
    assert await tags(room, "clock:hold:%") == ["clock:hold:reminded"]


async def test_a_hold_that_nobody_extends_is_released_by_the_system(room: Room) -> None:
    view = await a_hold(room)
    for hours in (20.1, 4):
        await pass_hours(room, hours)
        assert await follow_holds(room) == 1
    during = await reread(room, view)
    assert during.state is CaseState.EXECUTING
    assert during.decision is not None
    assert (during.decision.requested_by, during.decision.action) == ("system", "release")
    assert await carry_out(room) == 1
    after = await reread(room, view)
    assert after.state is CaseState.OPEN
    assert after.hold is None
    (order,) = [m for m in after.members if m.subject.id == "O-1"]
    assert order.facts.held_at is None
    assert len(await told(room, "hold_ended")) == 1
    assert await tags(room, "clock:hold:%") == ["clock:hold:reminded", "clock:hold:ended"]
    assert await follow_holds(room) == 0


async def test_nothing_is_released_that_nobody_was_reminded_of(room: Room) -> None:
    """As after all processes stood still over the end of a hold."""
    view = await a_hold(room)
    await pass_hours(room, 100)
    assert await follow_holds(room) == 1
    after = await reread(room, view)
    assert after.state is CaseState.OPEN
    assert 3.9 < hours_from_now(after) <= 4
    assert len(await told(room, "hold_warned")) == 1


async def test_two_processes_remind_once_and_release_once(room: Room) -> None:
    view = await a_hold(room)
    other = replace(room, engine=create_engine(room.engine.url.render_as_string(False)))
    try:
        for hours in (20.1, 4):
            await pass_hours(room, hours)
            counts = await asyncio.gather(*(follow_holds(one) for one in (room, other) * 4))
            assert sum(counts) == 1
    finally:
        await other.engine.dispose()
    assert len(await told(room, "hold_warned")) == 1
    assert len(await told(room, "hold_ended")) == 1
    after = await reread(room, view)
    assert [d.action for d in after.decisions] == ["hold", "release"]
    assert await carry_out(room) == 1


async def test_whoever_extends_a_hold_says_why_and_owns_it(room: Room) -> None:
    view = await a_hold(room)
    await pass_hours(room, 20.1)
    await follow_holds(room)
    view = await reread(room, view)
    press = press_of(view, AGENT_2)
    silent = await extend_hold(room, press, words="  ")
    assert isinstance(silent, Refusal)
    assert silent.code is RefusalCode.NO_REASON
    assert isinstance(await extend_hold(room, press, words=WHY), Decided)
    after = await reread(room, view)
    assert after.hold is not None
    assert (after.hold.owner, after.hold.extended, after.hold.warned_at) == (AGENT_2, 1, None)
    assert 27.8 < hours_from_now(after) < 28
    (said,) = await told(room, "hold_extended")
    assert said["note"] == WHY
    assert await tags(room, "person:hold:%") == ["person:hold:extended"]


async def test_two_people_who_extend_it_at_once_extend_it_once(room: Room) -> None:
    view = await a_hold(room)
    answers = await asyncio.gather(
        *(extend_hold(room, press_of(view, user), words=WHY) for user in (AGENT, AGENT_2))
    )
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusal.code is RefusalCode.STALE
    assert 47.8 < hours_from_now(await reread(room, view)) <= 48


async def test_a_hold_never_ends_later_than_two_periods_from_now(room: Room) -> None:
    view = await a_hold(room)
    assert isinstance(await extend_hold(room, press_of(view, AGENT), words=WHY), Decided)
    view = await reread(room, view)
    assert 47.9 < hours_from_now(view) <= 48
    again = await extend_hold(room, press_of(view, AGENT), words=WHY)
    assert isinstance(again, Refusal)
    assert again.code is RefusalCode.NOTHING_TO_DO
    await pass_hours(room, 10)
    assert isinstance(await extend_hold(room, press_of(view, AGENT), words=WHY), Decided)
    assert 47.9 < hours_from_now(await reread(room, view)) <= 48


async def test_only_who_may_extend_it_does_and_only_what_is_on_hold(room: Room) -> None:
    view = await a_hold(room)
    answer = await extend_hold(room, press_of(view, ENGINEER), words=WHY)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.NO_ROLE
    other = await an_open_case(room, "O-2")
    answer = await extend_hold(room, press_of(other, AGENT), words=WHY)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.NOTHING_TO_DO


async def test_while_a_request_waits_the_end_of_the_hold_waits(room: Room) -> None:
    view = await a_hold(room)
    await pass_hours(room, 20.1)
    assert await follow_holds(room) == 1
    view = await reread(room, view)
    asked = await decide(room, press_of(view, AGENT), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    await pass_hours(room, 4)
    assert await follow_holds(room) == 0
    view = await reread(room, view)
    assert isinstance(
        await reject(
            room, press_of(view, LEAD), asked.decision_id or "", reason="The evidence does not fit"
        ),
        Decided,
    )
    assert await follow_holds(room) == 1
    assert len(await told(room, "hold_ended")) == 1


async def test_a_request_that_runs_out_keeps_the_hold_and_its_owner_is_reminded(room: Room) -> None:
    view = await a_hold(room)
    await pass_hours(room, 20.1)
    assert await follow_holds(room) == 1
    view = await reread(room, view)
    await decide(room, press_of(view, AGENT), cancel_choice("O-1"))
    await pass_hours(room, 5)
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE ledger.decisions SET expires_at = clock_timestamp() - interval '1 second'"
                " WHERE state = 'awaiting_approval'"
            )
        )
    assert await expire_requests(room) == 1
    assert await follow_holds(room) == 1
    after = await reread(room, view)
    assert after.state is CaseState.OPEN
    assert 3.9 < hours_from_now(after) <= 4
    assert len(await told(room, "hold_warned")) == 2
    assert await told(room, "hold_ended") == []


async def test_a_cancel_ends_the_hold(room: Room) -> None:
    view = await a_hold(room)
    await decide(room, press_of(view, LEAD), cancel_choice("O-1"))
    await carry_out(room)
    assert (await reread(room, view)).hold is None
    await pass_hours(room, 100)
    assert await follow_holds(room) == 0


async def test_not_fraud_ends_the_hold(room: Room) -> None:
    view = await a_hold(room)
    await dismiss(room, press_of(view, AGENT), reason="Known customer or family")
    await carry_out(room)
    after = await reread(room, view)
    assert (after.state, after.hold) == (CaseState.DISMISSED, None)


async def test_while_releasing_is_paused_the_hold_stays(room: Room) -> None:
    view = await a_hold(room)
    for hours in (20.1, 4):
        await pass_hours(room, hours)
        if hours == 4:
            async with room.engine.begin() as conn:
                await switches.pull(conn, "release", by=LEAD, reason="決済障害")
        await follow_holds(room)
    assert (await reread(room, view)).hold is not None
    assert await told(room, "hold_ended") == []


async def test_what_was_judged_fraud_is_not_released_because_nobody_looked(room: Room) -> None:
    view = await a_hold(room)
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.case_members SET verdict = 'fraud' WHERE subject_id = 'O-1'")
        )
    for hours in (20.1, 4):
        await pass_hours(room, hours)
        await follow_holds(room)
    after = await reread(room, view)
    assert [d.action for d in after.decisions] == ["hold"]
    assert await told(room, "hold_ended") == []


async def test_a_closed_case_stays_closed_when_its_hold_runs_out(room: Room) -> None:
    """As in a shop that cannot cancel, so that a suspension is all that is left to decide."""
    async with room.engine.begin() as conn:
        await conn.execute(text("DELETE FROM ledger.capabilities WHERE verb = 'cancel'"))
    view = await a_hold(room)
    suspended = replace(cancel_choice(suspend=("buyer-of-O-1",)), action="suspend")
    asked = await decide(room, press_of(view, LEAD), suspended)
    assert isinstance(asked, Decided)
    await carry_out(room)
    view = await reread(room, view)
    assert view.state is CaseState.DONE
    for hours in (20.1, 4):
        await pass_hours(room, hours)
        assert await follow_holds(room) == 1
    await carry_out(room)
    after = await reread(room, view)
    assert (after.state, after.hold) == (CaseState.DONE, None)
    assert [d.action for d in after.decisions] == ["hold", "suspend", "release"]


async def test_a_dry_run_holds_nothing_that_could_end(room: Room) -> None:
    room = replace(room, dry_run=True)
    view = await an_open_case(room)
    await decide(room, press_of(view, AGENT), hold_choice("O-1"))
    await carry_out_dry(room)
    after = await reread(room, view)
    assert (after.state, after.hold) == (CaseState.OPEN, None)
