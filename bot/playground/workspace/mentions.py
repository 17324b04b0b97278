"""Which mentions and links Slack would make active in a message, so that tests can say: none from users."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bot.playground.workspace.state import Json

# Bare and labelled: <!channel>, <!here|here>, <!subteam^S1|@leads>, <@U1|sato>, <#C1>.
_MENTION = re.compile(
    r"<(?P<what>(?:!(?:channel|here|everyone|subteam\^\w+))|[@#]\w+)(?:\|[^<>]*)?>"
)
_LINK = re.compile(r"<(?P<url>(?:https?|mailto|tel|slack)[:/][^<>|]*)(?:\|[^<>]*)?>")
_PARSED = re.compile(r"@(?P<what>channel|here|everyone)\b")


def active_in(text: str, blocks: Sequence[Json], *, parse_full: bool = False) -> tuple[str, ...]:
    """Every mention that would ping or point at somebody, written as in mrkdwn."""
    found = []
    for markup in _markups(text, blocks):
        found += [f"<{match['what']}>" for match in _MENTION.finditer(markup)]
        if parse_full:
            found += [f"<!{match['what']}>" for match in _PARSED.finditer(markup)]
    for element in _rich_elements(blocks):
        match element.get("type"):
            case "user":
                found.append(f"<@{element.get('user_id')}>")
            case "usergroup":
                found.append(f"<!subteam^{element.get('usergroup_id')}>")
            case "channel":
                found.append(f"<#{element.get('channel_id')}>")
            case "broadcast":
                found.append(f"<!{element.get('range')}>")
            case _:
                pass
    return tuple(found)


def links_in(text: str, blocks: Sequence[Json]) -> tuple[str, ...]:
    """Every address that somebody could press, except those of buttons."""
    found = [match["url"] for markup in _markups(text, blocks) for match in _LINK.finditer(markup)]
    found += [
        str(element.get("url"))
        for element in _rich_elements(blocks)
        if element.get("type") == "link"
    ]
    return tuple(found)


def _markups(text: str, blocks: Sequence[Json]) -> Iterator[str]:
    """Every string in which Slack looks for markup."""
    yield text
    for node in _objects(blocks):
        if node.get("type") in ("mrkdwn", "markdown") and isinstance(node.get("text"), str):
            yield str(node["text"])


def _rich_elements(blocks: Sequence[Json]) -> Iterator[Json]:
    for node in _objects(blocks):
        if str(node.get("type")).startswith("rich_text_"):
            elements = node.get("elements")
            for element in elements if isinstance(elements, list) else []:
                if isinstance(element, dict):
                    yield element


def _objects(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _objects(inner)
