"""Whether Slack would take these blocks and views: every limit, and which block may stand where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.playground.workspace.block_checks import (
    Check,
    Report,
    Shape,
    boolean,
    items,
    string,
    typed,
)
from bot.playground.workspace.block_elements import (
    ACCESSORY,
    ACTION_ELEMENT,
    BLOCK_ID,
    CONTEXT_ELEMENT,
    IMAGE,
    INPUT_ELEMENT,
    INTERACTIVE,
    any_text,
    plain_text,
)
from bot.playground.workspace.block_rich_text import RICH_TEXT, TABLE

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MARKDOWN_CHARS = 12_000

_NAMED: dict[str, Check] = {"block_id": BLOCK_ID}


def _says_something(section: Mapping[str, object], path: str, report: Report) -> None:
    if section.get("text") is None and section.get("fields") is None:
        report.add(path, "missing required field: text or fields")


_SHAPES: dict[str, Shape] = {
    "section": Shape(
        optional={
            **_NAMED,
            "text": any_text(3000),
            "fields": items(any_text(2000), 1, 10),
            "accessory": ACCESSORY,
            "expand": boolean,
        },
        rule=_says_something,
    ),
    "header": Shape(required={"text": plain_text(150)}, optional=_NAMED),
    "context": Shape(required={"elements": items(CONTEXT_ELEMENT, 1, 10)}, optional=_NAMED),
    "divider": Shape(optional=_NAMED),
    "actions": Shape(required={"elements": items(ACTION_ELEMENT, 1, 25)}, optional=_NAMED),
    "input": Shape(
        required={"label": plain_text(2000), "element": INPUT_ELEMENT},
        optional={
            **_NAMED,
            "hint": plain_text(2000),
            "optional": boolean,
            "dispatch_action": boolean,
        },
    ),
    "image": Shape(
        required=IMAGE.required,
        optional={**_NAMED, **IMAGE.optional, "title": plain_text(2000)},
        rule=IMAGE.rule,
    ),
    "table": TABLE,
    "rich_text": RICH_TEXT,
    "markdown": Shape(required={"text": string(1, MARKDOWN_CHARS)}, optional=_NAMED),
}
_ONLY_ON: dict[str, frozenset[str]] = {
    "markdown": frozenset({"message"}),
    "table": frozenset({"message", "home"}),
}


def _surface(name: str) -> Check:
    return typed(
        {
            kind: shape
            for kind, shape in _SHAPES.items()
            if name in _ONLY_ON.get(kind, frozenset({name}))
        }
    )


_BLOCK = {name: _surface(name) for name in ("message", "modal", "home")}

_VIEW_FIELDS: dict[str, Check] = {
    "private_metadata": string(0, 3000),
    "callback_id": string(0, 255),
    "external_id": string(0, 255),
}
_MODAL = Shape(
    required={
        "title": plain_text(24),
        "blocks": items(_BLOCK["modal"], 1, VIEW_BLOCKS),
    },
    optional={
        **_VIEW_FIELDS,
        "submit": plain_text(24),
        "close": plain_text(24),
        "clear_on_close": boolean,
        "notify_on_close": boolean,
        "submit_disabled": boolean,
    },
)
_HOME = Shape(
    required={"blocks": items(_BLOCK["home"], 1, VIEW_BLOCKS)},
    optional=_VIEW_FIELDS,
)
_VIEW = typed({"modal": _MODAL, "home": _HOME})


def validate_message_blocks(blocks: object) -> list[str]:
    """What Slack would find wrong with a message's blocks, in its own words; empty: nothing."""
    report = Report()
    items(_BLOCK["message"], 0, MESSAGE_BLOCKS)(blocks, "/blocks", report)
    _check_together(blocks, "/blocks", report)
    found = [block for _, block in _objects(blocks)]
    if sum(1 for block in found if block.get("type") == "table") > 1:
        report.add("/blocks", "only_one_table_allowed")
    markdown = sum(len(str(b.get("text"))) for b in found if b.get("type") == "markdown")
    if markdown > MARKDOWN_CHARS:
        report.add("/blocks", f"markdown text must be less than {MARKDOWN_CHARS + 1} characters")
    return report.problems


def validate_view(view: object) -> list[str]:
    """What Slack would find wrong with a modal or an App Home, in its own words; empty: nothing."""
    report = Report()
    _VIEW(view, "/view", report)
    if not isinstance(view, dict):
        return report.problems
    blocks = view.get("blocks")
    _check_together(blocks, "/view/blocks", report)
    found = [block for _, block in _objects(blocks)]
    has_input = any(block.get("type") == "input" for block in found)
    if view.get("type") == "modal" and has_input and view.get("submit") is None:
        report.add("/view/submit", "submit is required when an input block is within blocks")
    focused = [e for b in found for _, e in elements_of(b) if e.get("focus_on_load")]
    if len(focused) > 1:
        report.add("/view/blocks", "focus_on_load can only be used once in a view")
    return report.problems


def elements_of(block: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Every interactive element of a block, with its path in it."""
    for name in ("accessory", "element"):
        element = block.get(name)
        if isinstance(element, dict) and element.get("type") in INTERACTIVE:
            yield f"/{name}", element
    elements = block.get("elements")
    if block.get("type") == "actions" and isinstance(elements, list):
        for index, element in enumerate(elements):
            if isinstance(element, dict):
                yield f"/elements/{index}", element


def _check_together(blocks: object, path: str, report: Report) -> None:
    """What no block can know by itself: ids that stand twice."""
    seen: set[object] = set()
    for index, block in _objects(blocks):
        block_id = block.get("block_id")
        if isinstance(block_id, str):
            if block_id in seen:
                report.add(f"{path}/{index}/block_id", f"`block_id` {block_id} is not unique")
            seen.add(block_id)
        used: set[str] = set()
        for where, element in elements_of(block):
            action_id = element.get("action_id")
            if isinstance(action_id, str):
                if action_id in used:
                    report.add(
                        f"{path}/{index}{where}/action_id",
                        f"`action_id` {action_id} already exists within this block",
                    )
                used.add(action_id)


def _objects(blocks: object) -> Iterator[tuple[int, Mapping[str, object]]]:
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(block, dict):
            yield index, block
