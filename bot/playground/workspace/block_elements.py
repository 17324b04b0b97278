"""Block Kit's composition objects and interactive elements, with Slack's limits."""

from __future__ import annotations

from collections.abc import Mapping

from bot.playground.workspace.block_checks import (
    Check,
    Report,
    Shape,
    boolean,
    integer,
    items,
    one_of,
    shaped,
    string,
    typed,
)

BLOCK_ID = string(1, 255)
ACTION_ID = string(1, 255)
URL = string(1, 3000)
# Slack's own sources disagree (75 and 150); what passes here must pass there.
OPTION_VALUE = string(1, 75)


def plain_text(high: int, low: int = 1) -> Check:
    """A text object that Slack shows as it stands."""
    return typed({"plain_text": _plain(low, high)})


def mrkdwn(high: int, low: int = 1) -> Check:
    """A text object in which Slack reads formatting, links and mentions."""
    return typed({"mrkdwn": _mrkdwn(low, high)})


def any_text(high: int, low: int = 1) -> Check:
    """A text object of either type."""
    return typed({"plain_text": _plain(low, high), "mrkdwn": _mrkdwn(low, high)})


def _plain(low: int, high: int) -> Shape:
    return Shape(required={"text": string(low, high)}, optional={"emoji": boolean})


def _mrkdwn(low: int, high: int) -> Shape:
    return Shape(required={"text": string(low, high)}, optional={"verbatim": boolean})


CONFIRM = shaped(
    Shape(
        required={
            "title": plain_text(100),
            "text": any_text(300),
            "confirm": plain_text(30),
            "deny": plain_text(30),
        },
        optional={"style": one_of("primary", "danger")},
    )
)

_PLAIN_OPTION = Shape(
    required={"text": plain_text(75), "value": OPTION_VALUE},
    optional={"description": plain_text(75)},
)
_OVERFLOW_OPTION = Shape(
    required=_PLAIN_OPTION.required, optional={**_PLAIN_OPTION.optional, "url": URL}
)
_RICH_OPTION = Shape(
    required={"text": any_text(75), "value": OPTION_VALUE},
    optional={"description": any_text(75)},
)
_OPTION_GROUP = Shape(
    required={"label": plain_text(75), "options": items(shaped(_PLAIN_OPTION), 1, 100)}
)


