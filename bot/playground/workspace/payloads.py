"""The payloads that an app gets when people press, send and close things."""

from __future__ import annotations

from collections.abc import Mapping

from bot.playground.workspace.core import Core
from bot.playground.workspace.shapes import message_json
from bot.playground.workspace.state import Channel, Json, Message, User, without_none
from bot.playground.workspace.view_state import Values
from bot.playground.workspace.views import View


def block_actions_in_message(
    core: Core, user: User, channel: Channel, message: Message, action: Json, values: Values
) -> Json:
    """A press in a message."""
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.channel_id,
        "is_ephemeral": message.ephemeral_to is not None,
    }
    if message.thread_ts is not None:
        container["thread_ts"] = message.thread_ts
    secret = core.response_urls.issue(
        user.user_id, channel.channel_id, message.ts, message.thread_ts
    )
    payload = {
        **_by(core, "block_actions", user),
        "container": container,
        "trigger_id": core.triggers.issue(user.user_id),
        "channel": _place(channel),
        "state": {"values": values},
        "response_url": f"{core.base_url}/actions/{core.seed.team_id}/{secret}",
        "actions": [action],
    }
    if message.ephemeral_to is None:
        payload["message"] = message_json(core.seed, channel, message, metadata=True)
    return payload


def block_actions_in_view(core: Core, user: User, view: View, action: Json) -> Json:
    """A press in a modal or in the App Home."""
    return {
        **_by(core, "block_actions", user),
        "container": {"type": "view", "view_id": view.view_id},
        "trigger_id": core.triggers.issue(user.user_id, view.view_id),
        "view": core.views.payload(view),
        "actions": [action],
    }


def view_submission(core: Core, user: User, view: View) -> Json:
    return {
        **_by(core, "view_submission", user),
        "trigger_id": core.triggers.issue(user.user_id, view.view_id),
        "view": core.views.payload(view),
        "response_urls": [],
    }


def view_closed(core: Core, user: User, view: View, *, is_cleared: bool) -> Json:
    return {
        **_by(core, "view_closed", user),
        "view": core.views.payload(view),
        "is_cleared": is_cleared,
    }


def command_fields(
    core: Core, user: User, channel: Channel, command: str, text: str
) -> dict[str, str]:
    """The form of a slash command."""
    secret = core.response_urls.issue(user.user_id, channel.channel_id)
    return {
        "token": core.seed.verification_token,
        "team_id": user.team_id,
        "team_domain": core.seed.team_domain,
        "channel_id": channel.channel_id,
        "channel_name": str(_place(channel)["name"]),
        "user_id": user.user_id,
        "user_name": user.name,
        "command": command,
        "text": text,
        "api_app_id": core.seed.app_id,
        "is_enterprise_install": "false",
        "response_url": f"{core.base_url}/commands/{core.seed.team_id}/{secret}",
        "trigger_id": core.triggers.issue(user.user_id),
    }


def action_of(core: Core, block: Json, element: Json, chosen: Mapping[str, object]) -> Json:
    """One entry of `actions`: the element as it stands, and what was chosen."""
    told = {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "action_ts": core.state.next_ts(),
    }
    for name in ("text", "value", "style", "placeholder"):
        if name in element and (element["type"] == "button" or name == "placeholder"):
            told[name] = element[name]
    return without_none({**told, **chosen})


def _by(core: Core, kind: str, user: User) -> Json:
    return {
        "type": kind,
        "user": {
            "id": user.user_id,
            "username": user.name,
            "name": user.name,
            "team_id": user.team_id,
        },
        "api_app_id": core.seed.app_id,
        "token": core.seed.verification_token,
        "team": {"id": core.seed.team_id, "domain": core.seed.team_domain},
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _place(channel: Channel) -> Json:
    return {
        "id": channel.channel_id,
        "name": "privategroup" if channel.is_private else channel.name,
    }
