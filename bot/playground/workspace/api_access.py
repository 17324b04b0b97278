"""What the app may see and write to, as every method asks it."""

from __future__ import annotations

from bot.playground.workspace.api_args import Args
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.state import Channel, User


def visible_channel(core: Core, channel_id: str) -> Channel:
    """A channel that the app knows of: public, or private with the app in it."""
    channel = core.state.channels.get(channel_id)
    if channel is None or (channel.is_private and not is_member(core, channel)):
        raise ApiError("channel_not_found")
    return channel


def writable_channel(core: Core, id_or_name: str) -> Channel:
    """A channel that the app may post to, which Slack also finds by name."""
    by_name = {channel.name: channel.channel_id for channel in core.state.channels.values()}
    channel = visible_channel(core, by_name.get(id_or_name.removeprefix("#"), id_or_name))
    if channel.is_archived:
        raise ApiError("is_archived")
    if not is_member(core, channel):
        raise ApiError("not_in_channel")
    return channel


def readable_channel(core: Core, channel_id: str) -> Channel:
    """A channel whose messages the app may read."""
    channel = visible_channel(core, channel_id)
    need_scope(core, "groups:history" if channel.is_private else "channels:history")
    if not is_member(core, channel):
        raise ApiError("not_in_channel")
    return channel


def is_member(core: Core, channel: Channel) -> bool:
    return core.seed.bot_user_id in channel.members


def known_user(core: Core, args: Args) -> User:
    user = core.state.users.get(args.required("user"))
    if user is None:
        raise ApiError("user_not_found")
    return user


def need_scope(core: Core, *scopes: str) -> None:
    """Raises `missing_scope` unless one of them was granted."""
    if scopes and not core.scopes.intersection(scopes):
        raise ApiError("missing_scope", needed=scopes[0])
