"""The map of Redash: which of its queries are detections of ours, and what their columns mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from bot.detections.detection import Detection, EvidenceColumn, OwnLimits, Statement, Text
from bot.detections.head import Duration, LinesHead, Name, NoOrDuration, TextHead
from bot.domain.errors import SayableError
from bot.domain.findings import EvidenceType, Mask, Mode, Severity
from bot.domain.subjects import SubjectKind
from bot.market.yaml_file import YamlFile

REDASH = "redash"
"""The source of a detection whose rows come from there."""
ID_LISTS = ("account_ids", "order_ids", "listing_ids", "post_ids")
_KEY_ENV = re.compile(r"[A-Z][A-Z0-9_]{2,60}")
_HOUR = timedelta(hours=1)

Column = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnsEntry(_Strict):
    """Contract name: the query's column."""

    subject_id: Column
    occurred_at: Column | None = None
    amount: Column | None = None
    amount_decimal: Column | None = None
    currency: Column | None = None
    window_key: Column | None = None
    account_ids: Column | tuple[Column, ...] = ()
    order_ids: Column | tuple[Column, ...] = ()
    listing_ids: Column | tuple[Column, ...] = ()
    post_ids: Column | tuple[Column, ...] = ()


class FixedEntry(_Strict):
    """What is the same in every row."""

    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")


class EvidenceEntry(TextHead):
    """A column that a person reads; its key is its column unless `column` says otherwise."""

    type: EvidenceType
    mask: Mask = Mask.NONE
    column: Column | None = None
    words: dict[str, TextHead] = Field(default_factory=dict)


class QueryEntry(_Strict):
    """One query of Redash as a detection."""

    name: Name
    title: TextHead
    subject: Literal[SubjectKind.ORDER, SubjectKind.ACCOUNT, SubjectKind.LISTING, SubjectKind.POST]
    severity: Severity
    owner: Annotated[str, StringConstraints(min_length=1, max_length=300)] = "redash"
    when: Literal["triggered", "always"] = "triggered"
    columns: ColumnsEntry
    fixed: FixedEntry = FixedEntry()
    evidence: dict[Column, EvidenceEntry] = Field(default_factory=dict)
    actions: tuple[Name, ...]
    runbook: LinesHead
    false_positives: LinesHead = LinesHead(ja=(), en=())
    window: Duration = timedelta(hours=24)
    mode: Literal[Mode.SHADOW, Mode.REVIEW] = Mode.REVIEW
    baseline: NoOrDuration = timedelta(hours=24)
    control_percent: int = Field(0, ge=0, le=50)
    daily_cap: int = Field(200, gt=0)
    parameters: dict[str, str | int | float | bool | tuple[str, ...]] = Field(default_factory=dict)
    refresh: Duration | None = None
    key_env: str | None = None

    @field_validator("runbook")
    @classmethod
    def _has_few_steps(cls, value: LinesHead) -> LinesHead:
        if not 2 <= len(value.ja) <= 3:
            raise ValueError("must have two or three steps")
        return value

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not _KEY_ENV.fullmatch(value):
            raise ValueError("must be the name of an environment variable, never the key itself")
        return value


