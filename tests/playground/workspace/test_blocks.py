"""What Slack takes as blocks and views, limit by limit: at the limit it passes, one above it does not."""

from __future__ import annotations

from typing import Any

import pytest

from bot.playground.workspace.blocks import validate_message_blocks, validate_view
from tests.playground.workspace.stage import (
    actions,
    button,
    modal,
    mrkdwn,
    option,
    plain,
    section,
    select_input,
    text_input,
)

Block = dict[str, Any]


def select(count: int) -> Block:
    return {
        "type": "static_select",
        "action_id": "s",
        "options": [option(str(n)) for n in range(count)],
    }


def checkboxes(count: int) -> Block:
    return {
        "type": "checkboxes",
        "action_id": "c",
        "options": [option(str(n)) for n in range(count)],
    }


def overflow(count: int) -> Block:
    return {"type": "overflow", "action_id": "o", "options": [option(str(n)) for n in range(count)]}


def table(rows: int, columns: int) -> Block:
    cell = {"type": "raw_text", "text": "x"}
    return {"type": "table", "rows": [[cell] * columns for _ in range(rows)]}


def confirm(title: int = 1, text: int = 1, yes: int = 1, no: int = 1) -> Block:
    return {
        "title": plain("t" * title),
        "text": plain("t" * text),
        "confirm": plain("y" * yes),
        "deny": plain("n" * no),
    }


def picture(url: int = 20, alt: int = 1, title: int = 1) -> Block:
    return {
        "type": "image",
        "image_url": "https://x.example/".ljust(url, "x"),
        "alt_text": "a" * alt,
        "title": plain("t" * title),
    }


def described(length: int) -> Block:
    return {**option("a"), "description": plain("d" * length)}


# What is limited, the largest that passes, and a message block of that size.
LIMITS: list[tuple[str, int, Any]] = [
    ("header text", 150, lambda n: [{"type": "header", "text": plain("h" * n)}]),
    ("section text", 3000, lambda n: [section("s" * n)]),
    ("section fields", 10, lambda n: [{"type": "section", "fields": [mrkdwn("f")] * n}]),
    ("field text", 2000, lambda n: [{"type": "section", "fields": [mrkdwn("f" * n)]}]),
    ("context elements", 10, lambda n: [{"type": "context", "elements": [mrkdwn("c")] * n}]),
    ("blocks of a message", 50, lambda n: [{"type": "divider"}] * n),
    ("block_id", 255, lambda n: [{"type": "divider", "block_id": "b" * n}]),
    ("action_id", 255, lambda n: [actions(button("a" * n))]),
    ("actions elements", 25, lambda n: [actions(*(button(str(i)) for i in range(n)))]),
    ("button text", 75, lambda n: [actions(button("a") | {"text": plain("b" * n)})]),
    ("button value", 2000, lambda n: [actions(button("a", "v" * n))]),
    ("button url", 3000, lambda n: [actions(button("a", url="u" * n))]),
    ("accessibility label", 75, lambda n: [actions(button("a", accessibility_label="l" * n))]),
    ("select options", 100, lambda n: [actions(select(n))]),
    ("placeholder", 150, lambda n: [actions(select(1) | {"placeholder": plain("p" * n)})]),
    ("checkboxes", 10, lambda n: [actions(checkboxes(n))]),
    ("overflow options", 5, lambda n: [actions(overflow(n))]),
    (
        "option text",
        75,
        lambda n: [actions(select(1) | {"options": [option("v") | {"text": plain("t" * n)}]})],
    ),
    (
        "option value",
        75,
        lambda n: [actions(select(1) | {"options": [option("v" * n) | {"text": plain("t")}]})],
    ),
    ("option description", 75, lambda n: [actions(select(1) | {"options": [described(n)]})]),
    ("confirm title", 100, lambda n: [actions(button("a", confirm=confirm(title=n)))]),
    ("confirm text", 300, lambda n: [actions(button("a", confirm=confirm(text=n)))]),
    ("confirm yes", 30, lambda n: [actions(button("a", confirm=confirm(yes=n)))]),
    ("confirm no", 30, lambda n: [actions(button("a", confirm=confirm(no=n)))]),
    ("image url", 3000, lambda n: [picture(url=n)]),
    ("image alt text", 2000, lambda n: [picture(alt=n)]),
    ("image title", 2000, lambda n: [picture(title=n)]),
    ("table rows", 100, lambda n: [table(n, 1)]),
    ("table columns", 20, lambda n: [table(1, n)]),
    ("markdown text", 12_000, lambda n: [{"type": "markdown", "text": "m" * n}]),
    (
        "markdown text of all blocks",
        12_000,
        lambda n: [
            {"type": "markdown", "text": "m" * 6000},
            {"type": "markdown", "text": "m" * (n - 6000)},
        ],
    ),
]


