"""What people have put into inputs: Slack's `state.values`, and what Slack's client checks before it sends."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from bot.playground.workspace.block_elements import options_of
from bot.playground.workspace.blocks import elements_of
from bot.playground.workspace.state import Json, as_object, as_objects

Values = dict[str, dict[str, Json]]

# By element type: the key of its value in the state, and the field that gives its first value.
_KEPT_IN = {
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "datepicker": ("selected_date", "initial_date"),
}
_LISTS = frozenset({"selected_options", "selected_users"})
_OPTION_VALUE_MISSING = "that is not one of the options"


class NoSuchInput(Exception):
    """What somebody wanted to fill in or press does not stand there."""


def with_ids(blocks: Sequence[Json]) -> list[Json]:
    """Blocks with the block and action ids that Slack adds where there are none."""
    filled = []
    for block in blocks:
        block = {**block, "block_id": block.get("block_id") or secrets.token_urlsafe(4)}
        for name in ("accessory", "element"):
            if isinstance(block.get(name), dict):
                block[name] = _with_action_id(as_object(block[name]))
        if block.get("type") == "actions":
            block["elements"] = [_with_action_id(e) for e in as_objects(block.get("elements"))]
        filled.append(block)
    return filled


def _with_action_id(element: Json) -> Json:
    if element.get("type") == "image":
        return element
    return {**element, "action_id": element.get("action_id") or secrets.token_urlsafe(4)}


def stateful(blocks: Sequence[Json]) -> Iterator[tuple[Json, Json]]:
    """Every block and element that holds a value."""
    for block in blocks:
        for _, element in elements_of(block):
            if element.get("type") in _KEPT_IN:
                yield block, dict(element)


def find_element(
    blocks: Sequence[Json], action_id: str, block_id: str | None = None
) -> tuple[Json, Json]:
    """The block and element that somebody presses. Raises NoSuchInput."""
    for block in blocks:
        if block_id in (None, block.get("block_id")):
            for _, element in elements_of(block):
                if element.get("action_id") == action_id:
                    return block, dict(element)
    raise NoSuchInput(f"no element {action_id} in block {block_id or '(any)'}")


def first_state(blocks: Sequence[Json], kept: Values | None = None) -> Values:
    """The state of freshly drawn blocks; what was typed stays where block and action id stay."""
    values: Values = {}
    for block, element in stateful(blocks):
        block_id, action_id = str(block["block_id"]), str(element["action_id"])
        key, initial = _KEPT_IN[str(element["type"])]
        old = (kept or {}).get(block_id, {}).get(action_id)
        if old is not None and old.get("type") == element["type"]:
            values.setdefault(block_id, {})[action_id] = old
        else:
            empty: object = [] if key in _LISTS else None
            values.setdefault(block_id, {})[action_id] = {
                "type": element["type"],
                key: element.get(initial, empty),
            }
    return values


def fill(blocks: Sequence[Json], values: Values, given: Mapping[str, object]) -> Values:
    """The state after somebody filled something in.

    `given` is Slack's own shape by block and action id, or for tests simply one plain value a block.
    Raises NoSuchInput where there is no such input or option.
    """
    filled = {block_id: dict(actions) for block_id, actions in values.items()}
    elements = {
        (str(block["block_id"]), str(element["action_id"])): element
        for block, element in stateful(blocks)
    }
    for block_id, entry in given.items():
        in_block = [key for key in elements if key[0] == block_id]
        if not in_block:
            raise NoSuchInput(f"no input {block_id}")
        actions = entry if isinstance(entry, Mapping) else {in_block[0][1]: entry}
        for action_id, value in actions.items():
            element = elements.get((block_id, str(action_id)))
            if element is None:
                raise NoSuchInput(f"no input {action_id} in block {block_id}")
            filled[block_id][str(action_id)] = value_of(element, value)
    return filled


def value_of(element: Mapping[str, object], value: object) -> Json:
    """One entry of the state; options are looked up, so that only offered ones come through."""
    kind = str(element["type"])
    key, _ = _KEPT_IN[kind]
    if isinstance(value, Mapping):
        value = value.get(key, value.get("value"))
    if key == "selected_options":
        chosen = value if isinstance(value, list | tuple | set | frozenset) else [value]
        kept: object = [offered_option(element, one) for one in chosen if one is not None]
    elif key == "selected_option":
        kept = None if value is None else offered_option(element, value)
    elif key == "selected_users":
        kept = [str(one) for one in value] if isinstance(value, list | tuple) else []
    else:
        kept = None if value in (None, "") else str(value)
    return {"type": kind, key: kept}


def offered_option(element: Mapping[str, object], chosen: object) -> Json:
    """The element's own option with this value. Raises NoSuchInput."""
    wanted = chosen.get("value") if isinstance(chosen, Mapping) else chosen
    for option in options_of(element):
        if option.get("value") == wanted:
            return dict(option)
    raise NoSuchInput(f"{wanted}: {_OPTION_VALUE_MISSING}")


def problems_before_sending(
    blocks: Sequence[Json], values: Values, locale: str = "en-US"
) -> dict[str, str]:
    """By block id, what Slack's client says instead of sending a form that is not filled in."""
    language = 0 if locale.startswith("ja") else 1
    problems: dict[str, str] = {}
    for block, element in stateful(blocks):
        if block.get("type") != "input":
            continue
        block_id = str(block["block_id"])
        key, _ = _KEPT_IN[str(element["type"])]
        value = values[block_id][str(element["action_id"])].get(key)
        if value in (None, "", []):
            if not block.get("optional"):
                problems[block_id] = _SAYS["required"][language]
            continue
        says, limit = _problem_of(element, value)
        if says is not None:
            problems[block_id] = _SAYS[says][language].format(limit=limit)
    return problems


# Slack's client speaks the language of whoever looks at it; these are its sentences, not the bot's.
_SAYS = {
    "required": ("この項目は必須です。", "Please complete this required field."),
    "too_short": ("{limit}文字以上で入力してください。", "Must be at least {limit} characters."),
    "too_long": ("{limit}文字以内で入力してください。", "Must be at most {limit} characters."),
    "no_number": ("有効な数値を入力してください。", "Please enter a valid number."),
    "too_small": ("{limit}以上の数値を入力してください。", "Must be {limit} or more."),
    "too_large": ("{limit}以下の数値を入力してください。", "Must be {limit} or less."),
}


def _problem_of(element: Mapping[str, object], value: object) -> tuple[str | None, object]:
    if element["type"] == "plain_text_input":
        low, high = element.get("min_length"), element.get("max_length") or 3000
        length = len(str(value))
        if isinstance(low, int) and length < low:
            return "too_short", low
        if isinstance(high, int) and length > high:
            return "too_long", high
    if element["type"] == "number_input":
        form = r"-?\d+(\.\d+)?" if element.get("is_decimal_allowed") else r"-?\d+"
        if not re.fullmatch(form, str(value)):
            return "no_number", None
        low, high = element.get("min_value"), element.get("max_value")
        if low is not None and Decimal(str(value)) < Decimal(str(low)):
            return "too_small", low
        if high is not None and Decimal(str(value)) > Decimal(str(high)):
            return "too_large", high
    return None, None
