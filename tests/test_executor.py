from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from bot.cases.agreeing import agree
from bot.cases.deciding import Decided, decide, dismiss
from bot.cases.freezing import Choice
from bot.cases.pausing import propose_resume
from bot.cases.proposing import Answered
from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView, Operation, OperationState
from bot.domain.plans import Plan
from bot.domain.verbs import Verb
from bot.executor import Executor
from bot.ledger import audit, people
from bot.playground.market.faults import Fault
from tests.cases.conftest import room
from tests.cases.stage import an_open_case, an_order, hold_choice, press_of, reread
from tests.playground.market.conftest import Shop, shop

__all__ = ["room", "shop"]

OPEN = {
    OperationState.QUEUED,
    OperationState.EXECUTING,
    OperationState.PENDING,
    OperationState.UNKNOWN,
}


@asynccontextmanager
async def executing(room: Room, shop: Shop, **options: float) -> AsyncIterator[None]:
    stop = asyncio.Event()
    executor = Executor(room, shop.api, **options)
    task = asyncio.create_task(executor.run(stop))
    yield
    stop.set()
    room.bell.ring("operations")
    await task


async def ended(room: Room, view: CaseView, *, within_s: float = 15) -> CaseView:
    """The case once all of its operations have ended."""
    async with asyncio.timeout(within_s):
        while True:
            now = await reread(room, view)
            if now.operations and not any(o.state in OPEN for o in now.operations):
                return now
            await asyncio.sleep(0.05)


async def until_unknown(room: Room, view: CaseView) -> None:
    async with asyncio.timeout(5):
        while True:
            if only(await reread(room, view)).state is OperationState.UNKNOWN:
                return
            await asyncio.sleep(0.02)


async def decide_cancel(room: Room, shop: Shop, order: str = "O-1") -> CaseView:
    """An approver cancels one order on the plan of this moment."""
    view = await an_open_case(room, order)
    plan: Plan = await shop.api.plan(Verb.CANCEL, an_order(order), {"refund_policy": "withhold"})
    choice = Choice(
        action="cancel",
        targets=((Verb.CANCEL, an_order(order)),),
        plans=(plan,),
        reason="Stolen card",
    )
    answer = await decide(room, press_of(view, "U0TANAKA"), choice)
    assert isinstance(answer, Decided)
    return view


def only(view: CaseView) -> Operation:
    (operation,) = view.operations
    return operation


async def trust(room: Room, shop: Shop, verb: str, idempotency: str) -> None:
    shop.market.classes[verb] = idempotency
    async with room.engine.begin() as conn:
        await people.store_capabilities(conn, await shop.api.capabilities())


async def test_a_decision_is_carried_out_and_the_case_is_done(room: Room, shop: Shop) -> None:
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        after = await ended(room, view)
    assert after.state is CaseState.DONE
    assert only(after).state is OperationState.SUCCEEDED
    assert only(after).refund_amount == 9200
    assert len(await shop.market.effects("O-1")) == 1
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok


async def test_a_hold_leaves_the_case_open_with_the_order_held(room: Room, shop: Shop) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), hold_choice("O-1"))
    async with executing(room, shop):
        after = await ended(room, view)
    assert after.state is CaseState.OPEN
    (order,) = [m for m in after.members if m.subject == an_order("O-1")]
    assert order.facts.held_at == shop.clock.now()


async def test_not_fraud_releases_the_holds_that_we_made(room: Room, shop: Shop) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), hold_choice("O-1"))
    async with executing(room, shop):
        held = await ended(room, view)
        await dismiss(room, press_of(held, "U0SATO"), reason="Gift")
        after = await ended(room, view)
    assert after.state is CaseState.DISMISSED
    assert [e["kind"] for e in await shop.market.effects("O-1")] == ["hold", "release"]


@pytest.mark.parametrize(
    ("fault", "resolved_by"),
    [
        (Fault.ANSWER_LOST, "lookup"),
        (Fault.ERROR_AFTER, "lookup"),
        (Fault.ERROR_BEFORE, "resend"),
        (Fault.TOO_MANY, "answer"),
        (Fault.UNAVAILABLE, "answer"),
        (Fault.PENDING, "lookup"),
        (Fault.STEP_FAILS, "lookup"),
    ],
)
async def test_whatever_happens_to_the_answer_the_effect_happens_once(
    room: Room, shop: Shop, fault: Fault, resolved_by: str
) -> None:
    shop.market.faults.switch_on(fault, times=1, seconds=0 if fault is Fault.PENDING else 1)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    assert only(after).resolved_by == resolved_by
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_timeout_is_unknown_then_looked_up(room: Room, shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.SLOW, times=1, seconds=0.6)
    view = await decide_cancel(room, shop)
    async with executing(room, shop, send_timeout_s=0.2):
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    assert only(after).resolved_by == "lookup"
    assert len(await shop.market.effects("O-1")) == 1
    async with room.engine.connect() as conn:
        tags = (await conn.scalars(text("SELECT tag FROM ledger.audit_entries ORDER BY seq"))).all()
    assert "executor:operation:unknown" in tags


