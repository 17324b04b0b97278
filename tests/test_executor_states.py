"""The states of an operation: what a crash, a stall, a stop or a forgetful marketplace leads to, and what never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from typing_extensions import override

from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView, OperationState
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.executor import Executor, resend_wait_s, result_of_send
from bot.ledger import claims, operations, people
from bot.ledger.claims import Claim
from bot.ledger.operations import ClaimedOperation
from bot.playground.market.faults import Fault
from tests.cases.conftest import NOW, room
from tests.cases.stage import reread
from tests.playground.market.conftest import Shop, shop
from tests.test_executor import decide_cancel, ended, executing, only, trust, until_unknown

__all__ = ["room", "shop"]


async def write(room: Room, sql: str) -> None:
    async with room.engine.begin() as conn:
        await conn.execute(text(sql))


async def rows(room: Room, sql: str) -> list[Any]:
    async with room.engine.connect() as conn:
        return list((await conn.execute(text(sql))).all())


async def until(look: Callable[[], Awaitable[bool]], *, within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not await look():
            await asyncio.sleep(0.02)


async def until_state(room: Room, view: CaseView, state: OperationState) -> None:
    async def there() -> bool:
        return only(await reread(room, view)).state is state

    await until(there)


async def claim_one(room: Room, *, owner: str = "first", lease_s: float = 60) -> Claim:
    async with room.engine.begin() as conn:
        (claim,) = await claims.claim(conn, claims.OPERATIONS, owner=owner, lease_s=lease_s)
    return claim


async def die_after_committing_the_attempt(room: Room) -> None:
    """As if a worker was killed between its commit and the call."""
    claim = await claim_one(room)
    async with room.engine.begin() as conn:
        assert await operations.start_attempt(conn, claim, "send")
    await end_the_lease(room)


async def end_the_lease(room: Room) -> None:
    await write(
        room, "UPDATE ledger.operations SET lease_until = clock_timestamp() - interval '1 s'"
    )


async def bound_of(room: Room, verb: Verb, seconds: int) -> None:
    async with room.engine.begin() as conn:
        known = await people.read_capabilities(conn)
        await people.store_capabilities(
            conn, {**known, verb: replace(known[verb], execution_bound_s=seconds)}
        )


async def outcomes(room: Room) -> list[tuple[str, str | None]]:
    return [
        (row.what, row.outcome)
        for row in await rows(
            room, "SELECT what, outcome FROM ledger.operation_attempts ORDER BY started_at"
        )
    ]


# ---- Crashes


@pytest.mark.parametrize(
    ("idempotency", "state", "effects"),
    [("key", OperationState.SUCCEEDED, 1), ("none", OperationState.NEEDS_HUMAN, 0)],
)
async def test_after_a_crash_before_the_call_only_a_key_lets_it_be_sent_again(
    room: Room, shop: Shop, idempotency: str, state: OperationState, effects: int
) -> None:
    await trust(room, shop, "cancel", idempotency)
    view = await decide_cancel(room, shop)
    await die_after_committing_the_attempt(room)
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is state
    assert only(after).resolved_by == ("resend" if effects else None)
    assert len(await shop.market.effects("O-1")) == effects


async def test_after_a_crash_before_the_call_a_looked_up_verb_waits_out_its_bound(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "lookup")
    await bound_of(room, Verb.CANCEL, 3600)
    view = await decide_cancel(room, shop)
    await die_after_committing_the_attempt(room)
    async with executing(room, shop, send_timeout_s=1):
        await until_state(room, view, OperationState.UNKNOWN)
        # Looked at again before the bound is over: it is not sent.
        await write(room, "UPDATE ledger.operations SET due_at = clock_timestamp()")
        room.bell.ring("operations")

        async def looked_twice() -> bool:
            return [what for what, _ in await outcomes(room)].count("lookup") >= 2

        await until(looked_twice)
        await until_state(room, view, OperationState.UNKNOWN)
        assert await shop.market.effects("O-1") == []
        await write(
            room,
            """UPDATE ledger.operations SET due_at = clock_timestamp(),
                 last_sent_at = last_sent_at - interval '2 hours'""",
        )
        room.bell.ring("operations")
        after = await ended(room, view)
    assert only(after).resolved_by == "resend"
    assert len(await shop.market.effects("O-1")) == 1


# ---- Leases


async def test_a_slow_call_that_outlives_its_lease_leads_to_no_second_send_of_class_none(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "none")
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=2)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        await until_state(room, view, OperationState.EXECUTING)
        await end_the_lease(room)
        async with executing(room, shop):
            after = await ended(room, view)
            assert only(after).state is OperationState.NEEDS_HUMAN

            async def came() -> bool:
                return len(await shop.market.effects("O-1")) == 1

            await until(came)
    # The first worker's answer came after it was taken over: it wrote nothing.
    assert only(await reread(room, view)).state is OperationState.NEEDS_HUMAN
    assert [what for what, _ in await outcomes(room)].count("send") == 1
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_process_whose_lease_could_end_during_the_call_does_not_begin_it(
    room: Room, shop: Shop
) -> None:
    view = await decide_cancel(room, shop)
    async with executing(room, shop, lease_s=2, send_timeout_s=10):

        async def claimed() -> bool:
            return bool(await rows(room, "SELECT 1 FROM ledger.operations WHERE fence > 0"))

        await until(claimed)
    assert await outcomes(room) == []
    assert only(await reread(room, view)).state is OperationState.QUEUED
    assert await shop.market.effects("O-1") == []


async def test_a_process_that_stood_still_between_its_commit_and_the_call_does_not_call(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "none")
    view = await decide_cancel(room, shop)
    claim = await claim_one(room)
    async with room.engine.begin() as conn:
        operation = await operations.read_claimed(conn, claim)

    class StoodStill(Executor):
        asked = 0

        @override
        def _is_late(self, _: ClaimedOperation) -> bool:
            self.asked += 1
            return self.asked > 1

    await StoodStill(room, shop.api)._send(operation, resolved_by="answer")
    assert await shop.market.effects("O-1") == []
    assert await outcomes(room) == [("send", "not_done")]
    # It was surely not sent, so that even this class may be sent by the next one.
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    assert len(await shop.market.effects("O-1")) == 1


async def test_no_attempt_begins_on_a_lease_that_has_ended_by_the_databases_clock(
    room: Room, shop: Shop
) -> None:
    await decide_cancel(room, shop)
    claim = await claim_one(room)
    await end_the_lease(room)
    async with room.engine.begin() as conn:
        assert not await operations.start_attempt(conn, claim, "send")
        assert not await operations.start_attempt(conn, claim, "lookup")
    assert await outcomes(room) == []


@pytest.mark.parametrize(("outcome", "allowed"), [("unknown", False), ("not_done", True)])
async def test_the_ledger_begins_no_second_send_of_class_none_unless_the_first_did_nothing(
    room: Room, shop: Shop, outcome: str, *, allowed: bool
) -> None:
    await trust(room, shop, "cancel", "none")
    await decide_cancel(room, shop)
    first = await claim_one(room)
    async with room.engine.begin() as conn:
        assert await operations.start_attempt(conn, first, "send")
        await operations.end_attempt(conn, first, "send", outcome)
    await end_the_lease(room)
    second = await claim_one(room, owner="second")
    async with room.engine.begin() as conn:
        assert await operations.start_attempt(conn, second, "send") is allowed


class WrongClock:
    """A process whose clock goes wrong by so many minutes."""

    def __init__(self, minutes: int) -> None:
        self._time = NOW + timedelta(minutes=minutes)

    def now(self) -> datetime:
        return self._time


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_process_with_a_wrong_clock_neither_takes_over_too_early_nor_acts_twice(
    room: Room, shop: Shop, minutes: int
) -> None:
    await trust(room, shop, "cancel", "lookup")
    view = await decide_cancel(room, shop)
    wrong = replace(room, clock=WrongClock(minutes))
    await decide_cancel(room, shop, "O-konbini")
    claim = next(
        c for c in [await claim_one(room), await claim_one(room)] if c.row["subject_id"] == "O-1"
    )
    # Of the other order nobody holds anything any more.
    await write(
        room,
        "UPDATE ledger.operations SET lease_until = NULL, lease_owner = NULL WHERE subject_id <> 'O-1'",
    )
    async with executing(wrong, shop):

        async def other_done() -> bool:
            return len(await shop.market.effects("O-konbini")) == 1

        await until(other_done)
        assert await shop.market.effects("O-1") == []
        async with room.engine.begin() as conn:
            assert await operations.start_attempt(conn, claim, "send")
        body = (await rows(room, "SELECT body FROM ledger.operations WHERE subject_id = 'O-1'"))[0]
        await shop.api.send(
            Verb.CANCEL, Subject(SubjectKind.ORDER, "O-1"), key=claim.key, body=body.body
        )
        await write(
            room,
            """UPDATE ledger.operations SET lease_until = clock_timestamp() - interval '1 s'
                WHERE subject_id = 'O-1'""",
        )
        room.bell.ring("operations")
        after = await ended(room, view)
    assert only(after).resolved_by == "lookup"
    assert len(await shop.market.effects("O-1")) == 1


# ---- What answers tell, and what they do not


async def test_what_the_marketplace_accepted_and_forgot_is_looked_up_again_then_sent(
    room: Room, shop: Shop
) -> None:
    shop.market.faults.switch_on(Fault.PENDING, times=1, seconds=None)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        await until_state(room, view, OperationState.PENDING)
        await shop.market.pool.execute("DELETE FROM backoffice.operations")
        await write(room, "UPDATE ledger.operations SET due_at = clock_timestamp()")
        room.bell.ring("operations")
        after = await ended(room, view)
    assert (only(after).state, only(after).resolved_by) == (OperationState.SUCCEEDED, "resend")
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_resend_that_did_nothing_tells_nothing_of_the_first_send(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "lookup")
    await bound_of(room, Verb.CANCEL, 0)
    view = await decide_cancel(room, shop)
    shop.market.faults.switch_on(Fault.ERROR_BEFORE, times=1)
    shop.market.faults.switch_on(Fault.TOO_MANY, times=2)
    async with executing(room, shop, send_timeout_s=0.3):
        after = await ended(room, view, within_s=30)
    told = await outcomes(room)
    sends = [outcome for what, outcome in told if what == "send"]
    assert sends == ["unknown", "not_done", "not_done", "succeeded"]
    # Before every further send it was looked up once more.
    assert [what for what, _ in told] == ["send", *["lookup", "send"] * 3]
    assert only(after).resolved_by == "resend"
    assert len(await shop.market.effects("O-1")) == 1


async def test_after_the_keys_window_it_is_a_persons_and_never_sent_again(
    room: Room, shop: Shop
) -> None:
    view = await decide_cancel(room, shop)
    await die_after_committing_the_attempt(room)
    await write(
        room,
        "UPDATE ledger.operation_attempts SET started_at = started_at - interval '8 days'",
    )
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is OperationState.NEEDS_HUMAN
    assert await shop.market.effects("O-1") == []


async def test_failed_steps_alone_are_run_again_each_time_as_an_attempt_of_its_own(
    room: Room, shop: Shop
) -> None:
    shop.market.faults.switch_on(Fault.STEP_FAILS, times=2)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    told = [what for what, _ in await outcomes(room)]
    assert told.count("send") == 1
    assert told.count("retry") == 2
    assert len(await shop.market.effects("O-1")) == 1
    logged = await rows(
        room,
        """SELECT details ->> 'steps' AS steps FROM ledger.audit_entries
            WHERE tag = 'executor:operation:sent' ORDER BY seq""",
    )
    assert [row.steps for row in logged] == [None, "failed", "failed"]


async def test_steps_that_go_on_failing_are_a_persons(room: Room, shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.STEP_FAILS)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):

        async def hurried() -> bool:
            await write(
                room,
                "UPDATE ledger.operations SET due_at = clock_timestamp() WHERE lease_owner IS NULL",
            )
            room.bell.ring("operations")
            return only(await reread(room, view)).state is OperationState.NEEDS_HUMAN

        await until(hurried, within_s=30)
    after = await reread(room, view)
    assert after.state is CaseState.PARTLY_DONE
    assert only(after).failure_code == "partly_succeeded"
    assert [what for what, _ in await outcomes(room)].count("retry") == 5
    assert len(await shop.market.effects("O-1")) == 1


def an_operation(class_: OperationClass, **changes: Any) -> ClaimedOperation:
    claim = Claim(key="op_00000000", owner="x", fence=1, attempts=1, row={})  # type: ignore[arg-type]
    return replace(
        ClaimedOperation(
            claim=claim,
            operation_id="op_00000000",
            case_id=1,
            decision_id="d",
            action="cancel",
            verb=Verb.CANCEL,
            subject=Subject(SubjectKind.ORDER, "O-1"),
            body={},
            state=OperationState.UNKNOWN,
            operation_class=class_,
            sends=1,
            sent_ago_s=5.0,
            first_sent_ago_s=5.0,
            maybe_received=1,
        ),
        **changes,
    )


@pytest.mark.parametrize(
    ("class_", "changes", "wait_s"),
    [
        ("key", {}, 0.0),
        ("key", {"first_sent_ago_s": 79.0}, 0.0),
        ("key", {"first_sent_ago_s": 81.0}, None),
        ("key", {"first_sent_ago_s": None}, 0.0),
        ("lookup", {}, 25.0),
        ("lookup", {"sent_ago_s": 31.0}, 0.0),
        ("lookup", {"sent_ago_s": 3000.0, "maybe_received": 2}, None),
        ("lookup", {"sent_ago_s": 31.0, "sends": 4}, 0.0),
        ("none", {"sent_ago_s": 3000.0}, None),
        ("manual", {"sent_ago_s": 3000.0}, None),
    ],
)
def test_when_an_unreceived_operation_may_be_sent_again(
    class_: str, changes: dict[str, Any], wait_s: float | None
) -> None:
    capability = Capability(
        verb=Verb.CANCEL,
        operation_class=OperationClass(class_),
        key_window_s=100,
        execution_bound_s=20,
    )
    operation = an_operation(OperationClass(class_), **changes)
    assert resend_wait_s(operation, capability, 10.0) == wait_s
    # Without a word of the marketplace's it is a person's.
    assert resend_wait_s(operation, None, 10.0) is None


@pytest.mark.parametrize(
    ("kind", "earlier", "state"),
    [
        (OutcomeKind.NOT_DONE, False, OperationState.QUEUED),
        (OutcomeKind.NOT_DONE, True, OperationState.UNKNOWN),
        (OutcomeKind.UNKNOWN, False, OperationState.UNKNOWN),
        (OutcomeKind.IN_PROGRESS, False, OperationState.UNKNOWN),
        (OutcomeKind.REFUSED, False, OperationState.FAILED),
    ],
)
def test_only_a_documented_refusal_is_a_failure(
    kind: OutcomeKind, state: OperationState, *, earlier: bool
) -> None:
    result = result_of_send(
        Outcome(kind=kind), resolved_by="answer", attempts=1, maybe_received=earlier
    )
    assert result.state is state


# ---- Stopping


async def test_a_stop_lets_the_call_in_flight_finish_and_begins_nothing_more(
    room: Room, shop: Shop
) -> None:
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=1)
    view = await decide_cancel(room, shop)
    stop = asyncio.Event()
    executor = Executor(room, shop.api)
    running = asyncio.create_task(executor.run(stop))
    await until_state(room, view, OperationState.EXECUTING)
    stop.set()
    room.bell.ring("operations")

    async def stopping() -> bool:
        return executor._stopping

    await until(stopping)
    later = await decide_cancel(room, shop, "O-konbini")
    await running
    after = await reread(room, view)
    assert (only(after).state, only(after).resolved_by) == (OperationState.SUCCEEDED, "answer")
    assert only(await reread(room, later)).state is OperationState.QUEUED
    assert await shop.market.effects("O-konbini") == []
    assert await rows(room, "SELECT 1 FROM ledger.operations WHERE lease_owner IS NOT NULL") == []


async def test_what_a_stop_cannot_wait_for_is_unknown_and_found_by_the_next_process(
    room: Room, shop: Shop
) -> None:
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=3)
    view = await decide_cancel(room, shop)
    stop = asyncio.Event()
    stopped = Executor(room, shop.api, drain_s=0.2)
    running = asyncio.create_task(stopped.run(stop))
    await until_state(room, view, OperationState.EXECUTING)
    stop.set()
    room.bell.ring("operations")
    await running
    left = only(await reread(room, view))
    assert left.state is OperationState.UNKNOWN
    assert await rows(room, "SELECT 1 FROM ledger.operations WHERE lease_owner IS NOT NULL") == []
    calls = list(stopped._running)
    assert calls
    assert not any(call.cancelled() or call.cancelling() for call in calls)
    async with executing(room, shop):
        after = await ended(room, view)
    await asyncio.gather(*calls)
    assert only(after).state is OperationState.SUCCEEDED
    assert only(await reread(room, view)).resolved_by == only(after).resolved_by
    assert len(await shop.market.effects("O-1")) == 1


async def test_what_is_looked_up_while_we_stop_is_not_sent_again_by_us(
    room: Room, shop: Shop
) -> None:
    view = await decide_cancel(room, shop)
    shop.market.faults.switch_on(Fault.ERROR_BEFORE, times=1)
    async with executing(room, shop):
        await until_unknown(room, view)
    await write(room, "UPDATE ledger.operations SET due_at = clock_timestamp()")
    claim = await claim_one(room)
    async with room.engine.begin() as conn:
        operation = await operations.read_claimed(conn, claim)
        capabilities = await people.read_capabilities(conn)
    executor = Executor(room, shop.api)
    executor._stopping = True
    sends = [what for what, _ in await outcomes(room)].count("send")
    await executor._look_up(operation, capabilities[Verb.CANCEL])
    assert only(await reread(room, view)).state is OperationState.UNKNOWN
    assert [what for what, _ in await outcomes(room)].count("send") == sends
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    assert len(await shop.market.effects("O-1")) == 1
