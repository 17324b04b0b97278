"""Brakes, dry runs and the executor: after the commit of a pause nothing is begun, in no replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.agreeing import agree
from bot.cases.pausing import pause, propose_resume
from bot.cases.proposing import Answered
from bot.cases.room import TOPICS, Room
from bot.domain.cases import CaseState, CaseView, OperationState
from bot.domain.proposals import Pause
from bot.executor import Executor
from bot.ledger import claims, operations
from bot.ledger.bell import Bell
from bot.ledger.claims import Claim
from bot.market.dry_run import DryRunMarket
from bot.playground.market.faults import Fault
from tests.cases.conftest import room
from tests.cases.stage import reread as reread_case
from tests.playground.market.conftest import Shop, shop
from tests.test_executor import decide_cancel, ended, executing, only, until_unknown

__all__ = ["room", "shop"]

ORDERS = 40
WAITING_FOR_A_LOCK = """SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""


async def many_decided(room: Room, shop: Shop) -> list[CaseView]:
    views = []
    for n in range(ORDERS):
        await shop.market.pool.execute(
            """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                 ordered_at, paid_at, updated_at)
               VALUES ($1, 'b-1', 's-1', 'paid', 100, 'card', now(), now(), now())""",
            f"M-{n}",
        )
        views.append(await decide_cancel(room, shop, f"M-{n}"))
    return views


async def one(conn: AsyncConnection, sql: str, **params: object) -> object:
    return (await conn.execute(text(sql), params)).scalar_one()


async def until(room: Room, sql: str, **params: object) -> None:
    """Wait until the ledger says true to this."""
    async with asyncio.timeout(20):
        while True:
            async with room.engine.connect() as conn:
                if await one(conn, sql, **params):
                    return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def another_replica(room: Room, shop: Shop, dsn: str) -> AsyncIterator[None]:
    other = replace(room, bell=Bell(dsn, TOPICS))
    ringing = asyncio.create_task(other.bell.run())
    async with executing(other, shop):
        yield
    ringing.cancel()
    await asyncio.gather(ringing, return_exceptions=True)


async def resume(room: Room, name: str) -> None:
    asked = await propose_resume(room, "U0ITO", name)
    assert isinstance(asked, Answered)
    answered = await agree(room, "U0TANAKA", asked.proposal.proposal_id)
    assert isinstance(answered, Answered)


async def test_under_load_no_replica_begins_anything_after_a_pause(
    room: Room, shop: Shop, ledger_dsn: str
) -> None:
    views = await many_decided(room, shop)
    shop.market.faults.switch_on(Fault.SLOW, verb="cancel", seconds=0.15)
    async with executing(room, shop), another_replica(room, shop, ledger_dsn):
        await until(room, "SELECT count(*) >= 5 FROM ledger.operation_attempts")
        paused = await pause(room, "U0SATO", "all", "決済障害")
        assert isinstance(paused, Pause)

        # What was under way finishes; what was only claimed is queued again, and nobody holds it.
        await until(
            room,
            """SELECT NOT EXISTS (SELECT FROM ledger.operations WHERE state = 'executing')
                  AND NOT EXISTS (SELECT FROM ledger.operations WHERE state = 'queued' AND lease_owner IS NOT NULL)
                  AND clock_timestamp() > cast(:at AS timestamptz) + interval '2 s'""",
            at=paused.at,
        )
        async with room.engine.connect() as conn:
            late = await one(
                conn,
                "SELECT count(*) FROM ledger.operation_attempts WHERE started_at > :at",
                at=paused.at,
            )
            waiting = await one(
                conn, "SELECT count(*) FROM ledger.operations WHERE state = 'queued'"
            )
        assert late == 0
        assert 0 < int(str(waiting)) < ORDERS
        assert len(await shop.market.effects()) == ORDERS - int(str(waiting))

        await resume(room, "all")
        for view in views:
            assert (await ended(room, view)).state is CaseState.DONE
    for n in range(ORDERS):
        assert len(await shop.market.effects(f"M-{n}")) == 1


async def claimed_one(room: Room) -> Claim:
    async with room.engine.begin() as conn:
        (claim,) = await claims.claim(conn, claims.OPERATIONS, owner="worker", lease_s=60)
    return claim


async def test_what_was_claimed_before_a_pause_is_given_back_unsent(room: Room, shop: Shop) -> None:
    view = await decide_cancel(room, shop)
    claim = await claimed_one(room)
    await pause(room, "U0SATO", "cancel", "調査")
    async with room.engine.begin() as conn:
        assert not await operations.start_attempt(conn, claim, "send")
    async with room.engine.connect() as conn:
        row = (await conn.execute(text("SELECT * FROM ledger.operations"))).one()
    assert (row.state, row.sends, row.lease_owner, row.attempts) == ("queued", 0, None, 0)
    await resume(room, "cancel")
    async with executing(room, shop):
        assert (await ended(room, view)).state is CaseState.DONE


