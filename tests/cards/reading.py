"""Reads what a person sees in blocks and views."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bot.cards.case_card import CardMessage, case_card
from bot.domain.cases import CaseView
from bot.locale import Messages, messages_for
from tests.builders import NOW

TOKYO = ZoneInfo("Asia/Tokyo")
JA, EN = messages_for("ja"), messages_for("en")
WALL = NOW + timedelta(minutes=5)


def the_card(view: CaseView, messages: Messages = JA, now: datetime = NOW) -> CardMessage:
    return case_card(view, now=now, tz=TOKYO, messages=messages, wall=WALL)


def shown(blocks: list[dict[str, Any]]) -> Iterator[str]:
    """Every text that is read, block by block, but for what is pressed."""
    for block in blocks:
        match block["type"]:
            case "header" | "section":
                yield block["text"]["text"]
            case "context":
                yield from (element["text"] for element in block["elements"])
            case "table":
                for row in block["rows"]:
                    yield from (cell["text"] for cell in row)
            case "input":
                yield block["label"]["text"]
            case _:
                pass


def pressed(blocks: list[dict[str, Any]]) -> list[str]:
    """The words on the buttons, then those of the menu."""
    words = []
    for block in blocks:
        if block["type"] == "actions":
            for element in block["elements"]:
                if element["type"] == "overflow":
                    words += [option["text"]["text"] for option in element["options"]]
                else:
                    words.append(element["text"]["text"])
    return words


def buttons_of(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The buttons, without the menu."""
    return [
        element
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element["type"] == "button"
    ]


def menu_of(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        option
        for block in blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element["type"] == "overflow"
        for option in element["options"]
    ]


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a block or view, however deep."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)
