"""The demo's workspace once more, for a team that works in English."""

from __future__ import annotations

from dataclasses import replace

from bot.playground.workspace.seed import Seed, SeedUser

_PEOPLE = {
    "U0SATO": ("sara", "Sara", "Sara Toft", "Customer support"),
    "U0SUZUKI": ("suzanne", "Suzanne", "Suzanne Kivi", "Customer support"),
    "U0TANAKA": ("tanja", "Tanja", "Tanja Nakkila", "Support lead (approver)"),
    "U0SMITH": ("alex", "Alex", "Alex Smith", "Support lead (approver)"),
    "U0ITO": ("ivo", "Ivo", "Ivo Torres", "CRE engineer"),
    "U0WATANABE": ("walter", "Walter", "Walter Nabé", "Accounting"),
    "U0YAMADA": ("yann", "Yann", "Yann Madec", "Press (no rights)"),
    "U0GUEST": ("guest", "Guest", "Outside guest", "Guest"),
}
_GROUPS = {
    "S0AGENTS": "Support",
    "S0LEADS": "Support leads",
    "S0ENGINEERS": "Engineers",
    "S0ACCOUNTING": "Accounting",
    "S0ADMINS": "Administrators",
    "S0ONCALL": "On call",
}
_TOPICS = {
    "C0ALERTS": "Suspected orders and accounts",
    "C0DIGEST": "Daily summary",
    "C0GENERAL": "Everybody",
}


def in_english(seed: Seed, *, team_name: str) -> Seed:
    """The same ids, roles and channels with English names; everybody's Slack is in English."""
    return replace(
        seed,
        team_name=team_name,
        team_domain=team_name.lower().replace(" ", "-"),
        users=tuple(_rename(user) for user in seed.users),
        usergroups=tuple(
            replace(group, name=_GROUPS.get(group.usergroup_id, group.name))
            for group in seed.usergroups
        ),
        channels=tuple(
            replace(channel, topic=_TOPICS.get(channel.channel_id, channel.topic))
            for channel in seed.channels
        ),
        commands=tuple(
            replace(command, description="Look at cases and act on them")
            for command in seed.commands
        ),
    )


def _rename(user: SeedUser) -> SeedUser:
    if user.user_id not in _PEOPLE:
        return replace(user, locale="en-US")
    name, display_name, real_name, title = _PEOPLE[user.user_id]
    return replace(
        user,
        name=name,
        display_name=display_name,
        real_name=real_name,
        title=title,
        locale="en-US",
    )
