"""Makes findings of a Redash result: each row by itself, so that one that does not fit keeps no other out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bot.detections.engine import DetectionFault, finding_of
from bot.detections.redash_map import ID_LISTS, MappedQuery
from bot.domain.findings import EvidenceType, Finding
from bot.market.redash import Result
from bot.market.templates import smallest_unit

_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,9})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_UNSAYABLE = re.compile("[\x00\ud800-\udfff]")
_MOST_SAID = 5
_LONGEST_ID = 200
_LARGEST_ID = 2**63


class Problem(StrEnum):
    """What can be wrong with a column of a query."""

    MISSING = "missing"
    EMPTY = "empty"
    NO_ID = "no_id"
    NO_NUMBER = "no_number"
    NO_MONEY = "no_money"
    NO_TIME = "no_time"
    NO_CURRENCY = "no_currency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A column of the query that is not what the map says that it is."""

    column: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a result's rows."""

    findings: tuple[Finding, ...]
    misfits: tuple[tuple[Misfit, int], ...] = ()
    """What is wrong, and in how many rows; without a value of any."""


class _MisfitError(Exception):
    def __init__(self, column: str, problem: Problem) -> None:
        super().__init__(column, problem)
        self.misfit = Misfit(column=column, problem=problem)


def take_rows(mapped: MappedQuery, result: Result) -> Taken:
    """Each row as a finding of the mapped detection."""
    # Some databases tell no columns where there are no rows.
    missing = sorted(
        {
            column
            for columns in mapped.columns.values()
            for column in columns
            if result.rows and column not in result.columns
        }
    )
    if missing:
        said = [Misfit(column=column, problem=Problem.MISSING) for column in missing]
        return Taken(findings=(), misfits=tuple((misfit, len(result.rows)) for misfit in said))
    findings: list[Finding] = []
    misfits: Counter[Misfit] = Counter()
    for row in result.rows:
        try:
            findings.append(finding_of(mapped.detection, _translate(mapped, row, result)))
        except _MisfitError as error:
            misfits[error.misfit] += 1
        except DetectionFault as fault:
            misfits[_of_the_query(mapped, str(fault))] += 1
    return Taken(findings=tuple(findings), misfits=tuple(misfits.most_common(_MOST_SAID)))


def _translate(mapped: MappedQuery, row: Mapping[str, Any], result: Result) -> dict[str, object]:
    """The row under the contract's names, with the contract's types."""
    currency = mapped.currency
    if "currency" in mapped.columns:
        currency = _text(mapped, row, "currency")
        if currency is not None and not _CURRENCY.fullmatch(currency):
            raise _misfit(mapped, "currency", Problem.NO_CURRENCY)
    values: dict[str, object] = {"currency": currency}
    values["subject_id"] = _text(mapped, row, "subject_id")
    if values["subject_id"] is None:
        raise _misfit(mapped, "subject_id", Problem.EMPTY)
    values["window_key"] = _text(mapped, row, "window_key")
    values["occurred_at"] = _time(mapped, row, "occurred_at")
    if values["occurred_at"] is None:
        # Of what says no time the result's is known.
        values["occurred_at"] = result.retrieved_at
    values["amount"] = _money(mapped, row, "amount", currency)
    for name in ID_LISTS:
        values[name] = _ids(mapped, row, name)
    for column in mapped.detection.evidence:
        match column.type:
            case EvidenceType.TEXT:
                values[column.name] = _shown(_value(mapped, row, column.name))
            case EvidenceType.MONEY:
                values[column.name] = _money(mapped, row, column.name, currency)
            case EvidenceType.COUNT:
                values[column.name] = _count(mapped, row, column.name)
            case EvidenceType.TIME:
                values[column.name] = _time(mapped, row, column.name)
    return values


def _value(mapped: MappedQuery, row: Mapping[str, Any], name: str) -> Any:
    columns = mapped.columns.get(name)
    return None if columns is None else row.get(columns[0])


