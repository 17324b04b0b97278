"""People and groups: what the app reads of them, and the events of their changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.seed import GRANTED_SCOPES
from bot.playground.workspace.state import NotKnown
from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import SEED, AppSide

MANIFEST = Path(__file__).parents[3] / "app_manifest.yml"


async def test_the_app_learns_who_it_is(workspace: Workspace, client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == (
        "T0MIMAWARI",
        "U0BOT",
        "B0MIMAWARI",
    )


async def test_a_persons_language_is_told_when_asked_for(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    assert "locale" not in (await client.users_info(user="U0SMITH"))["user"]
    user = (await client.users_info(user="U0SMITH", include_locale=True))["user"]
    assert (user["locale"], user["profile"]["display_name"]) == ("en-US", "Smith")


async def test_everybody_is_listed_page_by_page(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    seen: list[str] = []
    cursor = ""
    while True:
        answer = await client.users_list(limit=4, cursor=cursor)
        seen += [member["id"] for member in answer["members"]]
        cursor = answer["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert seen == [user.user_id for user in SEED.users]


async def test_guests_and_bots_and_the_deactivated_are_marked(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    workspace.deactivate("U0SUZUKI")
    members = {m["id"]: m for m in (await client.users_list())["members"]}
    assert members["U0GUEST"]["is_restricted"] is True
    assert members["U0SATO"]["is_restricted"] is False
    assert members["U0BOT"]["is_bot"] is True
    assert members["U0SUZUKI"]["deleted"] is True
    assert "is_restricted" not in members["U0SUZUKI"], "Slack tells little of the deactivated"


async def test_groups_are_listed_with_their_people(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    groups = {
        g["handle"]: g for g in (await client.usergroups_list(include_users=True))["usergroups"]
    }
    assert groups["cs-leads"]["users"] == ["U0TANAKA", "U0SMITH"]
    assert "users" not in (await client.usergroups_list())["usergroups"][0]
    answer = await client.usergroups_users_list(usergroup="S0AGENTS")
    assert answer["users"] == ["U0SATO", "U0SUZUKI"]


async def test_a_disabled_group_is_left_out(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    workspace.disable_group("cs-leads")
    handles = [g["handle"] for g in (await client.usergroups_list())["usergroups"]]
    assert "cs-leads" not in handles
    with pytest.raises(SlackApiError, match="subteam_disabled"):
        await client.usergroups_users_list(usergroup="S0LEADS")
    workspace.enable_group("cs-leads")
    await workspace.delivery.settle()
    dates = [event["subteam"]["date_delete"] for event in side.events("subteam_updated")]
    assert sorted(map(bool, dates)) == [False, True]


async def test_a_change_of_a_groups_people_is_told(workspace: Workspace, side: AppSide) -> None:
    workspace.add_to_group("cs-leads", "U0YAMADA")
    workspace.remove_from_group("S0LEADS", "U0SMITH")
    workspace.remove_from_group("S0LEADS", "U0SMITH")
    await workspace.delivery.settle()
    told = side.events("subteam_members_changed")
    assert sorted((e["added_users"], e["removed_users"]) for e in told) == [
        ([], ["U0SMITH"]),
        (["U0YAMADA"], []),
    ]
    assert {e["subteam_id"] for e in told} == {"S0LEADS"}
    assert workspace.state.usergroup("S0LEADS").users == ["U0TANAKA", "U0YAMADA"]


async def test_a_change_of_a_person_is_told(workspace: Workspace, side: AppSide) -> None:
    workspace.rename("U0SATO", "さとう")
    workspace.set_locale("U0SATO", "en")
    workspace.make_guest("U0SATO")
    workspace.deactivate("U0SATO")
    workspace.reactivate("U0SATO")
    await workspace.delivery.settle()
    told = [event["user"] for event in side.events("user_change")]
    assert {user["id"] for user in told} == {"U0SATO"}
    assert sorted(user["deleted"] for user in told) == [False, False, False, False, True]
    assert {user["profile"]["display_name"] for user in told} == {"さとう"}
    assert "en-US" in {user["locale"] for user in told}


def test_an_unknown_id_is_named(workspace: Workspace) -> None:
    with pytest.raises(NotKnown, match="no user group nobody"):
        workspace.add_to_group("nobody", "U0SATO")
    with pytest.raises(NotKnown, match="no user U404"):
        workspace.deactivate("U404")
    with pytest.raises(NotKnown, match="no channel C404"):
        workspace.archive("C404")


def test_the_workspace_installs_the_app_as_its_manifest_asks() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    assert frozenset(manifest["oauth_config"]["scopes"]["bot"]) == GRANTED_SCOPES
    declared = manifest["features"]["slash_commands"]
    assert [(c["command"], c["usage_hint"]) for c in declared] == [
        (c.command, c.usage_hint) for c in SEED.commands
    ]
    assert manifest["features"]["app_home"]["home_tab_enabled"] is SEED.home_tab_enabled
