"""The detection that docs/writing-detections.md writes works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from bot.actions import registry
from bot.detections.detection import BUILT_IN, Detection
from bot.detections.head import Head
from bot.detections.loading import load_detection, load_detections
from bot.detections.proving import run_tests
from bot.ledger.views import VIEWS

PAGE_OF_PACK = Path(__file__).parents[2] / "docs" / "detections.md"
PAGE = (Path(__file__).parents[2] / "docs" / "writing-detections.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


async def test_the_example_of_the_page_passes_its_check_and_its_examples(
    tmp_path: Path, market_dsn: str
) -> None:
    path = tmp_path / "konbini_hoarding.sql"
    path.write_text(block("sql"), encoding="utf-8")
    path.with_suffix(".test.yml").write_text(block("yaml"), encoding="utf-8")
    detection = load_detection(path, actions=registry())
    assert isinstance(detection, Detection), detection
    results = await run_tests([detection], market_dsn)
    assert [result.failure for result in results] == [None, None, None]


def test_the_page_names_every_key_of_a_head() -> None:
    table = PAGE[PAGE.index("## The head") : PAGE.index("## The SQL")]
    assert [key for key in Head.model_fields if f"`{key}`" not in table] == []


def test_the_page_names_every_column_of_the_ledgers_views() -> None:
    for relation, columns in VIEWS.items():
        (line,) = [one for one in PAGE.splitlines() if one.startswith(f"| `{relation}` |")]
        assert re.findall(r"`(\w+)`", line) == [relation, *columns]


def test_the_page_of_the_pack_names_every_detection_with_its_severity_and_no_other() -> None:
    page = PAGE_OF_PACK.read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z_]+)` \((P[123])\) \|", page, flags=re.MULTILINE)
    pack = load_detections([BUILT_IN], actions=registry()).detections
    assert sorted(told) == sorted((one.name, one.severity.value) for one in pack)
