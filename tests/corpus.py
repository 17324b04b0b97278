"""Texts that people could write in order to be more than text, and what must be true of all that is drawn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from bot.playground.workspace.blocks import validate_message_blocks, validate_view

BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode's property Bidi_Control, all twelve."""

CORPUS: dict[str, str] = {
    "channel": "<!channel>",
    "here with a label": "<!here|hello>",
    "everyone": "<!everyone> @everyone @here @channel",
    "user group": "<!subteam^S0LEADS|@leads>",
    "person": "<@U1>",
    "room": "<#C0ALERTS|general>",
    "link that says Approve": "<http://x|Approve>",
    "link": "https://evil.example/login?next=//x",
    "bare domain": "evil.example minne.com www.evil.example",
    "mail": "<mailto:a@evil.example|support> a@evil.example tel:+81312345678",
    "date": "<!date^1392734382^{date}^https://evil.example|soon>",
    "markdown link": "[Approve](https://evil.example)",
    "backticks": "`code` ``two`` unclosed `",
    "code fence": "```\n<!channel>\n```",
    "bold": "*bold* _italic_ ~strike~ **both**",
    "quote and lists": "> quote\n>>> all\n- a\n1. b\n# head",
    "emoji codes": ":tada: :white_check_mark: :+1::skin-tone-2:",
    "escaped already": "&lt;!channel&gt; &amp;lt;b&amp;gt; &#60;",
    "half escaped": "&lt;<!channel>&gt;",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "placeholders": "{name} {0} {amount} %s %(x)s {seller.__class__}",
    "template": "{{7*7}} ${jndi:ldap://x} #{x}",
    "nothing": "",
    "blanks": " \t\u3000\u00a0\u2003 ",
    "lines": "one\ntwo\r\nthree\u2028four\u2029five\x85six\x0bseven",
    "controls": "".join(map(chr, range(32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "NUL": "a\x00b",
    "escape codes": "\x1b[31mred\x1b[0m\x1b]8;;https://evil.example\x07link",
    "lone surrogates": "a\ud800b\udfffc\udc00\ud800",
    "zero width": "in\u200bvis\u200cib\u200dle\u2060\ufeff\u00ad\u180e",
    "fillers": "\u3164\u115f\u1160\uffa0\u2800\u034f",
    "tags": "x" + "".join(chr(0xE0000 + ord(sign)) for sign in "approve") + "\U000e0001",
    "variation": "a\ufe0e\ufe0f\U000e0100",
    "private use": "\ue000\U000f0000\U0010fffd",
    "no characters": "\ufffe\uffff\U0001fffe\ufdd0",
    "ten thousand": "山" * 10_000,
    "ten thousand, no spaces": "A" * 10_000,
    "ten thousand brackets": "<" * 10_000,
    "ten thousand stars": "*" * 10_000,
    "ten thousand that cannot be seen": "\u200b" * 10_000 + "tail",
    "combining storm": "".join(sign + "\u0300\u0489\u20dd" * 300 for sign in "Zalgo"),
    "storm without a letter": "\u0301" * 3_000,
    "family": "👨‍👩‍👧‍👦" * 500,
    "flags": "🇯🇵🇫🇷" * 500,
    "hebrew": "שלום ¥99,999 12",
    "arabic": "مرحبا ١٢٣ 45",
    "hebrew with an override": "\u202eשלום\u202c 100 \u2067x",
    "turned amount": "\u202e004,21¥ \u2066003\u2069",
    "isolate left open": "\u2068\u2067abc ¥1",
    "isolate closed too often": "\u2069\u2069\u202c\u202c¥1",
    **{f"bidi {ord(sign):04x}": f"a{sign}b{sign}" for sign in BIDI_CONTROLS},
    "formula": "=cmd|' /C calc'!A0",
    "formula with plus": "+1+1",
    "formula with minus": "-1+1",
    "formula with at": "@SUM(A1)",
    "formula in full width": "＝1+1",
    "formula behind a tab": "\t=1+1",
    "formula behind a line": "\r\n=1+1",
    "formula in quotes": '"=1+1","=2"',
    "commas and quotes": 'a,"b";c\n"d',
    "identity of a person": "U0SATO",
    "value of a button": "2001|1",
    "json": '{"type":"section","text":{"type":"mrkdwn","text":"<!channel>"}}',
    "sql": "'; DROP TABLE ledger.cases; --",
    "path": "../../etc/passwd",
}
"""By name; what a person reads of an entry may be anything, or nothing."""

_ESCAPED = re.compile(r"&(?!amp;|lt;|gt;)|<|>")
_LINKED = re.compile(r"(?i)\b(?:https?|ftp|mailto|tel):")
_CALLED = re.compile(r"@(?:here|channel|everyone)\b|(?<!\w)[@#](?=[A-Za-z])")
_PICTURED = re.compile(r"(?<!\d):[\w+'-]+:")
_FORMATTED = frozenset("*~`")
_WORD_JOINER, _JOINER = "\u2060", "\u200d"
_OPEN, _CLOSE = "\u2068", "\u2069"


def every_text(value: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Every text that is shown in blocks or in a view: where, its kind, and the text."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield path, str(value.get("type")), value["text"]
        for name, inner in value.items():
            if name == "initial_value" and isinstance(inner, str):
                yield f"{path}.{name}", "plain_text", inner
            yield from every_text(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from every_text(inner, f"{path}[{place}]")


def live_tokens(text: str, *, ours: tuple[str, ...] = ()) -> list[str]:
    """What Slack would bring to life in this mrkdwn, but for mentions of our own."""
    for mention in ours:
        text = text.replace(mention, "")
    # A quotation of ours; in text from people no line begins.
    text = re.sub(r"(?m)^> ", "", text)
    found = [*_ESCAPED.findall(text), *_LINKED.findall(text), *_CALLED.findall(text)]
    return [*found, *_PICTURED.findall(text), *sorted(_FORMATTED & set(text))]


def invisible(text: str, *, mrkdwn: bool) -> list[str]:
    """Signs that are not seen or turn text around, but for isolates in pairs and what escaping puts in."""
    wrong: list[str] = []
    depth = 0
    for place, sign in enumerate(text):
        kind = unicodedata.category(sign)
        if sign in {_OPEN, _CLOSE}:
            depth += 1 if sign == _OPEN else -1
            if depth not in {0, 1}:
                wrong.append(f"an isolate without its other end at {place}")
            continue
        if sign == "\n" or (sign == _WORD_JOINER and mrkdwn):
            continue
        if sign == _JOINER and unicodedata.category(text[place - 1]) in {"So", "Sk", "Mn"}:
            continue
        if kind in {"Cc", "Cf", "Cs", "Co", "Cn"} or sign in BIDI_CONTROLS:
            wrong.append(f"{kind} {ord(sign):04x}")
        if unicodedata.bidirectional(sign) in {"R", "AL"} and depth == 0:
            wrong.append(f"right to left outside of an isolate: {ord(sign):04x}")
    return [*wrong, *(["an isolate that is not closed"] if depth else [])]


def check_text(text: str, *, ours: tuple[str, ...] = (), limit: int = 4000) -> None:
    """A message's own `text`, which is mrkdwn."""
    assert 0 < len(text) <= limit, len(text)
    found = [*live_tokens(text, ours=ours), *invisible(text, mrkdwn=True)]
    assert found == [], (found[:9], text[:300])


def check_blocks(blocks: Any, *, ours: tuple[str, ...] = ()) -> None:
    """Blocks of a message."""
    problems = validate_message_blocks(blocks)
    assert problems == [], problems
    _check_shown(blocks, ours)


def check_view(view: Any, *, ours: tuple[str, ...] = ()) -> None:
    """A modal."""
    problems = validate_view(view)
    assert problems == [], problems
    _check_shown(view, ours)


def _check_shown(shown: Any, ours: tuple[str, ...]) -> None:
    for path, kind, text in every_text(shown):
        mrkdwn = kind == "mrkdwn"
        found = invisible(text, mrkdwn=mrkdwn)
        if mrkdwn:
            found += live_tokens(text, ours=ours)
        assert found == [], (path, found[:9], text[:300])
