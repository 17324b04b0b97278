"""Proves detections by the examples in their .test.yml: market rows, and what must be found in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from bot.detections.detection import LEDGER, MARKET, RELATIONS, Detection
from bot.detections.engine import DetectionFault, run
from bot.detections.head import parse_duration
from bot.domain.errors import SayableError
from bot.domain.findings import Finding
from bot.ledger.views import VIEWS
from bot.market.absent import quote
from bot.market.contract import CONTRACT
from bot.market.selecting import Limits, Rows, select_within

CONTRACT_FILE = Path(__file__).parents[2] / "contract" / "market.sql"
_SCHEMAS = {MARKET: "mimawari_examples", LEDGER: "mimawari_ledger_examples"}
_NOW = datetime(2026, 4, 1, 3, 0, tzinfo=UTC)
_AGO = re.compile(r"((?:\d+[smhd])+) ago")

# What a row must have that its author did not care to write; `{n}` counts.
_FILL: Mapping[str, Mapping[str, object]] = {
    "accounts": {"account_id": "account-{n}", "display_name": "account {n}", "status": "active"},
    "orders": {
        "order_id": "order-{n}",
        "buyer_id": "buyer-of-{n}",
        "seller_id": "seller-of-{n}",
        "status": "paid",
        "total_amount": 3000,
        "payment_method": "card",
        "ordered_at": "1m ago",
    },
    "order_items": {
        "line_no": 1,
        "listing_id": "listing-{n}",
        "title": "listing {n}",
        "unit_price": 3000,
        "quantity": 1,
    },
    "payment_attempts": {
        "attempt_id": "attempt-{n}",
        "amount": 3000,
        "result": "approved",
        "attempted_at": "1m ago",
    },
    "listings": {
        "listing_id": "listing-{n}",
        "title": "listing {n}",
        "price": 3000,
        "status": "active",
        "created_at": "1d ago",
    },
    "follow_events": {"event_id": "event-{n}", "kind": "follow", "occurred_at": "1m ago"},
    "posts": {"post_id": "post-{n}", "kind": "message", "body": "", "created_at": "1m ago"},
    "chargebacks": {
        "chargeback_id": "chargeback-{n}",
        "amount": 3000,
        "reason": "fraud",
        "received_at": "1m ago",
    },
    "refunds": {
        "refund_id": "refund-{n}",
        "amount": 3000,
        "route": "original",
        "state": "succeeded",
        "created_at": "1m ago",
    },
    "fraud_warnings": {
        "warning_id": "warning-{n}",
        "kind": "early_fraud_warning",
        "received_at": "1m ago",
    },
    "account_events": {"event_id": "event-{n}", "kind": "login", "occurred_at": "1m ago"},
    "user_reports": {"report_id": "report-{n}", "reason": "spam", "created_at": "1m ago"},
    "inquiries": {"inquiry_id": "inquiry-{n}", "body": "", "created_at": "1m ago"},
}
# The same of the ledger's views.
_FILL_LEDGER: Mapping[str, Mapping[str, object]] = {
    "ticks": {"name": "detection:detection-{n}", "every_s": 60, "failed": False},
    "detection_runs": {
        "detection": "detection-{n}",
        "at": "1m ago",
        "market_at": "1m ago",
        "took_ms": 50,
        "rows": 0,
        "fresh": 0,
        "failed": False,
    },
    "detection_modes": {
        "detection": "detection-{n}",
        "mode": "review",
        "cause": "approved",
        "since": "1d ago",
    },
    "findings": {
        "finding_id": "{n}",
        "detection": "detection-{n}",
        "subject_kind": "order",
        "subject_id": "order-{n}",
        "severity": "P2",
        "mode": "review",
        "occurred_at": "1m ago",
        "found_at": "1m ago",
    },
    "cases": {
        "case_id": "{n}",
        "state": "open",
        "severity": "P2",
        "version": 1,
        "opened_at": "1m ago",
        "by_hand": False,
        "claimed": False,
    },
    "case_members": {
        "case_id": "{n}",
        "subject_kind": "order",
        "subject_id": "order-{n}",
        "is_subject": True,
        "is_open": True,
        "joined_at": "1m ago",
    },
    "decisions": {
        "decision_id": "decision-{n}",
        "case_id": "{n}",
        "action": "hold",
        "state": "approved",
        "by_detection": False,
        "requested_at": "1m ago",
        "broke_glass": False,
        "dry_run": False,
    },
    "operations": {
        "operation_id": "operation-{n}",
        "decision_id": "decision-{n}",
        "case_id": "{n}",
        "verb": "hold",
        "subject_kind": "order",
        "subject_id": "order-{n}",
        "operation_class": "key",
        "state": "succeeded",
        "sends": 1,
        "created_at": "1m ago",
    },
    "posts": {
        "post_id": "post-{n}",
        "kind": "story",
        "state": "sent",
        "created_at": "1m ago",
        "attempts": 1,
    },
}
_FILLS = {MARKET: _FILL, LEDGER: _FILL_LEDGER}
# When a row changed last, where its author did not say: when it came.
_UPDATED_WITH = {"orders": "ordered_at"}


class Example(BaseModel):
    """One case of a .test.yml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1)
    now: datetime = _NOW
    rows: dict[str, list[dict[str, Any]]]
    lists: dict[str, list[str]] = Field(default_factory=dict)
    finds: list[str]
    """The subjects that must be found; any other must not be."""
    evidence: dict[str, dict[str, str | int]] = Field(default_factory=dict)

    @field_validator("now")
    @classmethod
    def _has_a_zone(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("write it with a zone, such as 2026-04-01T12:00:00+09:00")
        return value

    @field_validator("rows")
    @classmethod
    def _are_of_its_source(
        cls, value: Mapping[str, Any], info: ValidationInfo
    ) -> Mapping[str, Any]:
        source = (info.context or {}).get("source", MARKET)
        for relation in value:
            if relation not in RELATIONS[source]:
                whose = "market contract has" if source == MARKET else "ledger has"
                raise ValueError(f"the {whose} no relation {relation}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How one example went; `failure` is None where it passed."""

    __test__ = False  # pytest takes what is called Test… for its own

    detection: str
    title: str
    failure: str | None


def examples_file(detection: Detection) -> Path:
    """Where the examples of a detection stand."""
    return detection.path.with_suffix(".test.yml")


def read_examples(detection: Detection) -> tuple[Example, ...]:
    """The examples of a detection.

    Raises:
        SayableError: there are none, or they are not written as they must be.
    """
    path = examples_file(detection)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SayableError(
            f"{path} is missing: write there what {detection.name} must find and what not."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise SayableError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(values, list) or not values:
        raise SayableError(f"{path} must hold a list of examples (`- title: …`).")
    try:
        return tuple(
            Example.model_validate(value, context={"source": detection.source}) for value in values
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SayableError(f"{path}: {where or 'an example'}: {first['msg']}.") from error


async def run_tests(
    detections: Iterable[Detection], dsn: str, *, contract: Path = CONTRACT_FILE
) -> list[TestResult]:
    """Run every example of the detections in a schema of their own, of which nothing stays.

    Args:
        dsn: any Postgres database with a role that may create a schema in it.

    Raises:
        SayableError: the database or the contract cannot be had.
    """
    results: list[TestResult] = []
    async with _scratch(dsn, contract) as conn:
        for detection in detections:
            try:
                examples = read_examples(detection)
            except SayableError as error:
                results.append(
                    TestResult(detection=detection.name, title="examples", failure=str(error))
                )
                continue
            for example in examples:
                failure = await _run_example(conn, detection, example)
                results.append(
                    TestResult(detection=detection.name, title=example.title, failure=failure)
                )
    return results


@asynccontextmanager
async def _scratch(dsn: str, contract: Path) -> AsyncIterator[Any]:
    """A connection inside a transaction that made the contract's relations and is never committed."""
    try:
        script = await asyncio.to_thread(contract.read_text, encoding="utf-8")
    except OSError as error:
        raise SayableError(
            f"{contract} cannot be read ({error.strerror}); run this from a clone of the repository."
        ) from error
    script = re.sub(r"\bmarket\.(?=[a-z])", f"{_SCHEMAS[MARKET]}.", script)
    script = re.sub(r"(?i)CREATE SCHEMA market\b", f"CREATE SCHEMA {_SCHEMAS[MARKET]}", script)
    script += _ledger_script()
    try:
        conn = await asyncpg.connect(dsn, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise SayableError(
            f"The database for the examples does not answer ({str(error) or type(error).__name__})."
        ) from error
    try:
        transaction = conn.transaction()
        await transaction.start()
        try:
            await conn.execute(script)
        except asyncpg.PostgresError as error:
            raise SayableError(
                f"The examples need a role that may create a schema in its database ({error})."
            ) from error
        yield conn
    finally:
        await conn.close()


def _ledger_script() -> str:
    """Tables with the columns of the ledger's views; one in a script of the contract must have ended."""
    tables = [f"CREATE SCHEMA {_SCHEMAS[LEDGER]}"]
    for relation, columns in VIEWS.items():
        listed = ", ".join(f"{quote(column)} {type_}" for column, type_ in columns.items())
        tables.append(f"CREATE TABLE {_SCHEMAS[LEDGER]}.{quote(relation)} ({listed})")
    return ";\n" + ";\n".join(tables)


async def _run_example(conn: Any, detection: Detection, example: Example) -> str | None:
    transaction = conn.transaction()
    await transaction.start()
    try:
        for relation, rows in example.rows.items():
            await _insert(conn, detection.source, relation, rows, example.now)
        findings = await run(
            detection,
            _Scratch(conn, detection.source),
            now=example.now,
            changed_since=None,
            lists=example.lists,
        )
    except (asyncpg.PostgresError, asyncpg.DataError, ValueError) as error:
        fit = "the market contract" if detection.source == MARKET else "the ledger's views"
        return f"its rows do not fit {fit}: {error}"
    except DetectionFault as fault:
        return str(fault)
    finally:
        await transaction.rollback()
    return _compare(example, findings)


class _Scratch:
    """Runs a detection's SELECT inside the transaction of its example."""

    def __init__(self, conn: Any, source: str) -> None:
        self._conn = conn
        self._source = source

    async def select(
        self, sql: str, params: Sequence[object] = (), *, limits: Limits | None = None
    ) -> Rows:
        return await select_within(
            self._conn,
            sql,
            params,
            schema=_SCHEMAS[self._source],
            present={
                relation: frozenset(columns)
                for relation, columns in RELATIONS[self._source].items()
            },
            limits=limits or Limits(),
            relations=RELATIONS[self._source],
        )


async def _insert(
    conn: Any, source: str, relation: str, rows: Sequence[Mapping[str, Any]], now: datetime
) -> None:
    numbered = 0
    types = RELATIONS[source][relation]
    for row in rows:
        repeat, every = int(row.get("repeat", 1)), row.get("every", "0s")
        written = {key: value for key, value in row.items() if key not in {"repeat", "every"}}
        for turn in range(repeat):
            numbered += 1
            later = turn * parse_duration(every)
            filled = {**_FILLS[source][relation], **written}
            if source == MARKET:
                _fill_updated(relation, filled)
            values = {
                column: _value(
                    relation,
                    column,
                    types.get(column),
                    value,
                    # What is filled in is numbered through, so that keys differ.
                    n=turn + 1 if column in written else numbered,
                    now=now,
                    later=later,
                )
                for column, value in filled.items()
            }
            names = ", ".join(quote(column) for column in values)
            places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
            # Relation and columns are the contract's own names.
            await conn.execute(
                f"INSERT INTO {_SCHEMAS[source]}.{relation} ({names}) VALUES ({places})",  # noqa: S608
                *values.values(),
            )


def _fill_updated(relation: str, row: dict[str, Any]) -> None:
    if "updated_at" in CONTRACT[relation] and "updated_at" not in row:
        # An account that nobody touched lately.
        row["updated_at"] = row.get(_UPDATED_WITH.get(relation, "created_at")) or "365d ago"


def _value(
    relation: str,
    column: str,
    type_: str | None,
    value: Any,
    *,
    n: int,
    now: datetime,
    later: timedelta,
) -> object:
    if type_ is None:
        raise ValueError(f"{relation} has no column {column}")
    if value is None:
        return None
    if type_ == "timestamptz":
        return _moment(value, now) + later
    fill = partial(_numbered, n=n)
    if isinstance(value, list):
        return [fill(part) for part in value]
    if type_ in {"text", "inet"}:
        return fill(str(value))
    if type_ in {"bigint", "integer"} and isinstance(value, str):
        return int(str(fill(value)))
    return value


def _numbered(value: object, *, n: int) -> object:
    return value.replace("{n}", str(n)) if isinstance(value, str) else value


def _moment(value: object, now: datetime) -> datetime:
    match = _AGO.fullmatch(value) if isinstance(value, str) else None
    if match:
        return now - sum(
            (parse_duration(part) for part in re.findall(r"\d+[smhd]", match[1])), timedelta()
        )
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError(f"write a time such as `2h30m ago`, or with a zone, instead of {value!r}")
    return moment


def _compare(example: Example, findings: Sequence[Finding]) -> str | None:
    found = {finding.subject.id: finding for finding in findings}
    missed = [id_ for id_ in example.finds if id_ not in found]
    extra = [id_ for id_ in found if id_ not in example.finds]
    if missed or extra:
        return "; ".join(
            [f"did not find {id_}" for id_ in missed] + [f"found {id_}" for id_ in extra]
        )
    for id_, expected in example.evidence.items():
        if id_ not in found:
            return f"evidence is expected of {id_}, which is not among `finds`"
        shown = {evidence.name: evidence.value for evidence in found[id_].evidence}
        for name, value in expected.items():
            if shown.get(name) != value:
                return f"{id_}: {name} is {shown.get(name)!r} instead of {value!r}"
    return None
