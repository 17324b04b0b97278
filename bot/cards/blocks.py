"""Block Kit's pieces as plain dicts, each cut to Slack's limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bot.domain.text import ELLIPSIS, escape, user_text

Block = dict[str, Any]

HEADER = 150
SECTION = 3000
BUTTON = 75
OPTION = 75
OPTION_VALUE = 75
CHECKBOXES = 10
OVERFLOW = 5
MODAL_TITLE = 24
MESSAGE_TEXT = 3900
"""`chat.update` refuses a `text` of more than 4,000 characters."""


def plain(text: str, limit: int = SECTION) -> Block:
    """Text that Slack shows as it stands: no mention, link or formatting in it can live."""
    return {"type": "plain_text", "text": cut(text, limit) or "—", "emoji": False}


def cut(text: str, limit: int) -> str:
    """Our own lines within a limit; unlike text from users they keep their line breaks."""
    if len(text) <= limit:
        return text
    return _whole_lines(text, limit)


def _whole_lines(text: str, limit: int) -> str:
    """Whole lines as far as they fit, the last of them cut."""
    kept: list[str] = []
    left = limit - len(ELLIPSIS)
    for line in text.split("\n"):
        if len(line) > left:
            if not kept or left > len(ELLIPSIS):
                kept.append(user_text(line, left + len(ELLIPSIS)) if left > 0 else ELLIPSIS)
            break
        kept.append(line)
        left -= len(line) + 1
    return "\n".join(kept)


def message_text(lines: Iterable[str], limit: int = MESSAGE_TEXT) -> str:
    """What a screen reader and a notification read: the lines of the blocks, nothing in them alive.

    Whole lines as far as they fit: a cut inside would wake what was escaped.
    """
    kept: list[str] = []
    left = limit
    for line in "\n".join(lines).split("\n"):
        escaped = escape(line, 1000)
        if len(escaped) + 2 > left:
            kept.append(ELLIPSIS)
            break
        kept.append(escaped)
        left -= len(escaped) + 1
    return "\n".join(kept)


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, HEADER)}


def section(text: str, *, block_id: str | None = None) -> Block:
    return _named({"type": "section", "text": plain(text)}, block_id)


def mrkdwn_section(text: str) -> Block:
    """For sentences that must hold a live mention; everything from users in it is escaped before."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SECTION] or "—"}}


def context(lines: Iterable[str]) -> Block:
    return {"type": "context", "elements": [plain(line) for line in lines][:10]}


def divider() -> Block:
    return {"type": "divider"}


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> Block:
    """Rows of plain cells, the first row the heads; columns in `right` hold numbers."""
    aligned = set(right)
    return {
        "type": "table",
        "rows": [
            [{"type": "raw_text", "text": user_text(cell, 200) or "—"} for cell in row]
            for row in rows
        ],
        "column_settings": [
            {"align": "right" if column in aligned else "left", "is_wrapped": True}
            for column in range(len(rows[0]))
        ],
    }


def actions(elements: Sequence[Block], *, block_id: str) -> Block:
    return {"type": "actions", "block_id": block_id, "elements": list(elements)}


def button(text: str, *, action_id: str, value: str, style: str | None = None) -> Block:
    made: Block = {
        "type": "button",
        "text": plain(text, BUTTON),
        "action_id": action_id,
        "value": value,
    }
    if style is not None:
        made["style"] = style
    return made


def option(text: str, value: str, *, description: str | None = None) -> Block:
    made: Block = {"text": plain(text, OPTION), "value": value}
    if description:
        made["description"] = plain(description, OPTION)
    return made


def overflow(options: Sequence[Block], *, action_id: str) -> Block:
    return {"type": "overflow", "action_id": action_id, "options": list(options)[:OVERFLOW]}


def select(
    label: str, *, block_id: str, options: Sequence[Block], placeholder: str | None = None
) -> Block:
    """A list of which one must be chosen."""
    element: Block = {"type": "static_select", "action_id": block_id, "options": list(options)}
    if placeholder:
        element["placeholder"] = plain(placeholder, 150)
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": element,
    }


def radio(label: str, *, block_id: str, options: Sequence[Block]) -> Block:
    """A choice of which all ways stand there; the first one is chosen."""
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": {
            "type": "radio_buttons",
            "action_id": block_id,
            "options": list(options),
            "initial_option": options[0],
        },
    }


def text_input(label: str, *, block_id: str, initial: str) -> Block:
    """Several lines that a person may change."""
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "optional": True,
        "element": {
            "type": "plain_text_input",
            "action_id": block_id,
            "multiline": True,
            "initial_value": cut(initial, SECTION),
            "max_length": SECTION,
        },
    }


def line_input(
    label: str, *, block_id: str, initial: str | None = None, hint: str | None = None
) -> Block:
    """One line that must be filled in."""
    element: Block = {"type": "plain_text_input", "action_id": block_id, "max_length": 40}
    if initial is not None:
        element["initial_value"] = initial
    made: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": element,
    }
    if hint is not None:
        made["hint"] = plain(hint, 2000)
    return made


def with_accessory(block: Block, element: Block) -> Block:
    """A section with one element at its end."""
    return {**block, "accessory": element}


def checkboxes(
    label: str,
    *,
    block_id: str,
    action_id: str,
    options: Sequence[Block],
    ticked: Sequence[Block],
) -> Block:
    element: Block = {"type": "checkboxes", "action_id": action_id, "options": list(options)}
    if ticked:
        element["initial_options"] = list(ticked)
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": element,
        # An unticked block is an answer too.
        "optional": True,
    }


def note_input(label: str, *, block_id: str = "note") -> Block:
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "optional": True,
        "element": {
            "type": "plain_text_input",
            "action_id": block_id,
            "multiline": True,
            "max_length": 1000,
        },
    }


def sections_of(lines: Sequence[str], limit: int) -> list[Block]:
    """Many lines in as few sections as hold them, at most `limit`; what is over is left out."""
    made: list[Block] = []
    held: list[str] = []
    size = 0
    for line in lines:
        line = cut(line, SECTION)
        if held and size + len(line) + 1 > SECTION:
            made.append(section("\n".join(held)))
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    if held:
        made.append(section("\n".join(held)))
    return made[:limit]


def _named(block: Block, block_id: str | None) -> Block:
    return block if block_id is None else {**block, "block_id": block_id}
