"""`python -m tests.chaos`: play a run, let the auditor read its evidence, print one line a promise."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from tests.chaos.world import DATABASES, Options, run_chaos


@click.command()
@click.option("--operations", default=3000, show_default=True, help="Approved operations to reach.")
@click.option("--kills", default=60, show_default=True, help="How many processes are ended by -9.")
@click.option("--cuts", default=60, show_default=True, help="How many connections are cut.")
@click.option("--restarts", type=int, help="Restarts of Postgres; default: every 5 to 40 seconds.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--settle", default=300.0, show_default=True, help="Seconds for everything to settle."
)
@click.option(
    "--longest", default=3600.0, show_default=True, help="Seconds that people work at most."
)
@click.option("--parallel", default=6, show_default=True, help="Cases that people work on at once.")
@click.option("--planted", help="A bug of tests/chaos/planted that every process gets.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the evidence is written.")
@click.option("--faults/--no-faults", default=True, show_default=True)
def main(
    *,
    operations: int,
    kills: int,
    cuts: int,
    restarts: int | None,
    seed: int,
    settle: float,
    longest: float,
    parallel: int,
    planted: str | None,
    folder: Path | None,
    faults: bool,
) -> None:
    """Break everything that can be broken, and see whether the promises hold."""
    options = Options(
        operations=operations,
        kills=kills,
        cuts=cuts,
        restarts=restarts,
        seed=seed,
        settle_s=settle,
        work_s=longest,
        parallel=parallel,
        planted=planted,
        faults=faults,
    )
    where = folder or Path(tempfile.mkdtemp(prefix="mimawari-chaos-run-", dir="/tmp"))
    begun = time.monotonic()
    ran, results = asyncio.run(run_chaos(options, where, find_audit()))
    for line in ran.lines():
        click.echo(line)
    click.echo(f"took {time.monotonic() - begun:.0f} s")
    for result in results:
        click.echo(result.line())
    broken = [result for result in results if not result.ok]
    if broken or not ran.settled or ran.begun_while_paused:
        raise SystemExit(1)
    # Nothing is to be looked for in them, and they are large.
    for databases in DATABASES:
        shutil.rmtree(where / databases, ignore_errors=True)


def find_audit() -> Callable[[Path], Sequence[Any]] | None:
    """The auditor; it shares no code with us."""
    try:
        module = importlib.import_module("tests.chaos.auditor")
    except ModuleNotFoundError:
        return None
    audit: Callable[[Path], Sequence[Any]] = module.audit
    return audit


if __name__ == "__main__":
    main()
