"""A query of Redash, which anybody there may change, is never put into automatic, however good it was."""

from __future__ import annotations

from pathlib import Path

from bot.cases.proposing_modes import propose_mode
from bot.cases.room import Room
from bot.detections.redash_map import read_redash_map
from bot.domain.findings import Mode
from bot.domain.refusals import Refusal, RefusalCode
from tests.cases.conftest import room
from tests.cases.test_proposing_modes import ENGINEER, careful, judged, proposed
from tests.redash_stage import write_map

__all__ = ["room"]


async def test_a_query_of_redash_is_not_put_into_automatic(room: Room, tmp_path: Path) -> None:
    (mapped,) = read_redash_map(write_map(tmp_path))
    trusting = careful(room)
    await judged(trusting, mapped.detection, fraud=20, good=0)
    asked = await propose_mode(
        trusting, ENGINEER, mapped.detection, Mode.AUTOMATIC, "結果が良いため"
    )
    assert isinstance(asked, Refusal)
    assert asked.code is RefusalCode.ONLY_PEOPLE
    # As any other it is put into shadow, or back into review.
    assert (await proposed(trusting, mapped.detection, Mode.SHADOW)).missing == 1
