"""Text from users is data: cleaned, cut to length, and never a mention, a link or formatting."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

ELLIPSIS = "…"
_BLANK = re.compile(r"\s+")
# Control, format (bidi and zero-width signs among them), surrogates, private use, unassigned.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINER = "\u200d"
# Signs that show as nothing, or as a gap, though they count as letters.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_MARKS_PER_LETTER = 4
_RAW_PER_SIGN = 8
_LIVE = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Slack has no escape for formatting: a look-alike takes its power, or a sign without width its grip.
_LOOK_ALIKE = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ"})
_NO_BREAK = "\u2060"
# Inside a word an underscore does nothing, and ids have them.
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_CALLS = re.compile(r"[@#](?=\w)")
_EMOJI = re.compile(r"(?<!\d):(?=[\w+'-]+:)")
# No word boundary before it: Japanese writes no space there.
_SCHEME = re.compile(r"(?<=[A-Za-z]):(?=//|[^\s:]+@|\+?\d{4})")
_DOMAIN = re.compile(r"(?<=[\w-])\.(?=[^\W\d_]{2})")

# Text that runs from right to left takes the numbers beside it along, amounts among them, unless it is
# isolated. Only these two of the direction signs are let through, in pairs that hold such text.
_OPEN, _CLOSE = "\u2068", "\u2069"
_ISOLATES = {ord(_OPEN): None, ord(_CLOSE): None}
_ISOLATED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}")
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})

_FORMULA = frozenset("=+-@＝＋－＠")
_BLANKS = frozenset("\t\r\n")


def user_text(value: str, limit: int) -> str:
    """Text for a `plain_text` field: one line, at most `limit` characters, an ellipsis where it was cut.

    What runs from right to left is isolated, so that it moves nothing that stands beside it.
    """
    # Bounds the work: of a book nobody needs more than its beginning.
    beginning = value[: limit * _RAW_PER_SIGN + 256]
    text = _clean(beginning)
    fits = len(text) <= limit and len(beginning) == len(value)
    if fits and not _turns(_ISOLATED.sub("", text)):
        return text
    bare = text.translate(_ISOLATES)
    if not _turns(bare):
        return bare if fits else _shortened(bare, limit)
    room = limit - 2
    if room < 1:
        return ELLIPSIS[:limit]
    fits = len(bare) <= room and len(beginning) == len(value)
    shown = bare if fits else _shortened(bare, room)
    return f"{_OPEN}{shown}{_CLOSE}" if _turns(shown) else shown


def _shortened(text: str, limit: int) -> str:
    return _cut(text, max(limit - len(ELLIPSIS), 0)).rstrip() + ELLIPSIS


def escape(value: str, limit: int = 300) -> str:
    """Text for a `mrkdwn` field or a message's `text`, where no mention, link or formatting of it lives.

    The limit counts what a person reads, not the escapes.
    """
    text = user_text(value, limit).translate(_LOOK_ALIKE)
    text = _EDGE_UNDERSCORE.sub("＿", text)
    text = _SCHEME.sub(f"{_NO_BREAK}:", text)
    text = _DOMAIN.sub(f"{_NO_BREAK}.{_NO_BREAK}", text)
    text = _CALLS.sub(lambda found: found[0] + _NO_BREAK, text)
    text = _EMOJI.sub(f":{_NO_BREAK}", text)
    return text.translate(_LIVE)


def cell_text(value: object) -> str:
    """Text for a cell of a CSV file that no spreadsheet takes for a formula."""
    told = "" if value is None else str(value)
    return f"'{told}" if told.lstrip()[:1] in _FORMULA or told[:1] in _BLANKS else told


def _clean(value: str) -> str:
    spaced = _paired(_BLANK.sub(" ", unicodedata.normalize("NFC", value)))
    # Once more: what was taken out may have stood between a letter and its mark.
    kept = unicodedata.normalize("NFC", "".join(_kept(spaced)))
    return _BLANK.sub(" ", kept).strip()


def _paired(text: str) -> str:
    """Without isolates that are not in pairs, or have nothing to hold."""
    if _OPEN not in text and _CLOSE not in text:
        return text
    made: list[str] = []
    end = 0
    for pair in _ISOLATED.finditer(text):
        made.append(text[end : pair.start()].translate(_ISOLATES))
        made.append(pair[0] if _turns(pair[1]) else pair[1])
        end = pair.end()
    return "".join(made) + text[end:].translate(_ISOLATES)


def _turns(text: str) -> bool:
    """Whether something in it runs from right to left."""
    return not text.isascii() and any(
        unicodedata.bidirectional(sign) in _RIGHT_TO_LEFT
        and unicodedata.category(sign) not in _UNSAFE
        for sign in text
    )


def _kept(text: str) -> Iterator[str]:
    """What stays: nothing that is invisible, and only so many marks on a letter ("zalgo" text)."""
    marks = 0
    for index, sign in enumerate(text):
        if unicodedata.combining(sign):
            marks += 1
            if marks <= _MARKS_PER_LETTER:
                yield sign
            continue
        marks = 0
        joins = sign == _JOINER and _joins_pictures(text, index)
        if (
            joins
            or sign in {_OPEN, _CLOSE}
            or not (unicodedata.category(sign) in _UNSAFE or sign in _FILLERS)
        ):
            yield sign


def _joins_pictures(text: str, index: int) -> bool:
    """A family is one picture made of several: there alone a joiner without width may stay."""
    return (
        0 < index < len(text) - 1
        and (unicodedata.category(text[index - 1]) in {"So", "Sk"} or text[index - 1] == "\ufe0f")
        and unicodedata.category(text[index + 1]) == "So"
    )


def _cut(text: str, limit: int) -> str:
    """The longest beginning within the limit that splits no letter from its marks."""
    end = min(limit, len(text))
    while 0 < end < len(text) and _belongs_to_before(text, end):
        end -= 1
    return text[:end]


def _belongs_to_before(text: str, index: int) -> bool:
    sign = text[index]
    return (
        bool(unicodedata.combining(sign))
        or sign == _JOINER
        or text[index - 1] == _JOINER
        or unicodedata.category(sign) in {"Mn", "Me", "Mc", "Sk"}
        or _splits_flag(text, index)
    )


def _splits_flag(text: str, index: int) -> bool:
    """A flag is two regional letters."""

    def regional(sign: str) -> bool:
        return "\U0001f1e6" <= sign <= "\U0001f1ff"

    start = index
    while start > 0 and regional(text[start - 1]):
        start -= 1
    return regional(text[index]) and (index - start) % 2 == 1