async def test_a_verb_that_cannot_be_looked_up_is_a_persons(room: Room, shop: Shop) -> None:
    await trust(room, shop, "cancel", "none")
    shop.market.faults.switch_on(Fault.ANSWER_LOST, times=1)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).state is OperationState.NEEDS_HUMAN
    assert after.state is CaseState.PARTLY_DONE
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_lookup_verb_is_not_sent_again_before_its_execution_bound(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "lookup")
    shop.market.faults.switch_on(Fault.LATE, times=1, seconds=1.5)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        await until_unknown(room, view)
        await asyncio.sleep(2)
        async with room.engine.begin() as conn:
            await conn.execute(text("UPDATE ledger.operations SET due_at = clock_timestamp()"))
        room.bell.ring("operations")
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    assert only(after).resolved_by == "lookup"
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_refusal_fails_the_operation_and_says_why(room: Room, shop: Shop) -> None:
    view = await decide_cancel(room, shop)
    await shop.market.pool.execute(
        "UPDATE market.orders SET shipped_at = now(), status = 'shipped' WHERE order_id = 'O-1'"
    )
    async with executing(room, shop):
        after = await ended(room, view)
    assert after.state is CaseState.PARTLY_DONE
    assert (only(after).state, only(after).failure_code) == (
        OperationState.FAILED,
        "already_shipped",
    )
    assert await shop.market.effects("O-1") == []


async def test_a_plan_that_changed_after_the_decision_stops_the_operation(
    room: Room, shop: Shop
) -> None:
    view = await decide_cancel(room, shop)
    await shop.market.pool.execute(
        "UPDATE market.orders SET payment_method = 'konbini' WHERE order_id = 'O-1'"
    )
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).failure_code == "state_changed"
    assert await shop.market.effects("O-1") == []


async def test_an_operation_whose_worker_died_is_looked_up_not_sent_blindly(
    room: Room, shop: Shop
) -> None:
    view = await decide_cancel(room, shop)
    operation = only(await reread(room, view))
    async with room.engine.begin() as conn:
        body = await conn.scalar(text("SELECT body FROM ledger.operations"))
        await conn.execute(
            text(
                """UPDATE ledger.operations SET state = 'executing', sends = 1, lease_owner = 'dead',
                          lease_until = clock_timestamp() - interval '1 s', last_sent_at = clock_timestamp()"""
            )
        )
    # The dead worker's request did arrive.
    await shop.api.send(Verb.CANCEL, an_order("O-1"), key=operation.operation_id, body=body)
    async with executing(room, shop):
        after = await ended(room, view)
    assert only(after).resolved_by == "lookup"
    assert len(await shop.market.effects("O-1")) == 1


async def test_several_workers_carry_each_operation_out_once(room: Room, shop: Shop) -> None:
    views = []
    for n in range(12):
        await shop.market.pool.execute(
            """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                 ordered_at, paid_at, updated_at)
               VALUES ($1, 'b-1', 's-1', 'paid', 100, 'card', now(), now(), now())""",
            f"M-{n}",
        )
        views.append(await decide_cancel(room, shop, f"M-{n}"))
    async with executing(room, shop), executing(room, shop), executing(room, shop):
        for view in views:
            await ended(room, view)
    for n in range(12):
        assert len(await shop.market.effects(f"M-{n}")) == 1
    async with room.engine.connect() as conn:
        assert await conn.scalar(text("SELECT max(sends) FROM ledger.operations")) == 1


async def test_a_brake_keeps_queued_operations_from_being_sent(room: Room, shop: Shop) -> None:
    view = await decide_cancel(room, shop)
    async with room.engine.begin() as conn:
        await conn.execute(
            text("INSERT INTO ledger.switches VALUES ('cancel', 'U0SATO', 'x', clock_timestamp())")
        )
    async with executing(room, shop):
        await asyncio.sleep(1.5)
        assert await shop.market.effects("O-1") == []
        asked = await propose_resume(room, "U0ITO", "cancel")
        assert isinstance(asked, Answered)
        await agree(room, "U0TANAKA", asked.proposal.proposal_id)
        after = await ended(room, view)
    assert after.state is CaseState.DONE
