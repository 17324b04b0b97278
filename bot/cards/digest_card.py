"""The digest as a message: one drawer for whatever its sections found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from functools import partial
from typing import TypeVar

from babel.dates import format_date

from bot.cards.answers import escape_url
from bot.cards.blocks import (
    Block,
    button,
    context,
    cut,
    header,
    message_text,
    mrkdwn_section,
    section,
    sections_of,
    table,
)
from bot.cards.wording import case_name, severity_tag, verb_name
from bot.domain.digests import CaseRow, Digest, Figure, Part, Sentence, Value, ValueKind
from bot.domain.text import escape, user_text
from bot.domain.verbs import Verb
from bot.locale import Messages

T = TypeVar("T")

HEADER_ROOM = 150
TEXT_ROOM = 12_000
"""A digest is never updated, so that Slack's narrow limit of `chat.update` does not bind its `text`."""
_SECTIONS = 3
"""The most blocks of lines a part is given."""
_TEXT = 200
_TITLE = 80
_ROW = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestMessage:
    """What chat.postMessage is given."""

    text: str
    blocks: list[Block]
    lines: tuple[str, ...]
    """All of it as plain lines, for a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    digest: Digest
    tz: tzinfo
    messages: Messages


def digest_card(
    digest: Digest,
    *,
    tz: tzinfo,
    messages: Messages,
    links: Mapping[int, str] | None = None,
) -> DigestMessage:
    """The digest of a day in a language: its sentence first, its proof last.

    Args:
        links: where the cards of its cases stand, by case; a case without one is named only.
    """
    drawing = _Drawing(digest=digest, tz=tz, messages=messages)
    headline = next((part.headline for part in digest.parts if part.headline is not None), None)
    first = (
        _sentence(headline, drawing)
        if headline is not None
        else messages.t("Digest of {day}", day=_date(digest.day, messages))
    )
    about = messages.dots(_about(drawing))
    # A header is one line; what does not fit into it must not be cut.
    blocks = [header(first) if len(first) <= HEADER_ROOM else section(first), context([about])]
    told = [first, about]
    figures = [figure for part in digest.parts for figure in part.figures]
    if figures:
        rows = _rows(figures, drawing)
        blocks.append(table(rows, right=range(1, len(rows[0]))))
        told += [messages.dots(row) for row in rows]
    for part in digest.parts:
        drawn, lines = _part(part, drawing, links or {})
        blocks += drawn
        told += lines
    foot = [_sentence(line, drawing) for part in digest.parts for line in part.foot]
    if foot:
        blocks.append(context(foot))
    # However much there is to tell, the proof is never what is cut.
    last = message_text(foot)
    body = message_text(told, TEXT_ROOM - len(last) - 1)
    return DigestMessage(
        text=f"{body}\n{last}" if last else body, blocks=blocks, lines=(*told, *foot)
    )


def _about(drawing: _Drawing) -> Iterator[str]:
    digest, messages = drawing.digest, drawing.messages
    yield messages.t("Digest of {day}", day=_date(digest.day, messages))
    if digest.so_far:
        now = messages.moment(digest.now, drawing.tz, digest.now)
        yield messages.t("the day so far, as of {when}", when=now)
    yield str(drawing.tz)
    if digest.missed is not None:
        first, last = digest.missed
        if first == last:
            yield messages.t("no digest was posted for {day}", day=_date(first, messages))
        else:
            yield messages.t(
                "no digest was posted from {first} to {last}",
                first=_date(first, messages),
                last=_date(last, messages),
            )


def _rows(figures: list[Figure], drawing: _Drawing) -> list[list[str]]:
    """The figures as a table; a column that no figure fills is left out."""
    messages, digest = drawing.messages, drawing.digest
    columns = [
        (messages.t("Figure"), [_sentence(figure.label, drawing) for figure in figures]),
        (_date(digest.day, messages), [_figure(figure.value, drawing) for figure in figures]),
    ]
    # Part of a day beside a whole one would always look like less.
    if not digest.so_far:
        columns.append(
            (messages.t("Change from the day before"), [_change(f, drawing) for f in figures])
        )
    columns.append(
        (
            messages.t("Week before, a day"),
            [_figure(figure.week, drawing) if figure.week else "" for figure in figures],
        )
    )
    kept = [(head, cells) for head, cells in columns if any(cells)]
    return [
        [head for head, _ in kept],
        *([cells[row] or "—" for _, cells in kept] for row in range(len(figures))),
    ]


def _figure(value: Value | None, drawing: _Drawing) -> str:
    if value is None:
        return "—"
    told = _value(value, drawing)
    if value.kind is ValueKind.SHARE:
        return drawing.messages.t(
            "{rate} ({part} of {whole})",
            rate=told,
            part=drawing.messages.number(value.number or 0),
            whole=drawing.messages.number(value.whole or 0),
        )
    return told


def _change(figure: Figure, drawing: _Drawing) -> str:
    """How much more or less than the day before; nothing where one of the two is not known."""
    now, before, messages = figure.value, figure.before, drawing.messages
    if now is None or before is None:
        return ""
    match now.kind:
        case ValueKind.COUNT:
            return _signed((now.number or 0) - (before.number or 0), messages.number)
        case ValueKind.MONEY:
            was = {currency: amount for amount, currency in before.amounts}
            return " ".join(
                _signed(amount - was.get(code, 0), partial(_money, messages, code))
                for amount, code in now.amounts
            )
        case ValueKind.SHARE:
            points = percent(now) - percent(before)
            return messages.t("{change} points", change=_signed(points, str))
        case _:
            return ""


def _signed(change: int, told: Callable[[int], str]) -> str:
    if change == 0:
        return "±0"
    return f"{'+' if change > 0 else '-'}{told(abs(change))}"


def _money(messages: Messages, currency: str, amount: int) -> str:
    return messages.money(amount, currency)


def percent(value: Value) -> int:
    """A share in percent; never all or nothing of what is not quite that."""
    part, whole = value.number or 0, value.whole or 0
    if part in {0, whole}:
        return 100 if part else 0
    return min(max(round(100 * part / whole), 1), 99)


def _part(part: Part, drawing: _Drawing, links: Mapping[int, str]) -> tuple[list[Block], list[str]]:
    """What a part shows beside its figures, and the same to be read aloud."""
    messages = drawing.messages
    lines = [_sentence(line, drawing) for line in part.lines]
    if not lines and not part.rows:
        return [], []
    blocks: list[Block] = []
    told: list[str] = []
    if part.title is not None:
        heading = _sentence(part.title, drawing)
        blocks.append(mrkdwn_section(f"*{escape(heading)}*"))
        told.append(heading)
    blocks += sections_of(lines, _SECTIONS)
    told += lines
    for row in part.rows:
        words = _sentence(row.told, drawing)
        mark, tag = severity_tag(row.severity, messages)
        blocks.append(_row(row, f"{mark} {tag}", words, drawing, links, part.name))
        told.append(f"{mark} {tag} {case_name(row.case_id)} {words}")
    if part.more > 0:
        more = messages.n("and {count} more", "and {count} more", part.more)
        blocks.append(context([more]))
        told.append(more)
    return blocks, told


def _row(
    row: CaseRow,
    severity: str,
    words: str,
    drawing: _Drawing,
    links: Mapping[int, str],
    name: str,
) -> Block:
    """A case in a line, with its button; its number leads to its card."""
    link = links.get(row.case_id)
    number = case_name(row.case_id)
    if link is not None and link.startswith(("https://", "http://")) and "|" not in link:
        number = f"<{escape_url(link)}|{number}>"
    return {
        "type": "section",
        "block_id": f"digest:{name}:{row.case_id}",
        "text": {"type": "mrkdwn", "text": f"{escape(severity)} {number} {escape(words, _ROW)}"},
        "accessory": button(
            drawing.messages.t("Details"),
            action_id="act:details",
            value=f"{row.case_id}|{row.version}",
        ),
    }


def _sentence(sentence: Sentence, drawing: _Drawing) -> str:
    messages = drawing.messages
    params = {name: _value(value, drawing) for name, value in sentence.values.items()}
    if sentence.many is not None and sentence.count is not None:
        told = messages.n(sentence.one, sentence.many, sentence.count, **params)
    else:
        told = messages.t(sentence.one, **params)
    return cut(told, 3000)


def _value(value: Value, drawing: _Drawing) -> str:
    messages = drawing.messages
    match value.kind:
        case ValueKind.COUNT:
            return _average(value.number or 0, value.over, messages)
        case ValueKind.MONEY:
            told = [(_rounded(amount, value.over), code) for amount, code in value.amounts]
            return messages.monies(told) or messages.t("none")
        case ValueKind.SHARE:
            return f"{percent(value)}%"
        case ValueKind.SPAN:
            return messages.span(timedelta(seconds=value.number or 0))
        case ValueKind.MOMENT:
            return messages.moment(_set(value.at), drawing.tz, drawing.digest.now)
        case ValueKind.DAY:
            return _date(_set(value.day), messages)
        case ValueKind.MONTH:
            pattern = "y年M月" if messages.locale == "ja" else "MMM y"
            return format_date(_set(value.day), pattern, locale=messages.locale)
        case ValueKind.WHEN:
            return _when(_set(value.day), drawing)
        case ValueKind.CASE:
            return case_name(value.number or 0)
        case ValueKind.VERB:
            name = value.text or ""
            return verb_name(Verb(name), messages) if name in set(Verb) else user_text(name, 40)
        case ValueKind.WORDS:
            return messages.word(value.text or "")
        case ValueKind.TITLE:
            picked = user_text(messages.pick(value.text_ja, value.text), _TITLE)
            return picked or messages.t("Case opened by hand")
        case ValueKind.TEXT:
            return user_text(value.text or "", _TEXT) or "—"


def _set(value: T | None) -> T:
    if value is None:
        raise ValueError("a value of the digest lacks what its kind needs")
    return value


def _when(day: date, drawing: _Drawing) -> str:
    digest, messages = drawing.digest, drawing.messages
    today = digest.now.astimezone(drawing.tz).date()
    if day == today:
        return messages.t("So far today")
    if day == today - timedelta(days=1):
        return messages.t("Yesterday")
    return messages.t("On {day}", day=_date(day, messages))


def _date(day: date, messages: Messages) -> str:
    """A day as people say it, with its day of the week."""
    pattern = "M月d日(E)" if messages.locale == "ja" else "EEE, MMM d"
    return format_date(day, pattern, locale=messages.locale)


def _rounded(amount: int, over: int) -> int:
    return (2 * amount + over) // (2 * over)


def _average(number: int, over: int, messages: Messages) -> str:
    if over == 1 or number % over == 0:
        return messages.number(number // over)
    return f"{number / over:,.1f}"