@pytest.mark.parametrize(
    ("limit", "build"), [row[1:] for row in LIMITS], ids=[r[0] for r in LIMITS]
)
def test_a_message_at_the_limit_passes_and_one_above_it_is_refused(limit: int, build: Any) -> None:
    assert validate_message_blocks(build(limit)) == []
    assert validate_message_blocks(build(limit + 1)) != []


VIEW_LIMITS: list[tuple[str, int, Any]] = [
    ("title", 24, lambda n: modal(title=plain("t" * n))),
    ("submit", 24, lambda n: modal(submit=plain("t" * n))),
    ("close", 24, lambda n: modal(close=plain("t" * n))),
    ("callback_id", 255, lambda n: modal(callback_id="c" * n)),
    ("external_id", 255, lambda n: modal(external_id="c" * n)),
    ("private_metadata", 3000, lambda n: modal(private_metadata="p" * n)),
    ("blocks", 100, lambda n: modal(*[dict[str, object](type="divider") for _ in range(n)])),
    ("input label", 2000, lambda n: modal(text_input("a") | {"label": plain("l" * n)})),
    ("input hint", 2000, lambda n: modal(text_input("a") | {"hint": plain("l" * n)})),
    ("max_length", 3000, lambda n: modal(text_input("a", max_length=n))),
    ("initial value", 3000, lambda n: modal(text_input("a", initial_value="x" * n))),
]


@pytest.mark.parametrize(
    ("limit", "build"), [row[1:] for row in VIEW_LIMITS], ids=[r[0] for r in VIEW_LIMITS]
)
def test_a_view_at_the_limit_passes_and_one_above_it_is_refused(limit: int, build: Any) -> None:
    assert validate_view(build(limit)) == []
    assert validate_view(build(limit + 1)) != []


REFUSED: list[tuple[str, list[Any], str]] = [
    (
        "an unknown block",
        [{"type": "banner"}],
        "unsupported type: banner [json-pointer:/blocks/0/type]",
    ),
    ("an alert, which stands in modals only", [{"type": "alert"}], "unsupported type: alert"),
    ("a block without a type", [{}], "missing required field: type [json-pointer:/blocks/0]"),
    ("a block that is no object", ["x"], "must provide an object"),
    ("an unknown field", [section("a", colour="red")], "invalid additional property: colour"),
    (
        "an empty text",
        [section("")],
        "must be more than 0 characters [json-pointer:/blocks/0/text/text]",
    ),
    ("a section that says nothing", [{"type": "section"}], "text or fields"),
    ("mrkdwn in a header", [{"type": "header", "text": mrkdwn("a")}], "unsupported type: mrkdwn"),
    ("a text that is a string", [{"type": "header", "text": "a"}], "must provide an object"),
    ("no elements", [actions()], "no less than 1 items allowed"),
    (
        "the same action_id twice in a block",
        [actions(button("a"), button("a"))],
        "`action_id` a already exists within this block [json-pointer:/blocks/0/elements/1/action_id]",
    ),
    (
        "the same block_id twice",
        [section("a", block_id="b"), section("a", block_id="b")],
        "`block_id` b is not unique [json-pointer:/blocks/1/block_id]",
    ),
    ("two tables", [table(1, 1), table(1, 1)], "only_one_table_allowed"),
    (
        "a table with uneven rows",
        [{"type": "table", "rows": [*table(1, 1)["rows"], *table(1, 2)["rows"]]}],
        "cells",
    ),
    (
        "a table with an empty cell",
        [{"type": "table", "rows": [[{"type": "raw_text", "text": ""}]]}],
        "more than 0",
    ),
    ("an unknown style", [actions(button("a", style="green"))], "must be one of [primary, danger]"),
    (
        "a text input among actions",
        [actions({"type": "plain_text_input", "action_id": "a"})],
        "unsupported type",
    ),
    (
        "a button in an input",
        [{**text_input("a"), "element": button("a")}],
        "unsupported type: button",
    ),
    (
        "a select without options",
        [actions({"type": "static_select", "action_id": "a"})],
        "exactly one of options",
    ),
    (
        "an initial option that is not offered",
        [actions(select(1) | {"initial_option": option("9")})],
        "must be one of the provided options",
    ),
    ("a flag that is a string", [text_input("a") | {"optional": "yes"}], "must be a boolean"),
    ("an image without a picture", [{"type": "image", "alt_text": "a"}], "image_url"),
    (
        "an empty rich text",
        [
            {
                "type": "rich_text",
                "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": ""}]}
                ],
            }
        ],
        "more than 0",
    ),
]


