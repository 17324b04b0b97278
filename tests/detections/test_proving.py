"""Detections keep what their examples promise, and a broken example is a sentence."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from bot.detections.detection import BUILT_IN, Detection
from bot.detections.loading import load_detection, load_detections
from bot.detections.proving import read_examples, run_tests
from bot.domain.errors import SayableError
from tests.detections.heads import write_detection

HIT = """
- title: A dear order is found
  rows: {orders: [{order_id: O1, total_amount: 100000}]}
  finds: [O1]
  evidence: {O1: {method: card}}
"""


def with_examples(folder: Path, examples: str) -> Detection:
    path = write_detection(folder)
    path.with_suffix(".test.yml").write_text(examples, encoding="utf-8")
    detection = load_detection(path)
    assert isinstance(detection, Detection)
    return detection


async def test_the_built_in_detections_keep_what_their_examples_promise(market_dsn: str) -> None:
    results = await run_tests(load_detections([BUILT_IN]).detections, market_dsn)
    assert [(r.detection, r.title, r.failure) for r in results if r.failure] == []
    assert len(results) >= 40


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.sql")))
def test_a_built_in_detection_has_a_hit_and_a_near_miss(name: str) -> None:
    detection = load_detection(BUILT_IN / f"{name}.sql")
    assert isinstance(detection, Detection)
    examples = read_examples(detection)
    assert any(example.finds for example in examples)
    assert any(not example.finds for example in examples)


async def test_an_example_that_holds_passes_and_leaves_nothing(
    tmp_path: Path, market_dsn: str
) -> None:
    (result,) = await run_tests([with_examples(tmp_path, HIT)], market_dsn)
    assert (result.detection, result.title) == ("large_order", "A dear order is found")
    assert result.failure is None
    conn = await asyncpg.connect(market_dsn)
    try:
        assert await conn.fetchval("SELECT to_regnamespace('mimawari_examples')") is None
        assert await conn.fetchval("SELECT count(*) FROM market.orders") == 0
    finally:
        await conn.close()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("100000", "99999", "did not find O1"),
        ("finds: [O1]\n  evidence: {O1: {method: card}}", "finds: []", "found O1"),
        ("finds: [O1]", "finds: [O2]", "did not find O2; found O1"),
        ("method: card", "method: konbini", "O1: method is 'card' instead of 'konbini'"),
        ("{O1: {method", "{O9: {method", "which is not among `finds`"),
        ("total_amount", "total_amout", "orders has no column total_amout"),
        ("order_id: O1", "order_id: O1, status: payed", "orders_status_check"),
        ("order_id: O1", "order_id: O1, ordered_at: yesterday", "Invalid isoformat"),
        ("order_id: O1", "order_id: O1, ordered_at: 2026-04-01", "with a zone, instead of"),
        ("order_id: O1", "order_id: O1, ip: nonsense", "do not fit the market contract"),
    ],
)
async def test_an_example_that_does_not_hold_says_why(
    tmp_path: Path, market_dsn: str, old: str, new: str, said: str
) -> None:
    assert old in HIT
    (result,) = await run_tests([with_examples(tmp_path, HIT.replace(old, new))], market_dsn)
    assert result.failure
    assert said in result.failure


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ("- [", "is not readable YAML"),
        ("", "must hold a list of examples"),
        ("{}", "must hold a list of examples"),
        ("- title: x", "Field required"),
        (HIT.replace("finds:", "findz:"), "finds: Field required"),
        (HIT.replace("orders:", "ordres:"), "no relation ordres"),
        (HIT + "  now: 2026-04-01T00:00:00\n", "write it with a zone"),
    ],
)
async def test_broken_examples_are_a_failure_with_a_sentence(
    tmp_path: Path, market_dsn: str, examples: str, said: str
) -> None:
    (result,) = await run_tests([with_examples(tmp_path, examples)], market_dsn)
    assert result.failure
    assert said in result.failure


async def test_a_detection_without_examples_fails(tmp_path: Path, market_dsn: str) -> None:
    detection = with_examples(tmp_path, HIT)
    detection.path.with_suffix(".test.yml").unlink()
    (result,) = await run_tests([detection], market_dsn)
    assert result.failure
    assert (
        "large_order.test.yml is missing: write there what large_order must find" in result.failure
    )


async def test_a_failure_does_not_spoil_the_next_example(tmp_path: Path, market_dsn: str) -> None:
    examples = HIT.replace("order_id: O1", "order_id: O1, status: payed") + HIT
    first, second = await run_tests([with_examples(tmp_path, examples)], market_dsn)
    assert first.failure
    assert second.failure is None


async def test_a_role_that_may_not_make_a_schema_is_a_sentence(
    tmp_path: Path, market_reader_dsn: str
) -> None:
    with pytest.raises(SayableError, match="a role that may create a schema"):
        await run_tests([with_examples(tmp_path, HIT)], market_reader_dsn)


async def test_without_the_contract_it_says_where_to_run(tmp_path: Path, market_dsn: str) -> None:
    with pytest.raises(SayableError, match="run this from a clone"):
        await run_tests([], market_dsn, contract=tmp_path / "market.sql")
