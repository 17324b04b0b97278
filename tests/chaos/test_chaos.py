from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from tests.chaos.__main__ import find_audit
from tests.chaos.bot_process import LEASES, POINTS, find
from tests.chaos.world import Options, run_chaos

SHORT = Options(
    operations=60,
    kills=4,
    cuts=4,
    restarts=1,
    seed=1,
    work_s=60,
    settle_s=240,
    parallel=4,
)


@pytest.mark.timeout(600)
async def test_whatever_dies_every_promise_is_kept() -> None:
    # Not pytest's own folder: root's is closed to the account that Postgres runs as.
    folder = Path(mkdtemp(prefix="mimawari-chaos-test-", dir="/tmp"))
    ran, results = await run_chaos(SHORT, folder, find_audit())
    story = "\n".join([*ran.lines(), *(result.line() for result in results)])
    assert ran.settled, story
    assert results
    assert [result.line() for result in results if not result.ok] == [], story
    # Something did happen, however slow this machine is.
    assert ran.operations > 0, story
    assert ran.kills > 0, story
    assert ran.cuts.total() > 0, story
    assert ran.restarts == 1, story
    assert ran.doubled == 0, story
    # What failed stays, to be looked at.
    rmtree(folder)


@pytest.mark.parametrize("place", [*LEASES, *(place for many in POINTS.values() for place in many)])
def test_every_place_to_die_is_still_there(place: str) -> None:
    holder, name = find(place)
    assert hasattr(holder, name)
