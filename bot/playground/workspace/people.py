"""Changes of people, groups and channels at run time, with the events that Slack sends of them."""

from __future__ import annotations

from bot.playground.workspace.core import Core
from bot.playground.workspace.shapes import user_json, usergroup_json
from bot.playground.workspace.state import User, Usergroup

LOCALES = {"ja": "ja-JP", "en": "en-US"}


def change_members(core: Core, group: Usergroup, users: list[str]) -> None:
    """Set who is in a group."""
    added = [user_id for user_id in users if user_id not in group.users]
    removed = [user_id for user_id in group.users if user_id not in users]
    if not added and not removed:
        return
    before, group.updated, group.users = group.updated, int(core.state.now()), users
    core.stream.tell("state", {})
    core.delivery.event(
        {
            "type": "subteam_members_changed",
            "subteam_id": group.usergroup_id,
            "team_id": core.seed.team_id,
            "date_previous_update": before,
            "date_update": group.updated,
            "added_users": added,
            "added_users_count": len(added),
            "removed_users": removed,
            "removed_users_count": len(removed),
            "event_ts": core.state.next_ts(),
        }
    )


def set_disabled(core: Core, group: Usergroup, *, disabled: bool) -> None:
    """Take a group out of use, or back into it."""
    group.updated = int(core.state.now())
    group.disabled_at = group.updated if disabled else 0
    core.stream.tell("state", {})
    core.delivery.event(
        {
            "type": "subteam_updated",
            "subteam": usergroup_json(core.seed, group, users=True, count=True),
            "event_ts": core.state.next_ts(),
        }
    )


def tell_change(core: Core, user: User) -> None:
    """Say that somebody's profile, state or language has changed."""
    user.updated = int(core.state.now())
    core.stream.tell("state", {})
    core.delivery.event(
        {
            "type": "user_change",
            "user": user_json(user, locale=True),
            "cache_ts": user.updated,
            "event_ts": core.state.next_ts(),
        }
    )
