"""The pieces keep Slack's limits by themselves, whatever they are given."""

from __future__ import annotations

from bot.cards import blocks
from bot.playground.workspace.blocks import validate_message_blocks, validate_view

LONG = "あ" * 10_000
LINES = "\n".join(f"line {n} " + "x" * 80 for n in range(200))


def test_long_text_is_cut_and_shows_that_it_was() -> None:
    for block in (blocks.header(LONG), blocks.section(LONG), blocks.section(LINES)):
        assert validate_message_blocks([block]) == []
        assert block["text"]["text"].endswith("…")


def test_lines_are_kept_whole_as_far_as_they_fit() -> None:
    kept = blocks.section(LINES)["text"]["text"].split("\n")
    assert kept[0] == LINES.split("\n")[0]
    assert len(kept) > 30
    assert set(kept[:-1]) <= set(LINES.split("\n"))


def test_nothing_is_never_an_empty_text() -> None:
    made = [
        blocks.header(""),
        blocks.section(""),
        blocks.mrkdwn_section(""),
        blocks.context([""]),
        blocks.table([["", ""], ["", ""]]),
        blocks.actions([blocks.button("", action_id="a", value="v")], block_id="b"),
    ]
    assert validate_message_blocks(made) == []


def test_elements_beyond_the_limits_are_left_out() -> None:
    options = [blocks.option(LONG, f"o{n}", description=LONG) for n in range(9)]
    made = [
        blocks.context([LONG] * 20),
        blocks.actions([blocks.overflow(options, action_id="m")], block_id="b"),
        *blocks.sections_of([LONG] * 20, 5),
    ]
    assert len(made) == 7
    assert validate_message_blocks(made) == []


def test_inputs_keep_their_limits() -> None:
    options = [blocks.option(LONG, f"o{n}") for n in range(10)]
    view = {
        "type": "modal",
        "title": blocks.plain(LONG, blocks.MODAL_TITLE),
        "submit": blocks.plain(LONG, blocks.MODAL_TITLE),
        "blocks": [
            blocks.select(LONG, block_id="reason", options=options, placeholder=LONG),
            blocks.checkboxes(
                LONG, block_id="t", action_id="t", options=options, ticked=options[:3]
            ),
            blocks.note_input(LONG),
        ],
    }
    assert validate_view(view) == []


def test_the_text_of_a_message_leaves_whole_lines_out() -> None:
    text = blocks.message_text(["<b>" * 200] * 30)
    assert len(text) <= 4000
    assert text.endswith("…")
    assert all(line == "…" or line.startswith("&lt;b&gt;") for line in text.split("\n"))
    assert "&…" not in text