@pytest.mark.parametrize(
    ("blocks", "problem"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_message_is_refused_with_the_place_of_the_fault(blocks: list[Any], problem: str) -> None:
    found = validate_message_blocks(blocks)
    assert len(found) == 1
    assert found[0].startswith("[ERROR] ")
    assert problem in found[0]


def test_the_same_action_id_may_stand_in_two_blocks() -> None:
    assert validate_message_blocks([actions(button("a")), actions(button("a"))]) == []


def test_blocks_that_are_no_list_are_refused() -> None:
    assert validate_message_blocks({"type": "divider"}) == [
        "[ERROR] must be an array [json-pointer:/blocks]"
    ]


@pytest.mark.parametrize("kind", ["table", "markdown"])
def test_tables_and_markdown_do_not_stand_in_modals(kind: str) -> None:
    block: Block = table(1, 1) if kind == "table" else {"type": "markdown", "text": "a"}
    assert validate_message_blocks([block]) == []
    assert validate_view(modal(block)) == [
        f"[ERROR] unsupported type: {kind} [json-pointer:/view/blocks/0/type]"
    ]


def test_a_table_stands_in_an_app_home() -> None:
    assert validate_view({"type": "home", "blocks": [table(1, 1)]}) == []


def test_a_modal_with_an_input_needs_a_submit_button() -> None:
    view = modal(text_input("note"))
    del view["submit"]
    assert validate_view(view) == [
        "[ERROR] submit is required when an input block is within blocks [json-pointer:/view/submit]"
    ]


def test_only_one_input_of_a_modal_takes_the_focus() -> None:
    view = modal(text_input("a", focus_on_load=True), text_input("b", focus_on_load=True))
    assert validate_view(view) == [
        "[ERROR] focus_on_load can only be used once in a view [json-pointer:/view/blocks]"
    ]


def test_everything_that_the_bot_uses_passes() -> None:
    message = [
        {"type": "header", "text": plain("不正注文の疑い")},
        section("何が起きたか", accessory=overflow(5)),
        {"type": "divider"},
        table(6, 5),
        {
            "type": "rich_text",
            "elements": [
                {
                    "type": "rich_text_section",
                    "elements": [
                        {"type": "text", "text": "<!channel>", "style": {"bold": True}},
                        {"type": "link", "url": "https://x.example", "text": "x"},
                        {"type": "date", "timestamp": 1, "format": "{date_short}"},
                    ],
                },
                {
                    "type": "rich_text_list",
                    "style": "bullet",
                    "elements": [
                        {"type": "rich_text_section", "elements": [{"type": "text", "text": "a"}]}
                    ],
                },
            ],
        },
        {"type": "context", "elements": [mrkdwn("検知: 96%"), plain("x")]},
        actions(button("act:hold", style="primary"), button("act:cancel", confirm=confirm())),
    ]
    assert validate_message_blocks(message) == []
    number = {
        "type": "number_input",
        "action_id": "n",
        "is_decimal_allowed": False,
        "min_value": "1",
    }
    view = modal(
        section("What happens"),
        select_input("reason", "stolen_card", "self_dealing"),
        text_input("note", optional=True, multiline=True, max_length=500),
        {"type": "input", "label": plain("Members"), "element": checkboxes(10)},
        {
            "type": "input",
            "label": plain("When"),
            "element": {"type": "datepicker", "initial_date": "2026-01-31"},
        },
        {
            "type": "input",
            "label": plain("Who"),
            "element": {"type": "users_select", "initial_user": "U1"},
        },
        {"type": "input", "label": plain("How many"), "element": number},
        private_metadata="{}",
        notify_on_close=True,
    )
    assert validate_view(view) == []


@pytest.mark.parametrize(
    "view", [None, [], "x", {}, {"type": "popup"}, {"type": "modal", "blocks": []}]
)
def test_what_is_no_view_is_refused(view: object) -> None:
    assert validate_view(view) != []
