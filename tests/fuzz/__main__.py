"""`make fuzz`: sends requests as nobody should to every endpoint of a running bot."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.bench.world import a_server, a_world, fill_cases, fill_shop
from tests.fuzz.running import Found, fuzz

MAY_GROW_MB = 40.0


async def run(inputs: int, seed: int) -> Found:
    with tempfile.TemporaryDirectory(prefix="mimawari_fuzz_") as folder:
        async with (
            a_server(Path(folder)) as server,
            a_world(server, Path(folder), "fuzz") as world,
        ):
            await fill_shop(world, 60)
            cases = await fill_cases(world, 50)
            return await fuzz(world.settings, cases, Path(folder) / "log", inputs=inputs, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(2**32)
    found = asyncio.run(run(asked.inputs, seed))
    sys.stdout.write(found.as_text() + "\n")
    if found.broken or found.grown_mb > MAY_GROW_MB:
        sys.exit(1)


if __name__ == "__main__":
    main()
