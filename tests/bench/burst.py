"""Ten thousand findings in one tick: how long until all are stored, and how large the process grows."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bot.actions import registry
from bot.cases.policy import read_policy
from bot.cases.room import TOPICS, Room
from bot.detections.detection import BUILT_IN
from bot.detections.loading import load_detections
from bot.domain.clock import WallClock
from bot.jobs.detect import detect
from bot.jobs.ticker import Tick
from bot.ledger.bell import Bell
from bot.ledger.engine import create_engine
from bot.market.reader import MarketReader
from bot.playground.postgres import MARKET_READER
from tests.bench.report import Figure
from tests.bench.world import ALERTS, World, rss_mb

DETECTION = "self_dealing_link"
AIM_S = 10.0
AIM_MB = 300.0


async def measure(world: World, *, findings: int) -> list[Figure]:
    """Under a daily cap that lets every finding open its case: the pack's own would keep all but 200 in shadow."""
    policy = world.settings.policy_file
    if policy is None:
        raise RuntimeError("the bench has its own policy")
    await _fill(world, findings)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.burst",
        world.ledger_dsn, world.server.dsn(world.market, MARKET_READER), str(policy), str(2 * findings),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await child.communicate()
    told = json.loads(out)
    stored, cases = await world.owner.fetchrow(
        "SELECT count(*), count(DISTINCT case_id) FROM ledger.findings"
    )
    if stored != findings or cases != findings:
        raise RuntimeError(f"{stored} of {findings} findings were stored, in {cases} cases")
    return [
        Figure(
            name=f"{findings:,} findings in one tick, each with a case of its own: until all are stored",
            value=f"{told['seconds']:.1f} s; the process at its peak {told['peak_mb']:.0f} MB"
            f" (before it {told['before_mb']:.0f} MB)",
            aim=f"≤ {AIM_S:.0f} s, < {AIM_MB:.0f} MB",
            met=told["seconds"] <= AIM_S and told["peak_mb"] < AIM_MB,
        )
    ]


async def _fill(world: World, count: int) -> None:
    """Orders of buyers who are their own sellers, each pair on a device of its own, all changed just now."""
    await world.shop.execute(
        """INSERT INTO market.accounts (account_id, display_name, status, is_seller, signup_device_id, created_at, updated_at)
           SELECT role || n, role || n, 'active', role = 's', 'd' || n,
                  now() - interval '5 hours', now()
             FROM generate_series(1, $1) AS n CROSS JOIN unnest(ARRAY['s', 'b']) AS role""",
        count,
    )
    await world.shop.execute(
        """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method, device_id,
                                      ordered_at, paid_at, ship_due_at, updated_at)
           SELECT 'o' || n, 'b' || n, 's' || n, 'paid', 4000 + n, 'konbini', 'd' || n,
                  now(), now(), now() + interval '9 days', now()
             FROM generate_series(1, $1) AS n""",
        count,
    )


async def look(ledger: str, market: str, policy: Path, cap: int) -> dict[str, float]:
    """One tick as the bot does it, in a process that does nothing else."""
    pack = {one.name: one for one in load_detections([BUILT_IN], actions=registry()).detections}
    detection = replace(pack[DETECTION], daily_cap=cap)
    engine = create_engine(ledger, pool_size=10, max_overflow=10)
    room = Room(
        engine=engine,
        clock=WallClock(),
        policy=read_policy(policy, registry()),
        bell=Bell(ledger, TOPICS),
        channel=ALERTS,
        home_team="T0MIMAWARI",
    )
    reader = MarketReader(market)
    before, _ = rss_mb(os.getpid())
    tick = Tick(name=DETECTION, watermark=room.clock.now() - timedelta(minutes=5))
    began = time.perf_counter()
    await detect(room, reader, detection, tick)
    seconds = time.perf_counter() - began
    _, peak = rss_mb(os.getpid())
    await engine.dispose()
    return {"seconds": seconds, "before_mb": before, "peak_mb": peak}


if __name__ == "__main__":
    _ledger, _market, _policy, _cap = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(look(_ledger, _market, Path(_policy), int(_cap)))))