def options_of(element: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Every option that an element offers, groups flattened."""
    found: list[Mapping[str, object]] = []
    groups = element.get("option_groups")
    for group in groups if isinstance(groups, list) else [element]:
        options = group.get("options")
        found.extend(options if isinstance(options, list) else [])
    return found


def _options_or_groups(element: Mapping[str, object], path: str, report: Report) -> None:
    if (element.get("options") is None) == (element.get("option_groups") is None):
        report.add(path, "must provide exactly one of options and option_groups")
        return
    _initial_among_options(element, path, report)


def _initial_among_options(element: Mapping[str, object], path: str, report: Report) -> None:
    offered = options_of(element)
    initial = element.get("initial_options")
    for index, option in enumerate(initial if isinstance(initial, list) else []):
        if option not in offered:
            report.add(f"{path}/initial_options/{index}", "must be one of the provided options")
    one = element.get("initial_option")
    if one is not None and one not in offered:
        report.add(f"{path}/initial_option", "must be one of the provided options")


_PLACED: dict[str, Check] = {"action_id": ACTION_ID, "focus_on_load": boolean}
_ASKED: dict[str, Check] = {"placeholder": plain_text(150)}
_CONFIRMED: dict[str, Check] = {"confirm": CONFIRM}

_STATIC_OPTIONS: dict[str, Check] = {
    "options": items(shaped(_PLAIN_OPTION), 1, 100),
    "option_groups": items(shaped(_OPTION_GROUP), 1, 100),
}

_BUTTON = Shape(
    required={"text": plain_text(75)},
    optional={
        "action_id": ACTION_ID,
        "url": URL,
        "value": string(1, 2000),
        "style": one_of("primary", "danger"),
        "confirm": CONFIRM,
        "accessibility_label": string(1, 75),
    },
)
_OVERFLOW = Shape(
    required={"options": items(shaped(_OVERFLOW_OPTION), 1, 5)},
    optional={"action_id": ACTION_ID, "confirm": CONFIRM},
)
_STATIC_SELECT = Shape(
    optional={
        **_PLACED,
        **_ASKED,
        **_CONFIRMED,
        **_STATIC_OPTIONS,
        "initial_option": shaped(_PLAIN_OPTION),
    },
    rule=_options_or_groups,
)
_MULTI_STATIC_SELECT = Shape(
    optional={
        **_PLACED,
        **_ASKED,
        **_CONFIRMED,
        **_STATIC_OPTIONS,
        "initial_options": items(shaped(_PLAIN_OPTION), 1, 100),
        "max_selected_items": integer(1),
    },
    rule=_options_or_groups,
)
_USERS_SELECT = Shape(optional={**_PLACED, **_ASKED, **_CONFIRMED, "initial_user": string(1, 255)})
_MULTI_USERS_SELECT = Shape(
    optional={
        **_PLACED,
        **_ASKED,
        **_CONFIRMED,
        "initial_users": items(string(1, 255), 1, 100),
        "max_selected_items": integer(1),
    }
)
_DATEPICKER = Shape(
    optional={
        **_PLACED,
        **_ASKED,
        **_CONFIRMED,
        "initial_date": string(pattern=r"\d{4}-\d{2}-\d{2}"),
    }
)
_CHECKBOXES = Shape(
    required={"options": items(shaped(_RICH_OPTION), 1, 10)},
    optional={
        **_PLACED,
        **_CONFIRMED,
        "initial_options": items(shaped(_RICH_OPTION), 1, 10),
    },
    rule=_initial_among_options,
)
_RADIO_BUTTONS = Shape(
    required={"options": items(shaped(_RICH_OPTION), 1, 10)},
    optional={**_PLACED, **_CONFIRMED, "initial_option": shaped(_RICH_OPTION)},
    rule=_initial_among_options,
)

_DISPATCH = shaped(
    Shape(
        required={
            "trigger_actions_on": items(one_of("on_enter_pressed", "on_character_entered"), 1, 2)
        }
    )
)


def _lengths_agree(element: Mapping[str, object], path: str, report: Report) -> None:
    low, high = element.get("min_length"), element.get("max_length")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        report.add(f"{path}/min_length", "must be less than or equal to max_length")


_PLAIN_TEXT_INPUT = Shape(
    optional={
        **_PLACED,
        **_ASKED,
        "initial_value": string(0, 3000),
        "multiline": boolean,
        "min_length": integer(0, 3000),
        "max_length": integer(1, 3000),
        "dispatch_action_config": _DISPATCH,
    },
    rule=_lengths_agree,
)
_DECIMAL = string(1, 64, pattern=r"-?\d+(\.\d+)?")
_NUMBER_INPUT = Shape(
    required={"is_decimal_allowed": boolean},
    optional={
        **_PLACED,
        **_ASKED,
        "initial_value": _DECIMAL,
        "min_value": _DECIMAL,
        "max_value": _DECIMAL,
        "dispatch_action_config": _DISPATCH,
    },
)


def _has_one_picture(image: Mapping[str, object], path: str, report: Report) -> None:
    if (image.get("image_url") is None) == (image.get("slack_file") is None):
        report.add(path, "must provide exactly one of image_url and slack_file")


_SLACK_FILE = shaped(Shape(optional={"id": string(1, 255), "url": URL}))
IMAGE = Shape(
    required={"alt_text": string(1, 2000)},
    optional={"image_url": URL, "slack_file": _SLACK_FILE},
    rule=_has_one_picture,
)

_PICKERS: dict[str, Shape] = {
    "static_select": _STATIC_SELECT,
    "multi_static_select": _MULTI_STATIC_SELECT,
    "users_select": _USERS_SELECT,
    "multi_users_select": _MULTI_USERS_SELECT,
    "datepicker": _DATEPICKER,
    "checkboxes": _CHECKBOXES,
    "radio_buttons": _RADIO_BUTTONS,
}
_BUTTONS: dict[str, Shape] = {"button": _BUTTON, "overflow": _OVERFLOW}
_MULTI = frozenset({"multi_static_select", "multi_users_select"})

ACCESSORY = typed({**_BUTTONS, **_PICKERS, "image": IMAGE})
# Slack takes multi-selects in sections and inputs, not in actions.
ACTION_ELEMENT = typed(
    {**_BUTTONS, **{name: shape for name, shape in _PICKERS.items() if name not in _MULTI}}
)
INPUT_ELEMENT = typed(
    {**_PICKERS, "plain_text_input": _PLAIN_TEXT_INPUT, "number_input": _NUMBER_INPUT}
)
CONTEXT_ELEMENT = typed({"plain_text": _plain(1, 3000), "mrkdwn": _mrkdwn(1, 3000), "image": IMAGE})
INTERACTIVE = frozenset({*_BUTTONS, *_PICKERS, "plain_text_input", "number_input"})
