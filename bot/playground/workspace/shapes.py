"""Slack's JSON for the things that a workspace holds, one function a thing."""

from __future__ import annotations

from bot.playground.workspace.seed import Seed
from bot.playground.workspace.state import Channel, File, Json, Message, User, Usergroup, ids_of


def message_json(seed: Seed, channel: Channel, message: Message, *, metadata: bool) -> Json:
    """A message as answers, events and payloads carry it."""
    shaped: Json = {
        "type": "message",
        "user": message.user,
        "ts": message.ts,
        "text": message.text,
        "team": seed.team_id,
    }
    if message.is_bot:
        shaped |= {"bot_id": seed.bot_id, "app_id": seed.app_id}
    if message.blocks:
        shaped["blocks"] = message.blocks
    if message.files:
        shaped |= {
            "subtype": "file_share",
            "upload": False,
            "files": [file_json(seed, file) for file in message.files],
        }
    if message.edited_ts is not None:
        shaped["edited"] = {"user": seed.bot_id, "ts": message.edited_ts}
    if message.metadata is not None and metadata:
        shaped["metadata"] = message.metadata
    replies = channel.replies_to(message.ts) if message.thread_ts is None else []
    if replies:
        shaped |= {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users_count": len(ids_of(replies)),
            "reply_users": ids_of(replies)[:5],
            "latest_reply": replies[-1].ts,
            "subscribed": False,
        }
    elif message.thread_ts is not None:
        parent = channel.messages.get(message.thread_ts)
        shaped |= {
            "thread_ts": message.thread_ts,
            "parent_user_id": parent.user if parent else seed.bot_user_id,
        }
    return shaped


def file_json(seed: Seed, file: File) -> Json:
    """A file as messages carry it; what it is says its name's end."""
    end = file.name.rpartition(".")[2].lower()
    return {
        "id": file.file_id,
        "created": int(file.made_at),
        "timestamp": int(file.made_at),
        "name": file.name,
        "title": file.title,
        "mimetype": f"image/{end}" if end == "png" else "application/octet-stream",
        "filetype": end,
        "user": seed.bot_user_id,
        "user_team": seed.team_id,
        "mode": "hosted",
        "size": file.length,
        "alt_txt": file.alt_text,
        "file_access": "visible",
    }


def channel_json(seed: Seed, channel: Channel) -> Json:
    return {
        "id": channel.channel_id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "is_member": seed.bot_user_id in channel.members,
        "created": channel.created,
        "creator": next(iter(seed.users)).user_id,
        "context_team_id": seed.team_id,
        "topic": {"value": channel.topic, "creator": "", "last_set": channel.created},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def user_json(user: User, *, locale: bool) -> Json:
    shaped: Json = {
        "id": user.user_id,
        "team_id": user.team_id,
        "name": user.name,
        "deleted": user.deleted,
        "profile": {
            "title": user.title,
            "real_name": user.real_name,
            "real_name_normalized": user.real_name,
            "display_name": user.display_name,
            "display_name_normalized": user.display_name,
            "team": user.team_id,
        },
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": user.updated,
    }
    if not user.deleted:
        # Slack leaves these out of deactivated people.
        shaped |= {
            "real_name": user.real_name,
            "color": user.color,
            "tz": "Asia/Tokyo",
            "tz_label": "Japan Standard Time",
            "tz_offset": 32400,
            "is_admin": False,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": user.is_restricted or user.is_ultra_restricted,
            "is_ultra_restricted": user.is_ultra_restricted,
            "who_can_share_contact_card": "EVERYONE",
        }
    if locale:
        shaped["locale"] = user.locale
    return shaped


def usergroup_json(seed: Seed, group: Usergroup, *, users: bool, count: bool) -> Json:
    shaped: Json = {
        "id": group.usergroup_id,
        "team_id": seed.team_id,
        "is_usergroup": True,
        "is_subteam": True,
        "name": group.name,
        "description": "",
        "handle": group.handle,
        "is_external": False,
        "date_create": 0,
        "date_update": group.updated,
        "date_delete": group.disabled_at,
        "auto_type": None,
        "created_by": next(iter(seed.users)).user_id,
        "updated_by": next(iter(seed.users)).user_id,
        "deleted_by": None,
        "prefs": {"channels": [], "groups": []},
    }
    if users:
        shaped["users"] = list(group.users)
    if count:
        shaped["user_count"] = len(group.users)
    return shaped
