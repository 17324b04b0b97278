"""Order committed to finding stored and to card posted, while orders come in all the time."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from bot.app import running_parts
from bot.playground.postgres import MARKET_OWNER
from bot.publisher import Limits
from bot.settings import Settings
from tests.bench.report import Figure
from tests.bench.world import World, fill_shop, percentile, until_ready

RATE = 50
FINDING_RATE = 200
FRAUD_EVERY_S = 4.0
PACE = 15.0
"""Detections of every 30 s run every 2 s: the fastest that the bot allows."""


async def measure(world: World, *, seconds: float) -> list[Figure]:
    """The generator is a process of its own; what it takes of the machine is told."""
    await fill_shop(world, 2000)
    # With its own policy: cards for P1 alone.
    settings = world.settings.model_copy(update={"policy_file": None})
    async with _patrolling(settings, Limits(posts_per_s=50, updates_per_s=50)):
        told = await _generated(world, seconds, RATE)
        await asyncio.sleep(8)
        posted = {
            order: float(message.ts)
            for order in told["fraud"]
            for message in world.workspace.messages("C0ALERTS")
            if order in message.text
        }
    waits = [posted[order] - at for order, at in told["fraud"].items() if order in posted]
    if len(waits) < len(told["fraud"]):
        raise RuntimeError(f"{len(told['fraud']) - len(waits)} orders never got a card")
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    return [
        Figure(
            name=f"order committed → card posted at {told['rate']:.0f} orders/s,"
            f" {len(waits) / seconds:.2f} new cases/s, detections every 2 s",
            value=f"p50 {p50:.2f} s, p99 {p99:.2f} s ({len(waits)} cases);"
            f" the generator took {told['cpu']:.0%} of a core",
            aim="p50 ≤ 2 s, p99 ≤ 5 s",
            met=p50 <= 2 and p99 <= 5,
        )
    ]


async def to_finding(world: World, *, seconds: float) -> list[Figure]:
    """Until its finding can be read in the ledger, seen by somebody who looks every 20 ms."""
    await fill_shop(world, 2000)
    settings = world.settings.model_copy(update={"policy_file": None})
    async with _patrolling(settings):
        seen: dict[str, float] = {}
        looking = asyncio.create_task(_look(world, seen))
        told = await _generated(world, seconds, FINDING_RATE)
        await asyncio.sleep(8)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    waits = [seen[order] - at for order, at in told["fraud"].items() if order in seen]
    if len(waits) < len(told["fraud"]):
        raise RuntimeError(f"{len(told['fraud']) - len(waits)} orders were never found")
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    return [
        Figure(
            name=f"order committed → finding stored at {told['rate']:.0f} orders/s, detections every 2 s",
            value=f"p50 {p50:.2f} s, p99 {p99:.2f} s ({len(waits)} findings);"
            f" the generator took {told['cpu']:.0%} of a core",
            aim="p50 ≤ 1.5 s, p99 ≤ 4 s",
            met=p50 <= 1.5 and p99 <= 4,
        )
    ]


@asynccontextmanager
async def _patrolling(settings: Settings, limits: Limits | None = None) -> AsyncIterator[None]:
    """A bot at work, a little after it began."""
    async with running_parts(settings, limits=limits, pace=PACE) as bot:
        stop = asyncio.Event()
        running = asyncio.create_task(bot.run(stop))
        await until_ready(settings.port)
        await asyncio.sleep(3)
        yield
        stop.set()
        bot.room.bell.ring("operations", "cards", "posts")
        await running


async def _look(world: World, seen: dict[str, float]) -> None:
    while True:
        rows = await world.owner.fetch(
            "SELECT DISTINCT subject_id FROM ledger.findings WHERE subject_id LIKE 'F-%'"
        )
        now = time.time()
        for row in rows:
            seen.setdefault(row["subject_id"], now)
        await asyncio.sleep(0.02)


async def _generated(world: World, seconds: float, rate: int) -> Any:
    """What `generate` tells, from a process of its own."""
    generator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.latency",
        world.server.dsn(world.market, MARKET_OWNER), str(seconds), str(rate),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await generator.communicate()
    return json.loads(out)


async def generate(dsn: str, seconds: float, rate: int) -> dict[str, object]:
    """Insert orders at the rate, each in a transaction of its own; now and then one that is self-dealt."""
    conn = await asyncpg.connect(dsn)
    began, made, fraud = time.time(), 0, {}
    next_fraud = began + 1
    try:
        while (now := time.time()) < began + seconds:
            if made < (now - began) * rate:
                n = made % 2000 + 1
                if now >= next_fraud:
                    next_fraud += FRAUD_EVERY_S * RATE / rate
                    order = f"F-{made}"
                    await _insert_fraud(conn, order)
                    fraud[order] = time.time()
                else:
                    await conn.execute(_ORDER, f"G-{made}", f"B-{n}", f"S-{n}", None)
                made += 1
            else:
                await asyncio.sleep(0.005)
    finally:
        await conn.close()
    took = time.time() - began
    return {"fraud": fraud, "rate": made / took, "cpu": time.process_time() / took}


_ORDER = """
    INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method, device_id,
                               ordered_at, paid_at, ship_due_at, updated_at)
    VALUES ($1, $2, $3, 'paid', 4000, 'konbini', $4, now(), now(), now() + interval '9 days', now())
"""


async def _insert_fraud(conn: asyncpg.Connection, order: str) -> None:
    async with conn.transaction():
        for role in ("buyer", "seller"):
            await conn.execute(
                """INSERT INTO market.accounts (account_id, display_name, status, is_seller, signup_device_id,
                     created_at, updated_at) VALUES ($1, $1, 'active', $2, $3, $4, now())""",
                f"{role}-{order}",
                role == "seller",
                f"device-{order}",
                datetime.now(UTC) - timedelta(hours=5),
            )
        await conn.execute(_ORDER, order, f"buyer-{order}", f"seller-{order}", f"device-{order}")


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(asyncio.run(generate(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))))
    )