def _text(mapped: MappedQuery, row: Mapping[str, Any], name: str) -> str | None:
    value = _value(mapped, row, name)
    if value is None or value == "":
        return None
    word = _id(value)
    if word is None:
        raise _misfit(mapped, name, Problem.NO_ID)
    return word


def _ids(mapped: MappedQuery, row: Mapping[str, Any], name: str) -> list[str]:
    """From several columns, a list, or text with commas, as GROUP_CONCAT makes it."""
    found: list[str] = []
    for column in mapped.columns.get(name, ()):
        value = row.get(column)
        if isinstance(value, str):
            parts: list[Any] = [part.strip() for part in value.strip("{}[]").split(",")]
        else:
            parts = value if isinstance(value, list) else [value]
        for part in parts:
            if part is None or part == "":
                continue
            word = _id(part)
            if word is None:
                raise _MisfitError(column, Problem.NO_ID)
            found.append(word)
    return found


def _id(value: Any) -> str | None:
    if isinstance(value, str):
        return None if len(value) > _LONGEST_ID or _UNSAYABLE.search(value) else value
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not math.isfinite(value):
        return None
    # Redash tells a whole number of a nullable column as 17.0.
    whole = int(value)
    return str(whole) if value == whole and abs(whole) < _LARGEST_ID else None


def _number(
    mapped: MappedQuery, row: Mapping[str, Any], name: str, problem: Problem = Problem.NO_NUMBER
) -> Decimal | None:
    value = _value(mapped, row, name)
    if value is None or value == "":
        return None
    told = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise _misfit(mapped, name, problem)
    if isinstance(value, str) and not _NUMBER.fullmatch(told):
        raise _misfit(mapped, name, problem)
    number = Decimal(told)
    if not number.is_finite() or abs(number) >= _LARGEST_ID:
        raise _misfit(mapped, name, problem)
    return number


def _count(mapped: MappedQuery, row: Mapping[str, Any], name: str) -> int | None:
    number = _number(mapped, row, name)
    # An average of counts is no whole number, and is told as the nearest.
    return None if number is None else round(number)


def _money(
    mapped: MappedQuery, row: Mapping[str, Any], name: str, currency: str | None
) -> int | None:
    number = _number(mapped, row, name, Problem.NO_MONEY)
    if number is None:
        return None
    if currency is None:
        raise _misfit(mapped, "currency", Problem.EMPTY)
    written = smallest_unit(f"{number:f}", currency) if mapped.decimals else None
    if not mapped.decimals and number == int(number):
        written = int(number)
    if written is None:
        raise _misfit(mapped, name, Problem.NO_MONEY)
    return written


def _time(mapped: MappedQuery, row: Mapping[str, Any], name: str) -> datetime | None:
    value = _value(mapped, row, name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _misfit(mapped, name, Problem.NO_TIME)
    try:
        moment = datetime.fromisoformat(value.strip())
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=mapped.zone)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _misfit(mapped, name, Problem.NO_TIME) from None


def _shown(value: Any) -> Any:
    """Evidence in words: nothing in it is nothing, and a whole number has no point."""
    match value:
        case list():
            return [_shown(part) for part in value if part is not None]
        case dict():
            return None
        case Decimal():
            return _id(value) or f"{value:f}"
        case str():
            return _UNSAYABLE.sub("", value)
        case _:
            return value


def _misfit(mapped: MappedQuery, name: str, problem: Problem) -> _MisfitError:
    return _MisfitError(mapped.columns.get(name, (name,))[0], problem)


def _of_the_query(mapped: MappedQuery, said: str) -> Misfit:
    """What the engine refuses that was let through here: of the column that it names."""
    told = re.search(r"the column (.*?) (?:holds|is) ", said)
    name = told[1] if told else "subject_id"
    problem = Problem.NO_MONEY if name == "amount" else Problem.NO_ID
    return _misfit(mapped, name, problem).misfit
