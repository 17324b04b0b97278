"""`make bench`: prints ratios against named baselines of the same run, and the machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from bot.playground.postgres import Server
from tests.bench import burst, clicks, latency, report, working
from tests.bench.report import Figure
from tests.bench.world import World, a_server, a_world

Measurement = Callable[[World], Awaitable[list[Figure]]]


def measurements(*, quick: bool) -> dict[str, Measurement]:
    """Every measurement by name; `quick` proves that they run, not how fast anything is."""
    if quick:
        return {
            "clicks": lambda world: clicks.measure(world, clicks=24),
            "operations": lambda world: working.operations(world, count=30),
            "latency": lambda world: latency.measure(world, seconds=6),
            "finding": lambda world: latency.to_finding(world, seconds=6),
            "burst": lambda world: burst.measure(world, findings=50),
            "memory": lambda world: working.memory(world, cases=200, settle_s=1),
            "start": lambda world: working.start(world, times=1),
        }
    return {
        "clicks": lambda world: clicks.measure(world, clicks=500),
        "operations": lambda world: working.operations(world, count=1000),
        "latency": lambda world: latency.measure(world, seconds=60),
        "finding": lambda world: latency.to_finding(world, seconds=60),
        "burst": lambda world: burst.measure(world, findings=10_000),
        "memory": lambda world: working.memory(world, cases=10_000, settle_s=60),
        "start": lambda world: working.start(world, times=5),
    }


async def run(names: list[str], *, quick: bool) -> tuple[dict[str, str], list[Figure]]:
    """Measure in turn, each in a world of its own."""
    known = measurements(quick=quick)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="mimawari_bench_") as folder:
        async with a_server(Path(folder)) as server:
            about = report.machine(await _settings_of(server))
            for name in names or list(known):
                sys.stderr.write(f"measuring {name} …\n")
                async with a_world(server, Path(folder), name) as world:
                    figures += await known[name](world)
    return about, figures


async def _settings_of(server: Server) -> list[tuple[str, str]]:
    async with server.superuser() as conn:
        return [
            (name, str(await conn.fetchval(f"SHOW {name}")))
            for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
        ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures say nothing")
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(measurements(quick=True))
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print a table for docs/performance.md"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    about, figures = asyncio.run(run(arguments.only, quick=arguments.quick))
    draw = report.as_markdown if arguments.markdown else report.as_text
    sys.stdout.write(draw(about, figures) + "\n")
    if arguments.json:
        arguments.json.write_text(report.as_json(about, figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
