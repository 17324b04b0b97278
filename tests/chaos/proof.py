"""`python -m tests.chaos.proof`: does the auditor bite? One short run without and one with each planted bug."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import click

from tests.chaos.auditor import Promise, audit
from tests.chaos.planted import NAMES
from tests.chaos.world import Options, run_chaos


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--operations", default=80, show_default=True, help="Approved operations in each run."
)
@click.option("--kills", default=5, show_default=True)
@click.option("--cuts", default=5, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--tries", default=3, show_default=True, help="Seeds until a bug counts as missed.")
def main(
    *, names: tuple[str, ...], operations: int, kills: int, cuts: int, seed: int, tries: int
) -> None:
    """Print a table of the planted bugs and the promises that each was seen to break."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise click.UsageError(
            f"No bug {unknown[0]!r} is planted here; there are: {', '.join(NAMES)}."
        )
    click.echo("| planted | caught by | seed | seconds |\n|---|---|---|---|")
    missed: list[str] = []
    for name in (None, *(names or NAMES)):
        begun, at = time.monotonic(), seed - 1
        broken: list[Promise] = []
        while not broken and at < seed - 1 + (tries if name else 1):
            at += 1
            broken = _play(
                Options(
                    operations=operations,
                    kills=kills,
                    cuts=cuts,
                    restarts=1,
                    seed=at,
                    settle_s=45.0,
                    work_s=150.0,
                    planted=name,
                )
            )
        told = "; ".join(f"{promise.name} ({promise.count})" for promise in broken) or "**nothing**"
        # Without any bug nothing may be broken; with one something must be.
        if bool(broken) is not (name is not None):
            missed.append(name or "none")
        shown = name or "(none)"
        click.echo(f"| {shown} | {told} | {at} | {time.monotonic() - begun:.0f} |")
    if missed:
        raise SystemExit(f"Not as it should be: {', '.join(missed)}.")


def _play(options: Options) -> list[Promise]:
    folder = Path(tempfile.mkdtemp(prefix="mimawari-chaos-proof-", dir="/tmp"))
    try:
        ran, results = asyncio.run(run_chaos(options, folder, audit))
        broken = [promise for promise in results if not promise.ok]
        if not ran.settled:
            left = sum(ran.unsettled.values())
            broken.append(Promise(name="left unsettled", count=left, of=ran.operations))
        return broken
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
