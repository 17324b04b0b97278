"""What people do in a workspace, from the press to the app's answer and its consequences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.blocks import validate_message_blocks
from bot.playground.workspace.board import Draft
from bot.playground.workspace.core import Core
from bot.playground.workspace.delivery import Answer
from bot.playground.workspace.payloads import (
    action_of,
    block_actions_in_message,
    block_actions_in_view,
    command_fields,
    view_closed,
)
from bot.playground.workspace.state import Channel, Json, User, as_objects
from bot.playground.workspace.view_state import (
    NoSuchInput,
    fill,
    find_element,
    first_state,
    offered_option,
    value_of,
)
from bot.playground.workspace.views import View

KEPT_MESSAGE_VALUES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """How an act ended; `error` is what Slack's client would show, or that the page was out of date."""

    ok: bool
    status: int | None = None
    """The HTTP status of the app's answer; None: it was not asked or did not answer."""
    ms: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Acted):
    """How the sending of a modal ended."""

    response_action: str | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    """By block id, what stands under the inputs."""
    view: View | None = None
    """What the person sees afterwards; None: no modal is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted(Acted):
    ts: str = ""


def acted(answer: Answer) -> Acted:
    return Acted(ok=answer.ok, status=answer.status, ms=answer.ms, error=answer.error)


async def click(
    core: Core,
    user_id: str,
    channel_id: str,
    ts: str,
    action_id: str,
    *,
    block_id: str | None = None,
    chosen: object = None,
) -> Acted:
    """Press or choose something in a message; what it carries comes from the message, not from the page."""
    user, channel = core.state.user(user_id), core.state.channel(channel_id)
    message = core.state.visible(channel_id, ts, user_id)
    if message is None:
        return Acted(ok=False, error="message_not_found")
    try:
        block, element = find_element(message.blocks, action_id, block_id)
        told, values = _choice(
            message.blocks,
            core.message_values.get((channel_id, ts, user_id)),
            block,
            element,
            chosen,
        )
    except NoSuchInput as error:
        return Acted(ok=False, error=f"no_such_element: {error}")
    _remember(core, (channel_id, ts, user_id), values)
    action = action_of(core, block, element, told)
    payload = block_actions_in_message(core, user, channel, message, action, values)
    return acted(await core.delivery.interaction(payload))


async def view_click(
    core: Core,
    user_id: str,
    action_id: str,
    *,
    view_id: str | None = None,
    block_id: str | None = None,
    chosen: object = None,
    values: Mapping[str, object] | None = None,
) -> Acted:
    """Press or choose something in a modal; inputs are kept, and sent only where they dispatch."""
    user = core.state.user(user_id)
    view = open_view(core, user_id, view_id)
    if view is None:
        return Acted(ok=False, error="view_not_found")
    try:
        view.values = fill(view.blocks, view.values, values or {})
        block, element = find_element(view.blocks, action_id, block_id)
        told, view.values = _choice(view.blocks, view.values, block, element, chosen)
    except NoSuchInput as error:
        return Acted(ok=False, error=f"no_such_element: {error}")
    if block["type"] == "input" and not block.get("dispatch_action"):
        return Acted(ok=True)
    action = action_of(core, block, element, told)
    return acted(await core.delivery.interaction(block_actions_in_view(core, user, view, action)))


async def close_view(core: Core, user_id: str, view_id: str | None = None) -> Acted:
    """Close a modal; the app hears of it where it asked to."""
    user = core.state.user(user_id)
    view = open_view(core, user_id, view_id)
    if view is None:
        return Acted(ok=False, error="view_not_found")
    is_cleared = bool(view.fields.get("clear_on_close"))
    result = Acted(ok=True)
    for closed in reversed(core.views.close(view, all_views=is_cleared)):
        if closed.fields.get("notify_on_close"):
            payload = view_closed(core, user, closed, is_cleared=is_cleared)
            result = acted(await core.delivery.interaction(payload))
    return result


async def command(core: Core, user_id: str, channel_id: str, command: str, text: str) -> Acted:
    """Type a slash command; the app's answer becomes a message."""
    user, channel = core.state.user(user_id), core.state.channel(channel_id)
    if command not in {known.command for known in core.seed.commands}:
        return Acted(ok=False, error="unknown_command")
    answer = await core.delivery.command(command_fields(core, user, channel, command, text))
    if not answer.ok:
        return acted(answer)
    error = _show_answer(core, user, channel, answer.body)
    return Acted(ok=error is None, status=answer.status, ms=answer.ms, error=error)


def post(
    core: Core, user_id: str, channel_id: str, text: str, thread_ts: str | None = None
) -> Posted:
    """Write a message; like Slack's composer, & < > are escaped on the way."""
    user, channel = core.state.user(user_id), core.state.channel(channel_id)
    if channel.is_archived:
        return Posted(ok=False, error="is_archived")
    if user_id not in channel.members:
        return Posted(ok=False, error="not_in_channel")
    if not text.strip():
        return Posted(ok=False, error="no_text")
    if thread_ts is not None and core.state.visible(channel_id, thread_ts, None) is None:
        return Posted(ok=False, error="thread_not_found")
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    message = core.board.post(
        channel, Draft(text=escaped), user_id=user.user_id, thread_ts=thread_ts
    )
    channel.read_until[user_id] = message.ts
    return Posted(ok=True, ts=message.ts)


def open_view(core: Core, user_id: str, view_id: str | None) -> View | None:
    """The view that somebody sees, or one of theirs by its id."""
    if view_id is None:
        return core.views.top(user_id)
    view = core.views.find(view_id)
    return view if view is not None and view.user_id == user_id else None


def _choice(
    blocks: list[Json],
    before: dict[str, dict[str, Json]] | None,
    block: Json,
    element: Json,
    chosen: object,
) -> tuple[Json, dict[str, dict[str, Json]]]:
    """What the payload says of a choice, and the state after it."""
    values = first_state(blocks, before)
    if element["type"] == "button":
        return {}, values
    if element["type"] == "overflow":
        return {"selected_option": offered_option(element, chosen)}, values
    told = value_of(element, chosen)
    values[str(block["block_id"])][str(element["action_id"])] = told
    return told, values


def _remember(core: Core, key: tuple[str, str, str], values: dict[str, dict[str, Json]]) -> None:
    if values:
        core.message_values[key] = values
        while len(core.message_values) > KEPT_MESSAGE_VALUES:
            del core.message_values[next(iter(core.message_values))]


def _show_answer(core: Core, user: User, channel: Channel, body: str) -> str | None:
    """Post what a command answered; why Slack would not, if so."""
    if not body.strip():
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {"text": body}
    if not answer:
        return None
    try:
        draft = answered(answer)
    except ApiError as error:
        return error.code
    core.board.post(
        channel,
        draft,
        user_id=core.seed.bot_user_id,
        ephemeral_to=None if answer.get("response_type") == "in_channel" else user.user_id,
    )
    return None


def answered(answer: Mapping[str, object]) -> Draft:
    """The message that an answer to a command or over a response URL asks for.

    Raises:
        ApiError: Slack would not show it.
    """
    blocks = answer.get("blocks")
    text = str(answer.get("text") or "")
    if blocks is not None:
        problems = validate_message_blocks(blocks)
        if problems:
            raise ApiError("invalid_blocks", messages=problems)
    if not text and not blocks:
        raise ApiError("no_text")
    return Draft(text=text, blocks=tuple(as_objects(blocks)))
