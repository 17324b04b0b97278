"""A stop in good order: SIGTERM in the middle of the work."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from sqlalchemy import text

from bot.app import run
from bot.playground.market.faults import Fault
from bot.playground.workspace.state import Message
from tests.journeys.stage import AGENT, Stage


@asynccontextmanager
async def the_process(stage: Stage) -> AsyncIterator[asyncio.Task[None]]:
    """`mimawari run` as it is, with its own signal handlers, in this process."""
    running = asyncio.create_task(run(stage.settings))
    try:
        await stage.until_it_listens()
        yield running
    finally:
        if not running.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await running
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)


async def until(look: Callable[[], Awaitable[bool]], *, within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not await look():
            await asyncio.sleep(0.02)


async def one(stage: Stage, sql: str) -> object:
    async with stage.engine.connect() as conn:
        return (await conn.execute(text(sql))).scalar_one_or_none()


async def a_card(stage: Stage, order: str) -> Message:
    await stage.self_dealing(order)

    async def declared() -> bool:
        sql = "SELECT count(*) FROM ledger.ticks WHERE name LIKE 'detection:%'"
        return bool(await one(stage, sql))

    await until(declared)
    await stage.detect_now()
    return await stage.card_with(order)


async def test_sigterm_lets_calls_in_flight_finish_and_says_unready_meanwhile(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    stage.market.faults.switch_on(Fault.SLOW, verb="hold", times=1, seconds=6)
    async with the_process(stage) as running:
        card = await a_card(stage, "O-1")
        assert (await stage.press(AGENT, card, "hold")).ok

        async def executing() -> bool:
            return await one(stage, "SELECT state FROM ledger.operations") == "executing"

        await until(executing)
        os.kill(os.getpid(), signal.SIGTERM)
        # Until the last call has ended it answers, so that no click that is on its way is lost.
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{stage.settings.port}/readyz") as response,
        ):
            assert response.status == 503
            assert "stopping" in (await response.json())["problems"]
        assert await one(stage, "SELECT state FROM ledger.operations") == "executing"
        async with asyncio.timeout(25):
            await running
    state = await one(stage, "SELECT state || ' by ' || resolved_by FROM ledger.operations")
    assert state == "succeeded by answer"
    assert len(await stage.market.effects("O-1")) == 1
    for table in ("operations", "posts", "cards", "ticks"):
        held = await one(
            stage, f"SELECT count(*) FROM ledger.{table} WHERE lease_owner IS NOT NULL"
        )
        assert held == 0, table
    with pytest.raises(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{stage.settings.port}/healthz")
    assert (await stage.verified()).ok


async def test_what_was_promised_after_a_click_is_done_before_the_end(quiet_stage: Stage) -> None:
    finished = asyncio.Event()

    async def fill_in() -> None:
        # Longer than all else that a stop waits for.
        await asyncio.sleep(3)
        finished.set()

    async with quiet_stage.bot_running() as bot:
        bot._errands.start(fill_in())
    assert finished.is_set()
