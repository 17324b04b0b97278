"""The daily digest as frozen values: what its sections found, in no language yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from bot.domain.findings import Severity


class ValueKind(StrEnum):
    COUNT = "count"
    """`number`; an average where it is a total `over` several days."""
    MONEY = "money"
    """`amounts`; an average where they are totals `over` several days."""
    SHARE = "share"
    """`number` of `whole`."""
    SPAN = "span"
    """`number` seconds."""
    MOMENT = "moment"
    DAY = "day"
    MONTH = "month"
    WHEN = "when"
    """`day` as the beginning of a sentence: yesterday, so far today, or a date."""
    CASE = "case"
    """`number` is the case's."""
    VERB = "verb"
    WORDS = "words"
    """`text` is a key of the catalogue."""
    TITLE = "title"
    """`text` in English, `text_ja` in Japanese: a detection's own words."""
    TEXT = "text"
    """Somebody else's words, shown as data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number, time or word; which fields are set depends on the kind."""

    kind: ValueKind
    number: int | None = None
    whole: int | None = None
    amounts: tuple[tuple[int, str], ...] = ()
    """One pair (amount, currency) a currency: two currencies are never added."""
    over: int = 1
    at: datetime | None = None
    day: date | None = None
    text: str | None = None
    text_ja: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A sentence of the catalogue with what is put into it."""

    one: str
    many: str | None = None
    """The plural, chosen by `count`."""
    count: int | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of the day beside the day before and the average of the week before."""

    name: str
    """Stable, for programs that read the digest."""
    label: Sentence
    value: Value | None
    """None: it cannot be told, as where nothing was counted or the marketplace was away."""
    before: Value | None = None
    week: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """A case that somebody should look at; `version` as of the digest."""

    case_id: int
    version: int
    severity: Severity
    told: Sentence
    channel: str | None = None
    message_ts: str | None = None
    """Where its card stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one section found."""

    name: str = ""
    title: Sentence | None = None
    headline: Sentence | None = None
    """The digest's first sentence, from the section that knows it."""
    figures: tuple[Figure, ...] = ()
    lines: tuple[Sentence, ...] = ()
    rows: tuple[CaseRow, ...] = ()
    more: int = 0
    """How many rows were left out."""
    foot: tuple[Sentence, ...] = ()
    """Proof, in small print at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """All sections of one day, as of `now` by the market's clock."""

    day: date
    now: datetime
    so_far: bool
    """The day is not over yet."""
    audit_seq: int
    audit_hash: str
    parts: tuple[Part, ...]
    missed: tuple[date, date] | None = None
    """The first and the last day before it of which no digest was posted."""


def count(number: int, *, over: int = 1) -> Value:
    return Value(kind=ValueKind.COUNT, number=number, over=over)


def money(amounts: Mapping[str, int], *, over: int = 1) -> Value:
    """Amounts by currency, the dearest first."""
    pairs = sorted(((amount, currency) for currency, amount in amounts.items()), reverse=True)
    return Value(kind=ValueKind.MONEY, amounts=tuple(pairs), over=over)


def share(part: int, whole: int) -> Value | None:
    """A part of a whole; of nothing there is none."""
    return Value(kind=ValueKind.SHARE, number=part, whole=whole) if whole else None


def span(seconds: float) -> Value:
    return Value(kind=ValueKind.SPAN, number=int(seconds))


def moment(at: datetime) -> Value:
    return Value(kind=ValueKind.MOMENT, at=at)


def on_day(day: date) -> Value:
    return Value(kind=ValueKind.DAY, day=day)


def month(day: date) -> Value:
    return Value(kind=ValueKind.MONTH, day=day)


def when(day: date) -> Value:
    return Value(kind=ValueKind.WHEN, day=day)


def case(case_id: int) -> Value:
    return Value(kind=ValueKind.CASE, number=case_id)


def verb(name: str) -> Value:
    return Value(kind=ValueKind.VERB, text=name)


def words(key: str) -> Value:
    return Value(kind=ValueKind.WORDS, text=key)


def title(ja: str, en: str) -> Value:
    return Value(kind=ValueKind.TITLE, text=en, text_ja=ja)


def text(data: str) -> Value:
    return Value(kind=ValueKind.TEXT, text=data)


def t(one: str, **values: Value) -> Sentence:
    """A sentence of the catalogue, translated where it is drawn."""
    return Sentence(one=one, values=values)


def n(one: str, many: str, number: int, **values: Value) -> Sentence:
    """The same for a number; `{count}` is put in where it is drawn."""
    return Sentence(one=one, many=many, count=number, values=values)
