"""Runs one detection and turns its rows into findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from bot.detections.detection import Detection, EvidenceColumn
from bot.detections.loading import load_detections
from bot.detections.parameters import LISTS
from bot.domain.findings import Evidence, EvidenceType, Finding, Mask
from bot.domain.masks import mask
from bot.domain.subjects import Subject
from bot.market.selecting import Limits, Rows, SelectFault

__all__ = ["DetectionFault", "Selects", "finding_of", "load_detections", "run", "values_of"]

_LONGEST_ID = 200
# What a card can show of one value; the marketplace keeps the rest.
_LONGEST_EVIDENCE = 500
_MOST_IDS = 200


class Selects(Protocol):
    """Something that runs one SELECT over the marketplace's relations."""

    async def select(
        self, sql: str, params: Sequence[object] = (), *, limits: Limits | None = None
    ) -> Rows: ...


class DetectionFault(Exception):
    """Why a run of a detection found nothing at all; its message names the detection and what to do."""


async def run(
    detection: Detection,
    reader: Selects,
    *,
    now: datetime,
    changed_since: datetime | None,
    lists: Mapping[str, Sequence[str]] | None = None,
    limits: Limits | None = None,
) -> tuple[Finding, ...]:
    """What the detection finds among what has changed.

    Args:
        now: the market's time.
        changed_since: the `now` of the last good run; the detection's overlap is taken off here. None: the
            whole window.
        limits: what no detection may exceed, whatever its own head says.
        lists: entries of the allow, deny and watch lists by name, such as `allow_accounts`.

    Raises:
        DetectionFault: it could not run to its end or returned what is no finding; nothing of it counts.
    """
    values = values_of(detection, now=now, changed_since=changed_since, lists=lists)
    params = [values[name] for name in detection.statement.names]
    try:
        result = await reader.select(
            detection.statement.sql, params, limits=detection.limits.within(limits or Limits())
        )
    except SelectFault as fault:
        raise DetectionFault(f"{detection.name}: {fault}") from fault
    return tuple(finding_of(detection, row) for row in result.rows)


def values_of(
    detection: Detection,
    *,
    now: datetime,
    changed_since: datetime | None,
    lists: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, object]:
    """What the names in a detection's SQL stand for in one run."""
    window_start = now - detection.window
    since = window_start if changed_since is None else changed_since - detection.overlap
    return {
        "now": now,
        # After a gap longer than the window, nothing of the gap is left out.
        "window_start": min(window_start, since),
        "changed_since": since,
        **{name: [] for name in LISTS},
        **{name: list(entries) for name, entries in (lists or {}).items()},
        **{parameter.name: parameter.default for parameter in detection.parameters},
    }


def finding_of(detection: Detection, row: Mapping[str, object]) -> Finding:
    """One row, under the contract's names and with its types. Raises DetectionFault."""
    taker = _Taker(detection.name, row)
    occurred_at = taker.time("occurred_at")
    amount = taker.amount("amount")
    currency = taker.text("currency")
    if amount is not None and currency is None:
        raise taker.fault("currency", "is NULL beside an amount")
    subject_id = taker.text("subject_id")
    if occurred_at is None or subject_id is None:
        raise taker.fault("subject_id" if subject_id is None else "occurred_at", "is NULL")
    return Finding(
        detection=detection.name,
        detection_hash=detection.hash,
        title_ja=detection.title.ja,
        title_en=detection.title.en,
        severity=detection.severity,
        mode=detection.mode,
        subject=Subject(detection.subject, subject_id),
        window_key=taker.text("window_key") or _bin(occurred_at, detection.window),
        occurred_at=occurred_at,
        amount=amount,
        currency=currency,
        account_ids=taker.ids("account_ids"),
        order_ids=taker.ids("order_ids"),
        listing_ids=taker.ids("listing_ids"),
        post_ids=taker.ids("post_ids"),
        evidence=tuple(
            evidence
            for column in detection.evidence
            if (evidence := _evidence(column, taker, currency)) is not None
        ),
        actions=detection.actions,
    )