class RedashMapFile(_Strict):
    """The whole file."""

    timezone: str = "UTC"
    queries: dict[int, QueryEntry] = Field(min_length=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("must be a zone of the IANA list, such as Asia/Tokyo") from error
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedQuery:
    """A query of Redash that is a detection here."""

    query_id: int
    detection: Detection
    columns: Mapping[str, tuple[str, ...]]
    """Contract name: the query's columns; only lists of ids take several."""
    currency: str | None
    """Of every row, where no column has it."""
    decimals: bool
    """Its amounts are written with a point, not in the smallest unit."""
    zone: ZoneInfo
    """Of times that say none."""
    always: bool
    """Every result counts, not only that of a triggered alert."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    refresh: timedelta | None = None
    """We run it ourselves, so often."""
    key_env: str | None = None

    @property
    def runs(self) -> bool:
        """Whether it is run by us: of what has parameters Redash keeps no result of its own."""
        return self.refresh is not None or bool(self.parameters)

    @property
    def max_age(self) -> timedelta:
        return self.refresh or _HOUR


def read_redash_map(
    path: Path, *, actions: Collection[str] | None = None
) -> tuple[MappedQuery, ...]:
    """Read and check the map.

    Args:
        actions: the names that may be proposed; None leaves them unchecked.

    Raises:
        SayableError: what is wrong, in which line, and what to do.
    """
    file = YamlFile(
        path=path,
        what="Redash map",
        setting="REDASH_MAP",
        top="queries",
        explained_in="docs/redash.md",
    )
    read, node = file.read(RedashMapFile)
    names: dict[str, int] = {}
    for query_id, entry in read.queries.items():
        for place, words in _misfits(entry, actions, names):
            raise SayableError(file.told(node, ("queries", query_id, *place), words))
        if query_id <= 0:
            raise SayableError(
                file.told(node, ("queries", query_id), "must be the number in the query's address")
            )
        names[entry.name] = query_id
    zone = ZoneInfo(read.timezone)
    return tuple(
        _mapped(path, query_id, entry, zone) for query_id, entry in sorted(read.queries.items())
    )


def _misfits(
    entry: QueryEntry, actions: Collection[str] | None, names: Mapping[str, int]
) -> list[tuple[tuple[str | int, ...], str]]:
    """What fields alone cannot know to be wrong: place and words."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    columns = entry.columns
    if entry.name in names:
        found.append((("name",), f"must be its own: query {names[entry.name]} has that name"))
    for number, name in enumerate(entry.actions):
        if actions is not None and name not in actions:
            there = ", ".join(sorted(actions))
            found.append(((("actions"), number), f"names no action: there are {there}"))
    if columns.amount is not None and columns.amount_decimal is not None:
        found.append((("columns", "amount_decimal"), "must not stand beside `amount`: keep one"))
    money = columns.amount or columns.amount_decimal
    if columns.currency is None and entry.fixed.currency is None:
        money_evidence = [n for n, e in entry.evidence.items() if e.type is EvidenceType.MONEY]
        if money is not None or money_evidence:
            found.append(
                (
                    ("columns",),
                    "must say which column is the `currency`, or `fixed: {currency: JPY}`",
                )
            )
    elif columns.currency is not None and entry.fixed.currency is not None:
        found.append((("fixed", "currency"), "must not stand beside a column of it: keep one"))
    if entry.parameters and entry.when == "triggered":
        words = "must be `always`: the alert of a query with parameters stays unknown in Redash"
        found.append((("when",), words))
    return found


def _mapped(path: Path, query_id: int, entry: QueryEntry, zone: ZoneInfo) -> MappedQuery:
    columns = {
        name: (value,) if isinstance(value, str) else tuple(value)
        for name in ColumnsEntry.model_fields
        if (value := getattr(entry.columns, name)) and name != "amount_decimal"
    }
    if entry.columns.amount_decimal is not None:
        columns["amount"] = (entry.columns.amount_decimal,)
    for name, shown in entry.evidence.items():
        columns[_evidence_name(name)] = (shown.column or name,)
    return MappedQuery(
        query_id=query_id,
        detection=_detection(path, query_id, entry, zone),
        columns=columns,
        currency=entry.fixed.currency,
        decimals=entry.columns.amount_decimal is not None,
        zone=zone,
        always=entry.when == "always",
        parameters=entry.parameters,
        refresh=entry.refresh,
        key_env=entry.key_env,
    )


def _evidence_name(name: str) -> str:
    """Apart from the contract's names, which a query's own column may have too."""
    return f"{name} (shown)" if name in ColumnsEntry.model_fields else name


def _detection(path: Path, query_id: int, entry: QueryEntry, zone: ZoneInfo) -> Detection:
    told = json.dumps(
        [query_id, zone.key, entry.model_dump(mode="json")], sort_keys=True, ensure_ascii=False
    )
    return Detection(
        name=entry.name,
        path=path,
        # Of this entry alone: what people agreed on for it does not end as another one changes.
        hash=hashlib.sha256(told.encode()).hexdigest(),
        title=Text(ja=entry.title.ja, en=entry.title.en),
        source=REDASH,
        subject=entry.subject,
        severity=entry.severity,
        owner=entry.owner,
        every=entry.refresh or timedelta(minutes=1),
        window=entry.window,
        overlap=timedelta(),
        mode=entry.mode,
        baseline=entry.baseline,
        control_percent=entry.control_percent,
        parameters=(),
        actions=entry.actions,
        evidence=tuple(
            EvidenceColumn(
                name=_evidence_name(name),
                label=Text(ja=shown.ja, en=shown.en),
                type=shown.type,
                mask=shown.mask,
                words={code: Text(ja=word.ja, en=word.en) for code, word in shown.words.items()},
            )
            for name, shown in entry.evidence.items()
        ),
        runbook=tuple(
            Text(ja=ja, en=en) for ja, en in zip(entry.runbook.ja, entry.runbook.en, strict=True)
        ),
        false_positives=tuple(
            Text(ja=ja, en=en)
            for ja, en in zip(entry.false_positives.ja, entry.false_positives.en, strict=True)
        ),
        daily_cap=entry.daily_cap,
        limits=OwnLimits(),
        statement=Statement(sql="", names=()),
        needs={},
    )
