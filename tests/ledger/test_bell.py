"""The bell: it wakes workers of every process, and it can always be stopped."""

from __future__ import annotations

import asyncio

from bot.ledger.bell import Bell


async def _listening(bell: Bell, topic: str) -> None:
    """Until a ring has gone through the database and come back."""
    async with asyncio.timeout(20):
        while True:
            bell.ring(topic)
            bell._events[topic].clear()
            await asyncio.sleep(0.05)
            if bell._events[topic].is_set():
                return


async def test_a_ring_wakes_the_workers_of_another_process(ledger_dsn: str) -> None:
    here, there = Bell(ledger_dsn, ["cards"]), Bell(ledger_dsn, ["cards"])
    running = [asyncio.create_task(bell.run()) for bell in (here, there)]
    for bell in (here, there):
        await _listening(bell, "cards")
    await asyncio.sleep(0.1)
    there._events["cards"].clear()
    here.ring("cards")
    async with asyncio.timeout(10):
        await there.wait("cards", 60)
    for task in running:
        task.cancel()
    await asyncio.wait(running, timeout=10)
    assert all(task.cancelled() for task in running)


async def test_a_stop_that_comes_with_a_ring_stops_it(ledger_dsn: str) -> None:
    bell = Bell(ledger_dsn, ["cards"])
    running = asyncio.create_task(bell.run())
    await _listening(bell, "cards")
    await asyncio.sleep(0.2)  # it waits for a ring again
    bell.ring("cards")
    # One turn of the loop later the ring is seen but not yet acted on.
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=5)
    assert running.done()
