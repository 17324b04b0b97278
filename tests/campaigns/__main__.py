"""`python -m tests.campaigns`: ten seeds of the demo, and what the team stopped in them."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from bot.playground.market.flavours import DEFAULT, FLAVOURS
from bot.playground.postgres import embedded_postgres
from tests.campaigns.figures import SeedFigures
from tests.campaigns.seeds import Plan, play_alone
from tests.campaigns.tables import draw
from tests.conftest import FAST, TEMPORARY


def main() -> int:
    """Play, print, and say by the exit code whether every run was sound."""
    chosen = _parse()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    plan = Plan(
        flavour=chosen.flavour,
        hours=chosen.hours,
        settle_hours=chosen.settle,
        step_minutes=chosen.step,
        automatic=chosen.automatic,
        folder=TEMPORARY / f"mimawari-campaigns-{uuid.uuid4().hex}",
    )
    try:
        results = sorted(asyncio.run(_play(plan, list(seeds), chosen.jobs)), key=lambda r: r.seed)
    finally:
        shutil.rmtree(plan.folder, ignore_errors=True)
    if chosen.json is not None:
        told = json.dumps([result.as_json() for result in results], indent=1)
        chosen.json.write_text(told, encoding="utf-8")
    print(draw(results, markdown=chosen.markdown))  # noqa: T201
    return 1 if any(result.faults for result in results) else 0


async def _play(plan: Plan, seeds: list[int], jobs: int) -> list[SeedFigures]:
    async with embedded_postgres(plan.folder, settings=FAST):
        return await asyncio.to_thread(lambda: list(_play_all(plan, seeds, jobs)))


def _play_all(plan: Plan, seeds: list[int], jobs: int) -> Iterator[SeedFigures]:
    # A process a seed: nothing of one is left in the next, and cores are used.
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        playing = {processes.submit(play_alone, plan, seed): seed for seed in seeds}
        for done in as_completed(playing):
            result = done.result()
            print(  # noqa: T201
                f"seed {result.seed}: {sum(result.cases.values())} cases, {result.seconds:.0f} s,"
                f" {'sound' if not result.faults else 'NOT SOUND'}",
                file=sys.stderr,
                flush=True,
            )
            yield result


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=48, help="of the market's clock, each seed")
    parser.add_argument(
        "--settle",
        type=float,
        default=0,
        metavar="HOURS",
        help="play on for so long, and count nothing new: so that late findings count, and late losses",
    )
    parser.add_argument(
        "--step", type=float, default=5, help="market minutes until everybody has looked again"
    )
    parser.add_argument("--flavour", choices=sorted(FLAVOURS), default=DEFAULT.name)
    parser.add_argument(
        "--automatic",
        action="store_true",
        help="nobody is at work: every detection holds what it finds, and that is all",
    )
    parser.add_argument("--jobs", type=int, default=1, help="seeds at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", action="store_true", help="print tables for the docs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
