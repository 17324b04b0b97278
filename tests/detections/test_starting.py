"""What `rules new` writes is sound at once, and is no detection that posts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.actions import registry
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.detections.proving import run_tests
from bot.detections.starting import KINDS, write_start
from bot.domain.errors import SayableError
from bot.domain.findings import Mode
from bot.domain.subjects import SubjectKind


@pytest.mark.parametrize("kind", KINDS)
async def test_a_new_detection_passes_its_check_and_its_examples(
    kind: str, tmp_path: Path, market_dsn: str
) -> None:
    sql, examples = write_start(tmp_path, "many_gift_cards", SubjectKind(kind))
    detection = load_detection(sql, actions=registry())
    assert isinstance(detection, Detection), detection
    assert detection.mode is Mode.SHADOW
    results = await run_tests([detection], market_dsn)
    assert [result.failure for result in results] == [None, None]
    assert "▶" in sql.read_text(encoding="utf-8")
    assert "▶" in examples.read_text(encoding="utf-8")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.test.yml").write_text("- mine", encoding="utf-8")
    with pytest.raises(SayableError, match="is there already"):
        write_start(tmp_path, "mine", SubjectKind.ORDER)
    assert not (tmp_path / "mine.sql").exists()
    assert (tmp_path / "mine.test.yml").read_text(encoding="utf-8") == "- mine"


@pytest.mark.parametrize("name", ["Large", "../x", "a-b", "", "9lives"])
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SayableError, match="cannot be a name"):
        write_start(tmp_path, name, SubjectKind.ORDER)
