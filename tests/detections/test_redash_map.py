"""A Redash map is refused with file, line and what to do; a row that does not fit is told by its column."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.actions import registry
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.detections.proving import run_tests
from bot.detections.redash_import import draft_detection, name_of
from bot.detections.redash_map import MappedQuery, read_redash_map
from bot.detections.redash_rows import Taken, take_rows
from bot.domain.errors import SayableError
from bot.market.redash import QueryInfo, Result
from tests.redash_stage import MAP, write_map

AT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


def line_of(words: str) -> int:
    return next(n for n, line in enumerate(MAP.splitlines(), 1) if words in line)


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("severity: P1", "severity: P9"), "severity", "`queries.318.severity` is wrong"),
        (("    subject: order\n", ""), "  318:", "`queries.318.subject` is missing"),
        (("subject: order", "subject: card"), "subject: order", "`queries.318.subject` is wrong"),
        (("subject_id: order_id", "subjectid: x"), "columns", "`queries.318.columns.subject_id`"),
        (("amount: total", "amuont: total"), "amount", "is no field of a Redash map"),
        (("[hold, cancel]", "[hold, canzel]"), "actions", "names no action: there are cancel"),
        (("Asia/Tokyo", "Asia/Tokio"), "timezone", "must be a zone of the IANA list"),
        (
            ("    fixed: {currency: JPY}\n", ""),
            "columns",
            "must say which column is the `currency`",
        ),
        (
            ("fixed: {currency: JPY}", "fixed: {currency: yen}"),
            "fixed",
            "`queries.318.fixed.currency`",
        ),
        (
            ("en: [Hold the order, Compare", "en: [Hold the order and compare"),
            "      en:",
            "as many",
        ),
        (("type: count", "type: number"), "cnt:", "`queries.318.evidence.cnt.type` is wrong"),
        (("mask: name", "mask: names"), "buyer_name", "buyer_name.mask` is wrong"),
        (
            ("    severity: P1\n", "    severity: P1\n    severity: P2\n"),
            None,
            "stands there twice",
        ),
        (("  318:", "  three:"), "  318:", "is wrong"),
        (("  318:", "  -3:"), "  318:", "must be the number in the query's address"),
        (
            ("severity: P1", "severity: P1\n    parameters: {a: 1}"),
            "  318:",
            "must be `always`",
        ),
        (("severity: P1", "severity: P1\n    key_env: abc-key"), None, "never the key itself"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_what_to_do(
    tmp_path: Path, change: tuple[str, str], line: str | None, said: str
) -> None:
    path = write_map(tmp_path, change)
    with pytest.raises(SayableError) as caught:
        read_redash_map(path, actions=registry())
    assert said in str(caught.value)
    if line is not None:
        assert f"The Redash map {path}, line {line_of(line)}: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queries: {}", "at least 1"),
        ("", "must have `queries` at its top"),
        ("- 1", "must have `queries` at its top"),
        ("queries: [", "is not YAML"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "redash.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SayableError, match=said):
        read_redash_map(path)


def test_a_map_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SayableError, match="set REDASH_MAP to one that can"):
        read_redash_map(tmp_path / "none.yml")


def test_two_queries_cannot_be_one_detection(tmp_path: Path) -> None:
    again = MAP[MAP.index("  318:") :].replace("  318:", "  400:")
    with pytest.raises(SayableError, match="must be its own: query 318 has that name"):
        read_redash_map(write_map(tmp_path, more=again))


def test_another_entry_changes_nothing_of_what_was_agreed_on_for_this_one(tmp_path: Path) -> None:
    (before,) = read_redash_map(write_map(tmp_path))
    again = MAP[MAP.index("  318:") :].replace("  318:", "  400:").replace("redash_self", "other")
    after, other = read_redash_map(write_map(tmp_path, more=again))
    assert before.detection.hash == after.detection.hash != other.detection.hash
    (moved,) = read_redash_map(write_map(tmp_path, ("severity: P1", "severity: P2")))
    assert moved.detection.hash != before.detection.hash


# ---- Rows


def mapped_with(folder: Path, *changes: tuple[str, str]) -> MappedQuery:
    (mapped,) = read_redash_map(write_map(folder, *changes))
    return mapped


def taken(mapped: MappedQuery, *rows: dict[str, Any]) -> Taken:
    whole = [
        {
            "order_id": "O-1",
            "ordered_at": "2026-11-23T13:59:00",
            "total": 1200,
            "buyer": "B",
            "seller": "S",
            "buyer_name": "山田 花子",
            "cnt": 3,
            **row,
        }
        for row in rows
    ]
    columns = tuple(whole[0]) if whole else ()
    return take_rows(
        mapped, Result(result_id=1, retrieved_at=AT, columns=columns, rows=tuple(whole))
    )


def told(found: Taken) -> list[tuple[str, str, int]]:
    return [(misfit.column, misfit.problem.value, count) for misfit, count in found.misfits]


def test_a_row_becomes_a_finding_with_the_contracts_types(tmp_path: Path) -> None:
    (finding,) = taken(
        mapped_with(tmp_path), {"order_id": 17, "buyer": None, "cnt": Decimal("3.0")}
    ).findings
    assert finding.subject.id == "17"
    # Times without a zone are of the map's.
    assert finding.occurred_at == datetime(2026, 11, 23, 4, 59, tzinfo=UTC)
    assert (finding.amount, finding.currency) == (1200, "JPY")
    assert finding.account_ids == ("S",)
    assert {one.name: one.value for one in finding.evidence}["cnt"] == 3
    assert "山田" not in str(finding.evidence)
    assert finding.actions == ("hold", "cancel")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"order_id": None}, ("order_id", "empty")),
        ({"order_id": ""}, ("order_id", "empty")),
        ({"order_id": {"a": 1}}, ("order_id", "no_id")),
        ({"order_id": True}, ("order_id", "no_id")),
        ({"order_id": Decimal("1.5")}, ("order_id", "no_id")),
        ({"order_id": "x" * 300}, ("order_id", "no_id")),
        ({"order_id": "O\x00"}, ("order_id", "no_id")),
        ({"order_id": "\ud800"}, ("order_id", "no_id")),
        ({"ordered_at": "yesterday"}, ("ordered_at", "no_time")),
        ({"ordered_at": 17}, ("ordered_at", "no_time")),
        ({"ordered_at": "0001-01-01T00:00:00"}, ("ordered_at", "no_time")),
        ({"total": "1,200"}, ("total", "no_money")),
        ({"total": Decimal("1200.5")}, ("total", "no_money")),
        ({"total": 10**30}, ("total", "no_money")),
        ({"total": Decimal("NaN")}, ("total", "no_money")),
        ({"total": Decimal("1e400")}, ("total", "no_money")),
        ({"total": True}, ("total", "no_money")),
        ({"buyer": [{"a": 1}]}, ("buyer", "no_id")),
        ({"cnt": "many"}, ("cnt", "no_number")),
    ],
)
def test_a_row_that_does_not_fit_is_left_out_by_its_column_and_the_others_stay(
    tmp_path: Path, row: dict[str, Any], problem: tuple[str, str]
) -> None:
    found = taken(mapped_with(tmp_path), {}, row, row)
    assert [finding.subject.id for finding in found.findings] == ["O-1"]
    assert told(found) == [(*problem, 2)]


def test_a_column_that_the_query_lacks_is_named(tmp_path: Path) -> None:
    mapped = mapped_with(tmp_path, ("amount: total", "amount: price"))
    assert told(taken(mapped, {}, {})) == [("price", "missing", 2)]
    # Some databases tell no columns where there are no rows.
    assert told(taken(mapped)) == []


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (None, ()),
        ("", ()),
        ("B1", ("B1",)),
        ("B1, B2,B1", ("B1", "B2")),
        ("{B1,B2}", ("B1", "B2")),
        (["B1", None, 7], ("B1", "7")),
        (12, ("12",)),
    ],
)
def test_ids_come_in_every_shape_that_databases_give_them(
    tmp_path: Path, value: object, ids: tuple[str, ...]
) -> None:
    mapped = mapped_with(tmp_path, ("[buyer, seller]", "buyer"))
    (finding,) = taken(mapped, {"buyer": value}).findings
    assert finding.account_ids == ids


def test_amounts_with_a_point_are_told_in_the_smallest_unit(tmp_path: Path) -> None:
    mapped = mapped_with(
        tmp_path, ("amount: total", "amount_decimal: total"), ("currency: JPY", "currency: EUR")
    )
    found = taken(mapped, {"total": Decimal("12.50")}, {"order_id": "O-2", "total": "0.07"})
    assert [finding.amount for finding in found.findings] == [1250, 7]
    assert told(taken(mapped, {"total": Decimal("1.234")})) == [("total", "no_money", 1)]


def test_a_row_without_a_time_is_of_when_the_query_ran(tmp_path: Path) -> None:
    mapped = mapped_with(tmp_path, ("      occurred_at: ordered_at\n", ""))
    (finding,) = taken(mapped, {}).findings
    assert finding.occurred_at == AT


def test_a_currency_is_a_code(tmp_path: Path) -> None:
    mapped = mapped_with(
        tmp_path,
        ("      amount: total\n", "      amount: total\n      currency: unit\n"),
        ("    fixed: {currency: JPY}\n", ""),
    )
    found = taken(mapped, {"unit": "JPY"}, {"unit": "円"}, {"unit": None})
    assert [finding.currency for finding in found.findings] == ["JPY"]
    assert sorted(told(found)) == [("unit", "empty", 1), ("unit", "no_currency", 1)]


# ---- From there to a file


def info(**changes: Any) -> QueryInfo:
    return QueryInfo(
        **{
            "query_id": 318,
            "name": "Self-dealing orders (P1)",
            "sql": "SELECT order_id, ordered_at, total_amount AS total, buyer_id AS buyer, seller_id AS seller,\n"
            "       payment_method AS buyer_name, 1 AS cnt\n"
            "  FROM orders WHERE total_amount >= {{ least amount }} AND status = '{{status}}';\n",
            "query_hash": "",
            "latest_result_id": 1,
            "every": None,
            "is_archived": False,
            "parameters": (
                {"name": "least amount", "type": "number", "value": 1000},
                {"name": "status", "type": "text", "value": "paid"},
            ),
            **changes,
        }
    )


def written(folder: Path, draft: Any) -> Path:
    path: Path = folder / f"{draft.name}.sql"
    path.write_text(draft.sql, encoding="utf-8")
    path.with_suffix(".test.yml").write_text(draft.test, encoding="utf-8")
    return path


async def test_a_mapped_query_becomes_a_file_that_runs_as_it_is(
    tmp_path: Path, market_dsn: str
) -> None:
    draft = draft_detection(info(), mapped_with(tmp_path))
    detection = load_detection(written(tmp_path, draft), actions=registry())
    assert isinstance(detection, Detection), detection
    assert (detection.name, detection.mode) == ("redash_self_dealing", "shadow")
    assert {one.name: one.default for one in detection.parameters} == {
        "least_amount": 1000,
        "status": "paid",
    }
    assert "status = :status" in draft.sql
    more = draft.test + (
        "- title: A dear one is found\n  rows:\n    orders:\n"
        "      - {order_id: O1, buyer_id: B, seller_id: S, total_amount: 1000, status: paid, ordered_at: 1h ago}\n"
        "      - {order_id: O2, total_amount: 999, status: paid, ordered_at: 1h ago}\n"
        "  finds: [O1]\n  evidence:\n    O1: {cnt: 1}\n"
    )
    # The skeleton alone says nothing of this query, which has no window of its own.
    (tmp_path / f"{draft.name}.test.yml").write_text(
        more[more.index("- title: A dear") :], encoding="utf-8"
    )
    results = await run_tests([detection], market_dsn)
    assert [(one.title, one.failure) for one in results] == [("A dear one is found", None)]


def test_of_an_unmapped_query_a_person_is_told_what_to_write_and_check_says_it_too(
    tmp_path: Path,
) -> None:
    draft = draft_detection(info())
    assert draft.name == "self_dealing_orders_p1"
    problems = load_detection(written(tmp_path, draft), actions=registry())
    assert not isinstance(problems, Detection)
    assert any("subject_id" in problem.message for problem in problems), problems
    assert "let it return `subject_id`" in draft.sql


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1 {{#rows}}x{{/rows}}", "write out the {{#…}} sections"),
        ("SELECT a:b FROM orders", "put a space after the colon of :b"),
        ("SELECT * FROM orders WHERE d > '{{ range.start }}'", "use :window_start and :now"),
        ('SELECT "{{ column }}" FROM orders', "a parameter is a value"),
    ],
)
def test_what_has_no_counterpart_is_said_in_the_file(sql: str, said: str) -> None:
    draft = draft_detection(info(sql=sql))
    assert any(said in note for note in draft.notes)
    assert said in draft.sql


def test_what_people_call_a_query_neither_ends_the_head_nor_breaks_it(tmp_path: Path) -> None:
    for name in ("*/ DROP TABLE x; /*", "a: [b", "注文\n監視", '"', "'", "{{ x }}", "#", ""):
        draft = draft_detection(info(name=name), mapped_with(tmp_path))
        assert draft.sql.count("*/") == 1
        draft = draft_detection(info(name=name))
        problems = load_detection(written(tmp_path, draft), actions=registry())
        assert not isinstance(problems, Detection)
        assert not any("YAML" in problem.message for problem in problems), (name, problems)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Self-dealing orders (P1)", "self_dealing_orders_p1"),
        ("自己取引", "redash_318"),
        ("2024 orders", "orders"),
        ("x" * 200, "x" * 60),
        ("", "redash_318"),
    ],
)
def test_a_detection_is_named_after_the_query(name: str, made: str) -> None:
    assert name_of(info(name=name)) == made
