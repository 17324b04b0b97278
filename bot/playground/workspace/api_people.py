"""The users.*, usergroups.*, auth.* and apps.* methods."""

from __future__ import annotations

from bot.playground.workspace.api_access import known_user
from bot.playground.workspace.api_args import Args
from bot.playground.workspace.api_conversations import read_cursor, write_cursor
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.shapes import user_json, usergroup_json
from bot.playground.workspace.socket_mode import link_path
from bot.playground.workspace.state import Json

MAX_USERS_PAGE = 1000


def auth_test(core: Core, args: Args) -> Json:  # noqa: ARG001 - every method has this shape
    bot = core.state.user(core.seed.bot_user_id)
    return {
        "url": f"{core.base_url}/",
        "team": core.seed.team_name,
        "user": bot.name,
        "team_id": core.seed.team_id,
        "user_id": bot.user_id,
        "bot_id": core.seed.bot_id,
        "is_enterprise_install": False,
    }


def open_connection(core: Core, args: Args) -> Json:  # noqa: ARG001 - see above
    path = link_path(core.socket.ticket(), core.seed.app_id)
    return {"url": core.base_url.replace("http", "ws", 1) + path}


def user_info(core: Core, args: Args) -> Json:
    return {"user": user_json(known_user(core, args), locale=args.flag("include_locale"))}


def user_list(core: Core, args: Args) -> Json:
    limit, start = args.limit(MAX_USERS_PAGE, MAX_USERS_PAGE), read_cursor(args)
    everybody = list(core.state.users.values())
    has_more = len(everybody) > start + limit
    return {
        "members": [
            user_json(user, locale=args.flag("include_locale"))
            for user in everybody[start : start + limit]
        ],
        "cache_ts": int(core.state.now()),
        "response_metadata": {"next_cursor": write_cursor(start + limit) if has_more else ""},
    }


def usergroup_list(core: Core, args: Args) -> Json:
    return {
        "usergroups": [
            usergroup_json(
                core.seed,
                group,
                users=args.flag("include_users"),
                count=args.flag("include_count"),
            )
            for group in core.state.usergroups.values()
            if not group.disabled_at or args.flag("include_disabled")
        ]
    }


def usergroup_users(core: Core, args: Args) -> Json:
    group = core.state.usergroups.get(args.required("usergroup"))
    if group is None:
        raise ApiError("no_such_subteam")
    if group.disabled_at and not args.flag("include_disabled"):
        raise ApiError("subteam_disabled")
    return {"users": list(group.users)}
