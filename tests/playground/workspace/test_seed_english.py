"""The workspace of a team that works in English."""

from __future__ import annotations

from bot.playground.workspace.seed import demo_seed
from bot.playground.workspace.seed_english import in_english

ENGLISH = in_english(demo_seed(market_url="http://127.0.0.1:1"), team_name="Harbour Lane")


def test_nothing_that_people_read_is_japanese() -> None:
    texts = [ENGLISH.team_name, *(command.description for command in ENGLISH.commands)]
    for user in ENGLISH.users:
        texts += [user.name, user.display_name, user.real_name, user.title]
    texts += [group.name for group in ENGLISH.usergroups]
    texts += [channel.topic for channel in ENGLISH.channels]

    assert not [text for text in texts if any("぀" <= sign <= "鿿" for sign in text)]
    assert {user.locale for user in ENGLISH.users} == {"en-US"}


def test_ids_roles_and_channels_are_those_of_the_other_workspace() -> None:
    japanese = demo_seed(market_url="http://127.0.0.1:1")

    assert [user.user_id for user in ENGLISH.users] == [user.user_id for user in japanese.users]
    assert [(g.handle, g.users) for g in ENGLISH.usergroups] == [
        (g.handle, g.users) for g in japanese.usergroups
    ]
    assert [(c.channel_id, c.name) for c in ENGLISH.channels] == [
        (c.channel_id, c.name) for c in japanese.channels
    ]
    assert (ENGLISH.team_name, ENGLISH.team_domain) == ("Harbour Lane", "harbour-lane")
