"""Who has which role: refreshed whole or not at all, and nothing weaker in its place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import text

from bot.cases.deciding import Decided, decide
from bot.cases.room import Room
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Role
from bot.jobs.sync_people import sync_people
from bot.ledger import people
from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.seed import demo_seed
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from tests.cases.conftest import room
from tests.cases.stage import an_open_case, cancel_choice, hold_choice, press_of

__all__ = ["room"]

AGENT, LEAD, OUTSIDER = "U0SATO", "U0TANAKA", "U0YAMADA"


@pytest.fixture
async def workspace() -> AsyncIterator[tuple[Workspace, AsyncWebClient]]:
    """The strict local workspace, and a client of it."""
    made = Workspace(demo_seed(), request_url="http://127.0.0.1:9/nobody", rate_scale=100)
    async with serve_workspace(made, "127.0.0.1", 0) as url:
        yield made, AsyncWebClient(token="xoxb-demo-token", base_url=f"{url}/api/", timeout=2)


async def roles_of(room: Room, user_id: str) -> set[Role]:
    async with room.engine.connect() as conn:
        found = await people.read_person(conn, user_id)
    return set(found[0].roles) if found else set()


async def pass_minutes(room: Room, minutes: float) -> None:
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET synced_at = synced_at - make_interval(secs => :s)"),
            {"s": minutes * 60},
        )


def refused(answer: object) -> RefusalCode:
    assert isinstance(answer, Refusal)
    return answer.code


async def test_an_emptied_group_gives_nobody_its_role(
    room: Room, workspace: tuple[Workspace, AsyncWebClient]
) -> None:
    slack, client = workspace
    assert await sync_people(room, client)
    assert Role.APPROVER in await roles_of(room, LEAD)
    for user in ("U0TANAKA", "U0SMITH"):
        slack.remove_from_group("cs-leads", user)
    assert await sync_people(room, client)
    assert Role.APPROVER not in await roles_of(room, LEAD)
    view = await an_open_case(room)
    answer = await decide(room, press_of(view, LEAD), cancel_choice("O-1"))
    assert refused(answer) is RefusalCode.NO_ROLE


async def test_a_group_that_is_gone_gives_nobody_its_role(
    room: Room, workspace: tuple[Workspace, AsyncWebClient]
) -> None:
    slack, client = workspace
    assert await sync_people(room, client)
    slack.disable_group("cs-agents")
    assert await sync_people(room, client)
    assert await roles_of(room, AGENT) == set()
    view = await an_open_case(room)
    assert refused(await decide(room, press_of(view, AGENT), hold_choice("O-1"))) is (
        RefusalCode.NO_ROLE
    )
    # It comes back as it was, and so does the right.
    slack.enable_group("cs-agents")
    assert await sync_people(room, client)
    assert isinstance(await decide(room, press_of(view, AGENT), hold_choice("O-1")), Decided)


@pytest.mark.parametrize("method", ["users.list", "usergroups.list", "usergroups.users.list"])
@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.REFUSED, FaultKind.RATELIMITED])
async def test_while_slack_errs_the_old_roles_age_and_then_no_money_moves(
    room: Room, workspace: tuple[Workspace, AsyncWebClient], method: str, kind: FaultKind
) -> None:
    slack, client = workspace
    assert await sync_people(room, client)
    slack.remove_from_group("cs-agents", AGENT)
    slack.add_to_group("cs-leads", OUTSIDER)
    slack.fail(method, kind)
    await pass_minutes(room, 4)
    assert not await sync_people(room, client)
    # Neither half of a sync is taken over: nobody gains a role by an error, and the old one lasts its time.
    assert await roles_of(room, AGENT) == {Role.AGENT}
    assert await roles_of(room, OUTSIDER) == set()
    view = await an_open_case(room)
    held = await decide(room, press_of(view, AGENT), hold_choice("O-1"))
    assert isinstance(held, Decided)
    await pass_minutes(room, 1.1)
    assert not await sync_people(room, client)
    other = await an_open_case(room, "O-2")
    answer = await decide(room, press_of(other, AGENT), hold_choice("O-2"))
    assert refused(answer) is RefusalCode.ROLES_TOO_OLD
    slack.faults.clear()
    assert await sync_people(room, client)
    answer = await decide(room, press_of(other, AGENT), hold_choice("O-2"))
    assert refused(answer) is RefusalCode.NO_ROLE


async def test_a_new_approver_counts_after_a_day_and_is_told_from_when(
    room: Room, workspace: tuple[Workspace, AsyncWebClient]
) -> None:
    slack, client = workspace
    room = replace(room, security_channel="C0SECURITY")
    assert await sync_people(room, client)
    slack.add_to_group("cs-leads", AGENT)
    assert await sync_people(room, client)
    assert await roles_of(room, AGENT) == {Role.AGENT}
    view = await an_open_case(room)
    asked = await decide(room, press_of(view, AGENT), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    # As an approver one press would do below the limit; as a new one it waits for another person.
    assert asked.awaiting_approval
    async with room.engine.connect() as conn:
        told = (
            await conn.execute(
                text(
                    "SELECT story ->> 'person', story ->> 'role' FROM ledger.posts"
                    " WHERE channel = 'C0SECURITY'"
                )
            )
        ).all()
    assert [tuple(row) for row in told] == [(AGENT, "approver")]
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.role_spans SET since = since - interval '24 hours',
                          effective_at = effective_at - interval '24 hours'"""
            )
        )
    assert await sync_people(room, client)
    assert await roles_of(room, AGENT) == {Role.AGENT, Role.APPROVER}


async def test_guests_bots_and_people_who_left_have_no_role_whatever_group_they_are_in(
    room: Room, workspace: tuple[Workspace, AsyncWebClient]
) -> None:
    slack, client = workspace
    slack.add_to_group("cs-leads", "U0GUEST")
    slack.deactivate(LEAD)
    assert await sync_people(room, client)
    assert await roles_of(room, "U0GUEST") == set()
    assert await roles_of(room, LEAD) == set()
