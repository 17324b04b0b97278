"""Rich text and tables: the blocks in which text from users needs no escaping."""

from __future__ import annotations

from collections.abc import Mapping

from bot.playground.workspace.block_checks import (
    Report,
    Shape,
    boolean,
    integer,
    items,
    nullable,
    one_of,
    shaped,
    string,
    typed,
)
from bot.playground.workspace.block_elements import BLOCK_ID, URL

_STYLE = shaped(
    Shape(
        optional=dict.fromkeys(
            (
                "bold",
                "italic",
                "strike",
                "code",
                "underline",
                "highlight",
                "client_highlight",
                "unlink",
            ),
            boolean,
        )
    )
)
_STYLED = {"style": _STYLE}
_ID = string(1, 255)
_TEXT = Shape(required={"text": string(1)}, optional=_STYLED)
_LINK = Shape(required={"url": URL}, optional={**_STYLED, "text": string(0), "unsafe": boolean})
_INLINE = typed(
    {
        "text": _TEXT,
        "link": _LINK,
        "emoji": Shape(
            required={"name": string(1, 255)},
            optional={**_STYLED, "unicode": string(1, 255), "skin_tone": integer(1, 6)},
        ),
        "user": Shape(required={"user_id": _ID}, optional=_STYLED),
        "usergroup": Shape(required={"usergroup_id": _ID}, optional=_STYLED),
        "channel": Shape(required={"channel_id": _ID}, optional=_STYLED),
        "broadcast": Shape(
            required={"range": one_of("here", "channel", "everyone")}, optional=_STYLED
        ),
        "date": Shape(
            required={"timestamp": integer(0), "format": string(1)},
            optional={**_STYLED, "url": URL, "fallback": string(1)},
        ),
        "color": Shape(required={"value": string(1, 255)}),
    }
)
_SECTION = Shape(required={"elements": items(_INLINE, 0, None)})
_LIST = Shape(
    required={
        "style": one_of("bullet", "ordered"),
        "elements": items(typed({"rich_text_section": _SECTION}), 1, None),
    },
    optional={"indent": integer(0, 8), "offset": integer(0), "border": integer(0, 1)},
)
_BORDERED = {"border": integer(0, 1)}
_PREFORMATTED = Shape(
    required={"elements": items(typed({"text": _TEXT, "link": _LINK}), 1, None)},
    optional={**_BORDERED, "language": string(1, 255)},
)
_QUOTE = Shape(required={"elements": items(_INLINE, 1, None)}, optional=_BORDERED)

RICH_TEXT = Shape(
    required={
        "elements": items(
            typed(
                {
                    "rich_text_section": _SECTION,
                    "rich_text_list": _LIST,
                    "rich_text_preformatted": _PREFORMATTED,
                    "rich_text_quote": _QUOTE,
                }
            ),
            1,
            None,
        )
    },
    optional={"block_id": BLOCK_ID},
)


def _number(value: object, path: str, report: Report) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        report.add(path, "must be a number")


_CELL = typed(
    {
        "raw_text": Shape(required={"text": string(1)}),
        "raw_number": Shape(required={"value": _number}, optional={"text": string(1)}),
        "rich_text": RICH_TEXT,
    }
)


def _rows_are_even(table: Mapping[str, object], path: str, report: Report) -> None:
    rows = table["rows"]
    assert isinstance(rows, list)  # noqa: S101 - the field's own check ran before
    for index, row in enumerate(rows):
        if len(row) != len(rows[0]):
            report.add(f"{path}/rows/{index}", "must have as many cells as the first row")


TABLE = Shape(
    required={"rows": items(items(_CELL, 1, 20), 1, 100)},
    optional={
        "block_id": BLOCK_ID,
        "column_settings": items(
            nullable(
                shaped(
                    Shape(
                        optional={
                            "align": one_of("left", "center", "right"),
                            "is_wrapped": boolean,
                        }
                    )
                )
            ),
            0,
            20,
        ),
    },
    rule=_rows_are_even,
)