def _bin(moment: datetime, window: timedelta) -> str:
    """The start of the window-long stretch of time that the moment is in."""
    seconds = window.total_seconds()
    start = math.floor(moment.timestamp() / seconds) * seconds
    return datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _evidence(column: EvidenceColumn, taker: _Taker, currency: str | None) -> Evidence | None:
    value: str | int | None
    value_ja = value_en = None
    match column.type:
        case EvidenceType.TEXT:
            parts = taker.parts(column.name)
            if parts is None:
                return None
            if column.mask is not Mask.NONE:
                parts = [mask(part, column.mask) for part in parts]
            value = _cut(", ".join(parts))
            if column.words:
                words = [column.words.get(part) for part in parts]
                said = list(zip(words, parts, strict=True))
                value_ja = _cut("・".join(word.ja if word else part for word, part in said))
                value_en = _cut(", ".join(word.en if word else part for word, part in said))
        case EvidenceType.MONEY:
            value = taker.amount(column.name)
            if value is not None and currency is None:
                raise taker.fault(column.name, "is money, but the row has no currency")
        case EvidenceType.COUNT:
            value = taker.amount(column.name)
        case EvidenceType.TIME:
            moment = taker.time(column.name)
            value = moment.isoformat() if moment else None
    if value is None or value == "":
        return None
    return Evidence(
        name=column.name,
        label_ja=column.label.ja,
        label_en=column.label.en,
        type=column.type,
        value=value,
        currency=currency if column.type is EvidenceType.MONEY else None,
        value_ja=value_ja,
        value_en=value_en,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_EVIDENCE else text[: _LONGEST_EVIDENCE - 1] + "…"


class _Taker:
    """Takes typed values out of one row, and says which column holds something else."""

    def __init__(self, detection: str, row: Mapping[str, object]) -> None:
        self._detection = detection
        self._row = row

    def fault(self, column: str, what: str) -> DetectionFault:
        return DetectionFault(f"{self._detection}: the column {column} {what}; correct its SQL.")

    def text(self, column: str) -> str | None:
        value = self._row.get(column)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.fault(column, f"holds {_kind(value)} instead of text")
        if not value or len(value) > _LONGEST_ID or "\0" in value:
            raise self.fault(
                column, f"holds text of {len(value)} characters, not 1 to {_LONGEST_ID}"
            )
        return value

    def time(self, column: str) -> datetime | None:
        value = self._row.get(column)
        if value is None:
            return None
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise self.fault(column, f"holds {_kind(value)} instead of a time with a zone")
        return value

    def amount(self, column: str) -> int | None:
        value = self._row.get(column)
        if value is None:
            return None
        if isinstance(value, float | Decimal) and not math.isfinite(value):
            raise self.fault(column, f"holds {value}, which is no number")
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise self.fault(column, f"holds {_kind(value)} instead of a whole number")
        if value != int(value):
            raise self.fault(
                column, f"holds {value}; money and counts are whole numbers, in minor units"
            )
        if not -(2**63) <= value < 2**63:
            raise self.fault(column, f"holds {value}, which is too large")
        return int(value)

    def ids(self, column: str) -> tuple[str, ...]:
        value = self._row.get(column)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(
            isinstance(part, str) and 0 < len(part) <= _LONGEST_ID for part in value
        ):
            raise self.fault(
                column, f"holds {_kind(value)} instead of an array of ids without NULLs"
            )
        return tuple(dict.fromkeys(value))[:_MOST_IDS]

    def parts(self, column: str) -> list[str] | None:
        """Text as a list: an array has several parts."""
        value = self._row.get(column)
        if value is None:
            return None
        if isinstance(value, bytes | memoryview | dict):
            raise self.fault(column, f"holds {_kind(value)} instead of text")
        return [str(part) for part in (value if isinstance(value, list) else [value])]


def _kind(value: object) -> str:
    return {
        "int": "a number",
        "float": "a number",
        "Decimal": "a number",
        "bool": "a truth value",
        "str": "text",
        "list": "an array",
        "datetime": "a time without a zone",
        "bytes": "bytes",
    }.get(type(value).__name__, f"a {type(value).__name__}")
