"""What the page is told of the workspace, as one person sees it."""

from __future__ import annotations

from bot.playground.workspace.state import Channel, Json, Message, User
from bot.playground.workspace.workspace import Workspace


def state_shape(workspace: Workspace, me: User) -> Json:
    """Everything but messages."""
    return {
        "team": {"id": workspace.seed.team_id, "name": workspace.seed.team_name},
        "me": user_shape(workspace, me),
        "users": [user_shape(workspace, user) for user in workspace.state.users.values()],
        "usergroups": [
            {
                "id": group.usergroup_id,
                "handle": group.handle,
                "name": group.name,
                "users": list(group.users),
            }
            for group in workspace.state.usergroups.values()
            if not group.disabled_at
        ],
        "channels": [
            channel_shape(workspace, channel, me)
            for channel in workspace.state.channels.values()
            if not channel.is_private or me.user_id in channel.members
        ],
        "commands": [
            {
                "command": known.command,
                "description": known.description,
                "usage_hint": known.usage_hint,
            }
            for known in workspace.seed.commands
        ],
        "links": [
            {"label_ja": link.label_ja, "label_en": link.label_en, "url": link.url}
            for link in workspace.seed.links
        ],
        "channel_locale": workspace.channel_locale,
        "now": workspace.state.now(),
    }


def user_shape(workspace: Workspace, user: User) -> Json:
    return {
        "id": user.user_id,
        "name": user.display_name,
        "real_name": user.real_name,
        "title": user.title,
        "locale": user.locale,
        "is_restricted": user.is_restricted or user.is_ultra_restricted,
        "deleted": user.deleted,
        "is_bot": user.is_bot,
        "groups": [
            group.handle
            for group in workspace.state.usergroups.values()
            if user.user_id in group.users and not group.disabled_at
        ],
        "color": user.color,
    }


def channel_shape(workspace: Workspace, channel: Channel, me: User) -> Json:
    seen = workspace.messages(channel.channel_id)
    read_until = channel.read_until.get(me.user_id, "")
    return {
        "id": channel.channel_id,
        "name": channel.name,
        "topic": channel.topic,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_member": me.user_id in channel.members,
        "unread": sum(1 for m in seen if m.ts > read_until and m.user != me.user_id),
        "latest_ts": seen[-1].ts if seen else None,
    }


def message_shape(workspace: Workspace, channel: Channel, message: Message) -> Json:
    author = workspace.state.users.get(message.user)
    replies = channel.replies_to(message.ts) if message.thread_ts is None else []
    return {
        "ts": message.ts,
        "user": message.user,
        "username": author.display_name if author else message.user,
        "is_bot": message.is_bot,
        "text": message.text,
        "blocks": message.blocks,
        "thread_ts": message.thread_ts,
        "reply_count": len(replies),
        "latest_reply": replies[-1].ts if replies else None,
        "edited": message.edited_ts is not None,
        "ephemeral": message.ephemeral_to is not None,
        "metadata": message.metadata,
        "files": [
            {
                "url": f"/files/{file.file_id}",
                "title": file.title,
                "alt": file.alt_text or file.title,
                "is_image": file.name.lower().endswith(".png"),
            }
            for file in message.files
        ],
    }
