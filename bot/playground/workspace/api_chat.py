"""The chat.* methods."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bot.playground.workspace.api_access import visible_channel, writable_channel
from bot.playground.workspace.api_args import Args
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.blocks import MARKDOWN_CHARS, validate_message_blocks
from bot.playground.workspace.board import Draft
from bot.playground.workspace.core import Core
from bot.playground.workspace.rate_limits import Tier
from bot.playground.workspace.shapes import message_json
from bot.playground.workspace.state import Json, as_objects

MAX_UPDATE_TEXT = 4_000
MAX_ATTACHMENTS = 100
# Slack publishes no number; its own forum names 16 kB as too much.
MAX_METADATA_BYTES = 16_000
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_TS = re.compile(r"\d{1,12}\.\d{6}")


def post_message(core: Core, args: Args) -> Json:
    channel = writable_channel(core, args.required("channel"))
    core.limits.take(Tier.CHANNEL, "chat.postMessage", channel.channel_id)
    draft = draft_of(args)
    message = core.board.post(
        channel,
        draft,
        user_id=core.seed.bot_user_id,
        thread_ts=thread_of(core, args, channel.channel_id),
    )
    return {
        "channel": channel.channel_id,
        "ts": message.ts,
        "message": message_json(core.seed, channel, message, metadata=True),
    }


def post_ephemeral(core: Core, args: Args) -> Json:
    channel = writable_channel(core, args.required("channel"))
    user_id = args.required("user")
    user = core.state.users.get(user_id)
    if user is None or user.deleted or user_id not in channel.members:
        raise ApiError("user_not_in_channel")
    message = core.board.post(
        channel,
        draft_of(args),
        user_id=core.seed.bot_user_id,
        thread_ts=thread_of(core, args, channel.channel_id),
        ephemeral_to=user_id,
    )
    return {"message_ts": message.ts}


def update(core: Core, args: Args) -> Json:
    channel = visible_channel(core, args.required("channel"))
    ts = args.required("ts")
    if channel.is_archived:
        raise ApiError("is_inactive")
    message = core.state.visible(channel.channel_id, ts, None)
    if message is None:
        raise ApiError("message_not_found")
    if message.user != core.seed.bot_user_id:
        raise ApiError("cant_update_message")
    if len(args.text("text") or "") > MAX_UPDATE_TEXT:
        raise ApiError("msg_too_long")
    core.board.update(channel, message, draft_of(args))
    return {
        "channel": channel.channel_id,
        "ts": ts,
        "text": message.text,
        "message": message_json(core.seed, channel, message, metadata=True),
    }


def get_permalink(core: Core, args: Args) -> Json:
    channel = visible_channel(core, args.required("channel"))
    ts = args.required("message_ts")
    if core.state.visible(channel.channel_id, ts, None) is None:
        raise ApiError("message_not_found")
    path = f"archives/{channel.channel_id}/p{ts.replace('.', '')}"
    return {"channel": channel.channel_id, "permalink": f"{core.base_url}/{path}"}


def draft_of(args: Args) -> Draft:
    """What a call wants to say.

    Raises:
        ApiError: Slack would not take it.
    """
    blocks = args.document("blocks", "invalid_blocks_format")
    attachments = args.document("attachments", "invalid_attachments")
    text, markdown = args.text("text") or "", args.text("markdown_text")
    if markdown is not None:
        if text or blocks:
            raise ApiError("markdown_text_conflict")
        if len(markdown) > MARKDOWN_CHARS:
            raise ApiError("msg_too_long")
        blocks = [{"type": "markdown", "text": markdown}] if markdown else []
    if blocks is not None:
        if not isinstance(blocks, list):
            raise ApiError("invalid_blocks_format")
        problems = validate_message_blocks(blocks)
        if problems:
            raise ApiError("invalid_blocks", messages=problems)
    if attachments:
        # The page does not draw them, and the bot sends none: better refused than lost.
        raise ApiError("invalid_attachments", messages=["[ERROR] not drawn by this workspace"])
    if not text and not blocks:
        raise ApiError("no_text")
    return Draft(
        text=text,
        blocks=tuple(as_objects(blocks)),
        metadata=_metadata_of(args),
        parse_full=args.text("parse") == "full",
    )


def _metadata_of(args: Args) -> Json | None:
    metadata = args.document("metadata", "invalid_metadata_format")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise ApiError("invalid_metadata_format")
    if not metadata:
        return {}
    event_type, payload = metadata.get("event_type"), metadata.get("event_payload")
    if (
        set(metadata) != {"event_type", "event_payload"}
        or not isinstance(event_type, str)
        or not _EVENT_TYPE.fullmatch(event_type)
        or not isinstance(payload, Mapping)
    ):
        raise ApiError("invalid_metadata_schema")
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise ApiError("metadata_too_large")
    return metadata


def thread_of(core: Core, args: Args, channel_id: str) -> str | None:
    """The message in whose thread a call posts. Raises ApiError where there is none."""
    ts = args.text("thread_ts")
    if not ts:
        return None
    parent = core.state.visible(channel_id, ts, None)
    if not _TS.fullmatch(ts) or parent is None:
        raise ApiError("thread_not_found")
    if parent.thread_ts is not None:
        raise ApiError("cannot_reply_to_message")
    return ts