async def test_a_pause_waits_for_an_attempt_that_is_being_committed(room: Room, shop: Shop) -> None:
    await decide_cancel(room, shop)
    claim = await claimed_one(room)
    async with room.engine.begin() as conn:
        assert await operations.start_attempt(conn, claim, "send")
        pausing = asyncio.create_task(pause(room, "U0SATO", "all", "決済障害"))
        await until(room, WAITING_FOR_A_LOCK)
        assert not pausing.done()
    paused = await pausing
    assert isinstance(paused, Pause)
    async with room.engine.connect() as conn:
        started = await one(conn, "SELECT started_at FROM ledger.operation_attempts")
    assert isinstance(started, datetime)
    assert started < paused.at


async def test_what_is_unknown_is_looked_up_in_a_pause_and_never_sent_again(
    room: Room, shop: Shop
) -> None:
    view = await decide_cancel(room, shop)
    shop.market.faults.switch_on(Fault.ERROR_BEFORE, times=1)
    async with executing(room, shop):
        await until_unknown(room, view)
        await pause(room, "U0SATO", "all", "決済障害")
        await until(
            room, "SELECT count(*) >= 1 FROM ledger.operation_attempts WHERE what = 'lookup'"
        )
        await until(room, "SELECT bool_and(lease_owner IS NULL) FROM ledger.operations")
        assert only(await reread_case(room, view)).state is OperationState.UNKNOWN
        assert await shop.market.effects() == []
        await resume(room, "all")
        after = await ended(room, view)
    assert only(after).resolved_by == "resend"
    assert len(await shop.market.effects("O-1")) == 1


async def test_failed_steps_are_not_run_again_in_a_pause(room: Room, shop: Shop) -> None:
    view = await decide_cancel(room, shop)
    shop.market.faults.switch_on(Fault.STEP_FAILS, times=1)
    await pause_when_sent(room, shop, view)


async def pause_when_sent(room: Room, shop: Shop, view: CaseView) -> None:
    claim = await claimed_one(room)
    async with room.engine.begin() as conn:
        operation = await operations.read_claimed(conn, claim)
        assert await operations.start_attempt(conn, claim, "send")
    sent = await shop.api.send(
        operation.verb, operation.subject, key=operation.operation_id, body=operation.body
    )
    assert sent.kind.value == "partly_succeeded"
    await pause(room, "U0SATO", "all", "決済障害")
    executor = Executor(room, shop.api)
    assert await executor._retry_steps(operation, sent) is sent
    await resume(room, "all")
    assert (await executor._retry_steps(operation, sent)).kind.value == "succeeded"


async def test_what_was_decided_in_a_dry_run_is_never_sent_by_anybody(
    room: Room, shop: Shop
) -> None:
    dry = replace(room, dry_run=True)
    view = await decide_cancel(dry, shop)
    async with executing(room, shop):  # a replica that runs in earnest
        after = await ended(room, view)
    assert only(after).state is OperationState.SUCCEEDED
    assert only(after).resolved_by == "dry_run"
    assert await shop.market.effects() == []
    async with room.engine.connect() as conn:
        assert await one(conn, "SELECT count(*) FROM ledger.operation_attempts") == 0
        told = await one(
            conn,
            """SELECT details ->> 'resolved_by' FROM ledger.audit_entries
                WHERE tag = 'executor:operation:ended'""",
        )
    assert told == "dry_run"


async def test_a_dry_run_leaves_what_was_decided_in_earnest_to_others(
    room: Room, shop: Shop
) -> None:
    earnest = await decide_cancel(room, shop)
    dry = replace(room, dry_run=True)
    await shop.market.pool.execute(
        """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
             ordered_at, paid_at, updated_at)
           VALUES ('M-1', 'b-1', 's-1', 'paid', 100, 'card', now(), now(), now())"""
    )
    recorded = await decide_cancel(dry, shop, "M-1")
    stop = asyncio.Event()
    task = asyncio.create_task(Executor(dry, DryRunMarket(shop.api)).run(stop))
    assert only(await ended(dry, recorded)).resolved_by == "dry_run"
    assert only(await reread_case(room, earnest)).state is OperationState.QUEUED
    stop.set()
    room.bell.ring("operations")
    await task
    assert await shop.market.effects() == []
    async with executing(room, shop):
        await ended(room, earnest)
    assert len(await shop.market.effects("O-1")) == 1


async def test_a_pause_holds_a_dry_run_as_well(room: Room, shop: Shop) -> None:
    dry = replace(room, dry_run=True)
    await decide_cancel(dry, shop)
    claim = await claimed_one(room)
    await pause(room, "U0SATO", "all", "決済障害")
    async with room.engine.begin() as conn:
        assert not await operations.start_dry_run(conn, claim)
