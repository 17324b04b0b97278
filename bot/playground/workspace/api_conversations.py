"""The conversations.* methods."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from bot.playground.workspace.api_access import need_scope, readable_channel, visible_channel
from bot.playground.workspace.api_args import Args
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.shapes import channel_json, message_json
from bot.playground.workspace.state import Channel, Json, Message

MAX_PAGE = 999


def info(core: Core, args: Args) -> Json:
    channel = visible_channel(core, args.required("channel"))
    need_scope(core, "groups:read" if channel.is_private else "channels:read")
    shaped = channel_json(core.seed, channel)
    if args.flag("include_num_members"):
        shaped["num_members"] = len(channel.members)
    return {"channel": shaped}


def history(core: Core, args: Args) -> Json:
    """Newest first, replies left out."""
    channel = readable_channel(core, args.required("channel"))
    found = [m for m in channel.messages.values() if m.thread_ts is None and m.ephemeral_to is None]
    page = _page(core, args, channel, list(reversed(_within(args, found))), default=100)
    return {**page, "pin_count": 0, "channel_actions_ts": None, "channel_actions_count": 0}


def replies(core: Core, args: Args) -> Json:
    """The message itself, then its replies, oldest first."""
    channel = readable_channel(core, args.required("channel"))
    ts = args.required("ts")
    parent = core.state.visible(channel.channel_id, ts, None)
    if parent is None:
        raise ApiError("thread_not_found")
    if parent.thread_ts is not None:
        return _page(core, args, channel, [parent], default=MAX_PAGE)
    found = [parent, *_within(args, channel.replies_to(ts))]
    return _page(core, args, channel, found, default=MAX_PAGE)


def _within(args: Args, messages: Sequence[Message]) -> list[Message]:
    oldest, latest = args.text("oldest") or "0", args.text("latest") or "9999999999.999999"
    for name, value in (("oldest", oldest), ("latest", latest)):
        try:
            float(value)
        except ValueError:
            raise ApiError(f"invalid_ts_{name}") from None
    inclusive = args.flag("inclusive")
    return [
        m
        for m in messages
        if float(oldest) < float(m.ts) < float(latest)
        or (inclusive and float(m.ts) in (float(oldest), float(latest)))
    ]


def _page(
    core: Core, args: Args, channel: Channel, messages: list[Message], *, default: int
) -> Json:
    limit = args.limit(default, MAX_PAGE)
    start = read_cursor(args)
    with_metadata = args.flag("include_all_metadata")
    shown = messages[start : start + limit]
    has_more = len(messages) > start + limit
    page: Json = {
        "messages": [message_json(core.seed, channel, m, metadata=with_metadata) for m in shown],
        "has_more": has_more,
    }
    if has_more:
        page["response_metadata"] = {"next_cursor": write_cursor(start + limit)}
    return page


def write_cursor(start: int) -> str:
    return base64.b64encode(f"next:{start}".encode()).decode()


def read_cursor(args: Args) -> int:
    """Where a page starts. Raises `invalid_cursor`."""
    cursor = args.text("cursor")
    if not cursor:
        return 0
    try:
        word, _, start = base64.b64decode(cursor, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        raise ApiError("invalid_cursor") from None
    if word != "next" or not re.fullmatch(r"\d{1,9}", start):
        raise ApiError("invalid_cursor")
    return int(start)
