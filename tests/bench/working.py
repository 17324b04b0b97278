"""Operations carried out a second, memory after many cases, and the time from start to ready."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import aiohttp

from bot.actions import registry
from bot.cases.policy import read_policy
from bot.cases.room import TOPICS, Room
from bot.domain.clock import WallClock
from bot.executor import Executor
from bot.jobs.sync_capabilities import sync_capabilities
from bot.ledger.bell import Bell
from bot.ledger.engine import create_engine
from bot.market.api import MarketApi
from tests.bench.report import Figure
from tests.bench.world import (
    TOKEN,
    World,
    a_process,
    fill_cases,
    fill_shop,
    percentile,
    rss_mb,
    until_ready,
)

PARALLEL = 8
MEMORY_AIM_MB = 200
START_AIM_S = 3.0


async def operations(world: World, *, count: int) -> list[Figure]:
    """The executor with its ledger against a bare client that sends the same holds, eight at a time."""
    await fill_shop(world, 2 * count)
    cases = await fill_cases(world, count)
    bare_s = await _bare_holds(world, [f"O-{count + n}" for n in range(1, count + 1)])
    engine = create_engine(world.ledger_dsn, pool_size=10, max_overflow=10)
    policy = world.settings.policy_file
    if policy is None:
        raise RuntimeError("the bench has its own policy")
    bell = Bell(world.ledger_dsn, TOPICS)
    room = Room(
        engine=engine,
        clock=WallClock(),
        policy=read_policy(policy, registry()),
        bell=bell,
        channel="C0ALERTS",
        home_team="T0MIMAWARI",
    )
    async with aiohttp.ClientSession() as session:
        api = MarketApi(session, world.market_url, TOKEN)
        await sync_capabilities(room, api)
        await _decide_all(world, [case_id for case_id, _ in cases])
        stop = asyncio.Event()
        ringing = asyncio.create_task(bell.run())
        working = asyncio.create_task(Executor(room, api).run(stop))
        began = time.perf_counter()
        left = count
        while left:
            await asyncio.sleep(0.05)
            left = await world.owner.fetchval(
                "SELECT count(*) FROM ledger.operations WHERE ended_at IS NULL"
            )
        took_s = time.perf_counter() - began
        stop.set()
        bell.ring(*TOPICS)
        await working
        ringing.cancel()
        await asyncio.gather(ringing, return_exceptions=True)
    await engine.dispose()
    done = await world.owner.fetchval(
        "SELECT count(*) FROM ledger.operations WHERE state = 'succeeded'"
    )
    if done != count:
        raise RuntimeError(f"only {done} of {count} operations succeeded")
    return [
        Figure(
            name="operations carried out, 8 at a time",
            value=f"{count / took_s:.0f}/s",
            baseline=f"bare aiohttp client, the same requests: {count / bare_s:.0f}/s",
            ratio=bare_s / took_s,
        )
    ]


async def _bare_holds(world: World, orders: list[str]) -> float:
    queue = list(orders)

    async def one_by_one(session: aiohttp.ClientSession) -> None:
        while queue:
            async with session.post(
                f"{world.market_url}/v1/orders/{queue.pop()}/hold",
                json={"reason": "", "actor": "U0SATO"},
                headers={
                    "Idempotency-Key": f"bare_{uuid4().hex}",
                    "Authorization": f"Bearer {TOKEN}",
                },
            ) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"a bare hold was answered {answer.status}")

    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        await asyncio.gather(*(one_by_one(session) for _ in range(PARALLEL)))
        return time.perf_counter() - began


async def _decide_all(world: World, case_ids: list[int]) -> None:
    """A decision to hold each case's order, with its queued operation, as the case room leaves them."""
    await world.owner.execute(
        """WITH chosen AS (
             SELECT c.case_id, c.version, m.subject_id FROM ledger.cases c JOIN ledger.case_members m USING (case_id)
              WHERE c.case_id = ANY ($1)),
           decided AS (
             INSERT INTO ledger.decisions (decision_id, case_id, case_version, action, state, requested_by, reason,
               targets, plans, params_hash, amounts, evidence, approvals_needed, policy_hash, decided_at)
             SELECT 'dec_' || case_id, case_id, version, 'hold', 'approved', 'U0SATO', '', '[]', '[]', '', '[]', '{}',
                    0, '', now() FROM chosen),
           moved AS (
             UPDATE ledger.cases c SET state = 'executing', version = c.version + 1, revision = c.revision + 1
               FROM chosen WHERE c.case_id = chosen.case_id)
           INSERT INTO ledger.operations (operation_id, decision_id, case_id, verb, subject_kind, subject_id, body,
             body_hash, operation_class)
           SELECT 'op_bench_' || case_id, 'dec_' || case_id, case_id, 'hold', 'order', subject_id,
                  '{"actor": "U0SATO", "reason": ""}', $2, 'key' FROM chosen""",
        case_ids,
        _hash_of({"actor": "U0SATO", "reason": ""}),
    )


def _hash_of(body: dict[str, object]) -> str:
    from bot.ledger.values import canonical_hash

    return canonical_hash(body)


async def memory(world: World, *, cases: int, settle_s: float) -> list[Figure]:
    """A bot that has so many open cases to watch, after it has looked at them all."""
    await fill_shop(world, cases)
    await fill_cases(world, cases)
    async with a_process("-m", "bot", "run", settings=world.settings) as process:
        await until_ready(world.settings.port)
        fresh, _ = rss_mb(process.pid)
        await asyncio.sleep(settle_s)
        now, peak = rss_mb(process.pid)
    return [
        Figure(
            name=f"memory of `mimawari run` with {cases:,} open cases, after {settle_s:.0f} s",
            value=f"{now:.0f} MB, peak {peak:.0f} MB (at the start {fresh:.0f} MB)",
            aim=f"≤ {MEMORY_AIM_MB} MB",
            met=peak <= MEMORY_AIM_MB,
        )
    ]


async def start(world: World, *, times: int) -> list[Figure]:
    """From the start of the process to the first 200 of /readyz; the database runs already."""
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        async with a_process("-m", "bot", "run", settings=world.settings):
            await until_ready(world.settings.port)
            took.append(time.perf_counter() - began)
    median = percentile(took, 0.5)
    return [
        Figure(
            name=f"start to ready, median of {times}",
            value=f"{median:.2f} s (slowest {max(took):.2f} s)",
            aim=f"≤ {START_AIM_S:.0f} s",
            met=median <= START_AIM_S,
        )
    ]
