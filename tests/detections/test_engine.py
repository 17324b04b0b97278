"""Rows become findings, masked; what is no finding is a fault that names the column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from bot.detections.detection import Detection
from bot.detections.engine import DetectionFault, run
from bot.detections.loading import load_detection
from bot.domain.findings import Evidence, EvidenceType, Mode, Severity
from bot.domain.subjects import Subject, SubjectKind
from bot.market.reader import MarketReader
from bot.market.selecting import Limits, Rows, SelectFault
from tests.detections.heads import write_detection

NOW = datetime(2026, 4, 1, 3, 0, tzinfo=UTC)


class Rowed:
    """Answers every SELECT with the same rows, and keeps what it was asked."""

    def __init__(self, *rows: Mapping[str, object], fault: str | None = None) -> None:
        self.rows = rows
        self.fault = fault
        self.sql = ""
        self.params: list[object] = []
        self.limits: Limits | None = None

    async def select(
        self, sql: str, params: Sequence[object] = (), *, limits: Limits | None = None
    ) -> Rows:
        self.sql, self.params, self.limits = sql, list(params), limits
        if self.fault:
            raise SelectFault(self.fault)
        return Rows(types={}, rows=self.rows)


GOOD: dict[str, object] = {
    "subject_id": "O1",
    "occurred_at": NOW,
    "amount": 120000,
    "currency": "JPY",
    "method": "card",
}


def large_order(folder: Path, *changes: tuple[str, str]) -> Detection:
    detection = load_detection(write_detection(folder, *changes))
    assert isinstance(detection, Detection), detection
    return detection


async def test_a_row_is_a_finding(tmp_path: Path) -> None:
    detection = large_order(tmp_path)
    (finding,) = await run(detection, Rowed(GOOD), now=NOW, changed_since=None)
    assert finding.detection == "large_order"
    assert finding.detection_hash == detection.hash
    assert finding.subject == Subject(SubjectKind.ORDER, "O1")
    assert (finding.amount, finding.currency) == (120000, "JPY")
    assert (finding.severity, finding.mode) == (Severity.P2, Mode.REVIEW)
    assert finding.actions == ("hold", "cancel")
    assert finding.evidence == (
        Evidence(
            name="method",
            label_ja="支払方法",
            label_en="Paid by",
            type=EvidenceType.TEXT,
            value="card",
        ),
    )


async def test_the_marketplace_is_asked_and_answers(
    tmp_path: Path, market_dsn: str, market_reader_dsn: str
) -> None:
    conn = await asyncpg.connect(market_dsn)
    try:
        await conn.execute(
            """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount,
                                          payment_method, ordered_at, updated_at)
               SELECT 'O' || n, 'B', 'S', 'paid', n * 50000, 'card', $1, $1
                 FROM generate_series(1, 3) AS n""".replace("$1", f"'{NOW.isoformat()}'")
        )
    finally:
        await conn.close()
    reader = MarketReader(market_reader_dsn)
    detection = large_order(tmp_path)
    findings = await run(detection, reader, now=NOW, changed_since=None)
    assert sorted((f.subject.id, f.amount) for f in findings) == [("O2", 100000), ("O3", 150000)]
    later = NOW + timedelta(minutes=6)
    assert await run(detection, reader, now=later, changed_since=later) == ()


@pytest.mark.parametrize(
    ("changed_since", "since", "window_start"),
    [
        (None, NOW - timedelta(hours=24), NOW - timedelta(hours=24)),
        (
            NOW - timedelta(seconds=30),
            NOW - timedelta(minutes=5, seconds=30),
            NOW - timedelta(hours=24),
        ),
        # Nobody ran for two days: nothing of them is left out.
        (
            NOW - timedelta(days=2),
            NOW - timedelta(days=2, minutes=5),
            NOW - timedelta(days=2, minutes=5),
        ),
    ],
)
async def test_a_run_looks_at_what_changed_with_an_overlap(
    tmp_path: Path, changed_since: datetime | None, since: datetime, window_start: datetime
) -> None:
    market = Rowed()
    await run(large_order(tmp_path), market, now=NOW, changed_since=changed_since)
    assert market.params == [since, window_start, 100000]


async def test_lists_are_empty_arrays_until_they_are_given(tmp_path: Path) -> None:
    change = (
        "total_amount >= :least",
        "total_amount >= :least AND buyer_id <> ALL (:allow_accounts)",
    )
    detection = large_order(tmp_path, change)
    market = Rowed()
    await run(detection, market, now=NOW, changed_since=None)
    assert market.params[-1] == []
    await run(detection, market, now=NOW, changed_since=None, lists={"allow_accounts": ["B"]})
    assert market.params[-1] == ["B"]


@pytest.mark.parametrize(
    ("occurred_at", "key"),
    [
        (datetime(2026, 4, 1, 0, 0, tzinfo=UTC), "2026-04-01T00:00:00Z"),
        (datetime(2026, 4, 1, 23, 59, 59, tzinfo=UTC), "2026-04-01T00:00:00Z"),
        (datetime(2026, 4, 2, 8, 59, tzinfo=timezone(timedelta(hours=9))), "2026-04-01T00:00:00Z"),
        (datetime(1969, 12, 31, 12, 0, tzinfo=UTC), "1969-12-31T00:00:00Z"),
    ],
)
async def test_the_window_key_is_the_bin_of_the_moment(
    tmp_path: Path, occurred_at: datetime, key: str
) -> None:
    row = GOOD | {"occurred_at": occurred_at}
    (finding,) = await run(large_order(tmp_path), Rowed(row), now=NOW, changed_since=None)
    assert finding.window_key == key


async def test_a_window_key_of_its_own_stands(tmp_path: Path) -> None:
    row = GOOD | {"window_key": "spring"}
    (finding,) = await run(large_order(tmp_path), Rowed(row), now=NOW, changed_since=None)
    assert finding.window_key == "spring"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"subject_id": None}, "subject_id is NULL"),
        ({"subject_id": 7}, "subject_id holds a number instead of text"),
        ({"subject_id": ""}, "subject_id holds text of 0 characters"),
        ({"subject_id": "x" * 201}, "subject_id holds text of 201 characters"),
        ({"occurred_at": None}, "occurred_at is NULL"),
        ({"occurred_at": "2026-04-01"}, "occurred_at holds text instead of a time with a zone"),
        ({"occurred_at": NOW.replace(tzinfo=None)}, "occurred_at holds a time without a zone"),
        ({"amount": float("nan")}, "amount holds nan, which is no number"),
        ({"amount": Decimal("NaN")}, "amount holds NaN, which is no number"),
        ({"amount": float("inf")}, "amount holds inf, which is no number"),
        ({"amount": Decimal("12.50")}, "amount holds 12.50; money and counts are whole numbers"),
        ({"amount": "12"}, "amount holds text instead of a whole number"),
        ({"amount": True}, "amount holds a truth value instead of a whole number"),
        ({"amount": Decimal(2**70)}, "which is too large"),
        ({"currency": None}, "currency is NULL beside an amount"),
        ({"currency": 392}, "currency holds a number instead of text"),
        ({"account_ids": "B"}, "account_ids holds text instead of an array of ids"),
        (
            {"order_ids": ["O1", None]},
            "order_ids holds an array instead of an array of ids without",
        ),
        ({"listing_ids": [1]}, "listing_ids holds an array instead of an array of ids"),
        ({"window_key": 1}, "window_key holds a number instead of text"),
        ({"method": b"card"}, "method holds bytes instead of text"),
    ],
)
async def test_what_is_no_finding_is_a_fault_that_names_the_column(
    tmp_path: Path, wrong: dict[str, object], said: str
) -> None:
    rows = Rowed(GOOD, GOOD | wrong)
    with pytest.raises(DetectionFault) as raised:
        await run(large_order(tmp_path), rows, now=NOW, changed_since=None)
    assert str(raised.value).startswith("large_order: the column ")
    assert said in str(raised.value)


async def test_a_query_that_fails_is_a_fault_that_names_the_detection(tmp_path: Path) -> None:
    with pytest.raises(DetectionFault, match="large_order: it took too long"):
        await run(
            large_order(tmp_path), Rowed(fault="it took too long"), now=NOW, changed_since=None
        )


async def test_amounts_may_be_absent_and_sums_may_be_numeric(tmp_path: Path) -> None:
    rows = Rowed(GOOD | {"amount": None, "currency": None}, GOOD | {"amount": Decimal(45000)})
    bare, summed = await run(large_order(tmp_path), rows, now=NOW, changed_since=None)
    assert (bare.amount, bare.currency) == (None, None)
    assert (summed.amount, summed.currency) == (45000, "JPY")


async def test_ids_are_named_once_each(tmp_path: Path) -> None:
    rows = Rowed(GOOD | {"account_ids": ["B", "S", "B"], "order_ids": [], "listing_ids": None})
    (finding,) = await run(large_order(tmp_path), rows, now=NOW, changed_since=None)
    assert finding.account_ids == ("B", "S")
    assert finding.order_ids == finding.listing_ids == ()


async def one_evidence(folder: Path, declared: str, value: object) -> Evidence | None:
    detection = large_order(folder, ("type: text", declared))
    rows = Rowed(GOOD | {"method": value})
    (finding,) = await run(detection, rows, now=NOW, changed_since=None)
    return finding.evidence[0] if finding.evidence else None


@pytest.mark.parametrize(
    ("mask", "raw", "secret"),
    [
        ("name", "山田花子", "田花子"),
        ("email", "hanako.yamada@example.com", "yamada"),
        ("ip", "203.0.113.77", "77"),
        ("address", "東京都新宿区新宿1-2-3", "1-2-3"),
    ],
)
async def test_evidence_is_masked_before_it_leaves(
    tmp_path: Path, mask: str, raw: str, secret: str
) -> None:
    alone = await one_evidence(tmp_path, f"type: text, mask: {mask}", raw)
    among = await one_evidence(tmp_path, f"type: text, mask: {mask}", [raw, raw])
    assert alone
    assert among
    assert secret not in str(alone)
    assert secret not in str(among)


async def test_codes_are_said_in_both_languages(tmp_path: Path) -> None:
    words = (
        "type: text, words: {card: {ja: カード, en: card}, ip: {ja: IPアドレス, en: IP address}}"
    )
    evidence = await one_evidence(tmp_path, words, ["card", "ip", "moon"])
    assert evidence
    assert evidence.value == "card, ip, moon"
    assert evidence.value_ja == "カード・IPアドレス・moon"
    assert evidence.value_en == "card, IP address, moon"


async def test_evidence_has_the_type_that_was_declared(tmp_path: Path) -> None:
    money = await one_evidence(tmp_path, "type: money", Decimal(500))
    count = await one_evidence(tmp_path, "type: count", 3)
    time = await one_evidence(tmp_path, "type: time", NOW)
    assert money
    assert (money.value, money.currency) == (500, "JPY")
    assert count
    assert (count.value, count.currency) == (3, None)
    assert time
    assert time.value == "2026-04-01T03:00:00+00:00"
    with pytest.raises(DetectionFault, match="method holds text instead of a whole number"):
        await one_evidence(tmp_path, "type: count", "three")


async def test_evidence_that_is_null_is_left_out(tmp_path: Path) -> None:
    assert await one_evidence(tmp_path, "type: text", None) is None
    assert await one_evidence(tmp_path, "type: text", []) is None


async def test_long_evidence_is_cut(tmp_path: Path) -> None:
    evidence = await one_evidence(tmp_path, "type: text", "あ" * 10_000)
    assert evidence
    assert isinstance(evidence.value, str)
    assert len(evidence.value) == 500
    assert evidence.value.endswith("…")
