from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.cases.approving import approve
from bot.cases.deciding import Decided, decide
from bot.cases.delegating import Wish, delegate, delegations_now, end_delegation, find_by_name
from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Delegation, Person, Role
from bot.ledger import people
from tests.cases.conftest import TEAM
from tests.cases.stage import an_open_case, cancel_choice, press_of, reread

AGENT, AGENT_2, LEAD, LEAD_2, ENGINEER, OUTSIDER = (
    "U0SATO",
    "U0SUZUKI",
    "U0TANAKA",
    "U0SMITH",
    "U0ITO",
    "U0YAMADA",
)


def today(room: Room) -> date:
    return datetime.now(UTC).astimezone(room.zone).date()


async def lend(room: Room, by: str, to: str, *, for_: str | None = None) -> Delegation | Refusal:
    day = today(room)
    return await delegate(room, by, Wish(from_user=for_ or by, to_user=to, first=day, last=day))


async def a_request(room: Room, by: str = AGENT, order: str = "O-1") -> tuple[CaseView, str]:
    view = await an_open_case(room, order)
    asked = await decide(room, press_of(view, by), cancel_choice(order))
    assert isinstance(asked, Decided)
    assert asked.decision_id is not None
    return await reread(room, view), asked.decision_id


def refused(answer: object, code: RefusalCode) -> Refusal:
    assert isinstance(answer, Refusal)
    assert answer.code is code
    return answer


async def test_a_stand_in_approves_with_what_was_lent(room: Room) -> None:
    view, decision_id = await a_request(room)
    refused(await approve(room, press_of(view, AGENT_2), decision_id), RefusalCode.NO_ROLE)
    assert isinstance(await lend(room, LEAD, AGENT_2), Delegation)
    assert isinstance(await approve(room, press_of(view, AGENT_2), decision_id), Decided)
    after = await reread(room, view)
    assert after.state is CaseState.EXECUTING
    assert after.decision is not None
    (approval,) = after.decision.approvals
    assert (approval.user_id, approval.on_behalf_of) == (AGENT_2, LEAD)
    assert approval.roles == ("approver",)


async def test_a_stand_in_approves_neither_their_own_request_nor_the_lenders(room: Room) -> None:
    assert isinstance(await lend(room, LEAD, AGENT_2), Delegation)
    view, decision_id = await a_request(room, by=AGENT_2)
    refused(await approve(room, press_of(view, AGENT_2), decision_id), RefusalCode.OWN_REQUEST)
    dear = await an_open_case(room, "O-2", amount=60_000)
    asked = await decide(room, press_of(dear, LEAD), cancel_choice("O-2"))
    assert isinstance(asked, Decided)
    refused(
        await approve(room, press_of(await reread(room, dear), AGENT_2), asked.decision_id or ""),
        RefusalCode.NO_ROLE,
    )


async def test_the_database_too_refuses_an_approval_in_the_requesters_place(room: Room) -> None:
    dear = await an_open_case(room, "O-2", amount=60_000)
    asked = await decide(room, press_of(dear, LEAD), cancel_choice("O-2"))
    assert isinstance(asked, Decided)
    with pytest.raises(DBAPIError, match="own request"):
        async with room.engine.begin() as conn:
            await conn.execute(
                text(
                    "INSERT INTO ledger.approvals (decision_id, user_id, params_hash, on_behalf_of)"
                    " VALUES (:id, 'U0SUZUKI', '', 'U0TANAKA')"
                ),
                {"id": asked.decision_id},
            )


async def test_what_was_lent_ends_with_its_day_with_its_lenders_role_and_with_their_return(
    room: Room,
) -> None:
    view, decision_id = await a_request(room)
    press = press_of(view, AGENT_2)
    assert isinstance(await lend(room, LEAD, AGENT_2), Delegation)
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE ledger.delegations SET starts_at = clock_timestamp() - interval '2 days',"
                " ends_at = clock_timestamp() - interval '1 second'"
            )
        )
    refused(await approve(room, press, decision_id), RefusalCode.NO_ROLE)

    assert isinstance(await lend(room, LEAD, AGENT_2), Delegation)
    async with room.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.people SET roles = '{}' WHERE user_id = 'U0TANAKA'"))
    refused(await approve(room, press, decision_id), RefusalCode.NO_ROLE)
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET roles = '{approver}' WHERE user_id = 'U0TANAKA'")
        )

    ended = await end_delegation(room, LEAD)
    assert not isinstance(ended, Refusal)
    assert len(ended) == 1
    refused(await approve(room, press, decision_id), RefusalCode.NO_ROLE)


async def test_what_is_to_begin_lends_nothing_yet(room: Room) -> None:
    view, decision_id = await a_request(room)
    tomorrow = today(room) + timedelta(days=1)
    made = await delegate(
        room, LEAD, Wish(from_user=LEAD, to_user=AGENT_2, first=tomorrow, last=tomorrow)
    )
    assert isinstance(made, Delegation)
    refused(await approve(room, press_of(view, AGENT_2), decision_id), RefusalCode.NO_ROLE)
    found = await delegations_now(room, AGENT)
    assert not isinstance(found, Refusal)
    assert [one.to_user for one in found[0]] == [AGENT_2]


async def test_a_chain_of_delegations_is_not_followed(room: Room) -> None:
    view, decision_id = await a_request(room)
    assert isinstance(await lend(room, LEAD, AGENT_2), Delegation)
    told = refused(await lend(room, AGENT_2, ENGINEER), RefusalCode.NO_ROLE)
    assert told.roles == ("approver", "admin")
    refused(await approve(room, press_of(view, ENGINEER), decision_id), RefusalCode.NO_ROLE)


@pytest.mark.parametrize(
    ("wish", "detail"),
    [
        ({"to_user": LEAD}, "self"),
        ({"first": -3, "last": -1}, "past"),
        ({"first": 2, "last": 1}, "past"),
        ({"last": 61}, "long"),
        ({"to_user": "U0GUEST"}, "person"),
        ({"to_user": "U0NOBODY"}, "person"),
        ({"to_user": OUTSIDER}, "outsider"),
    ],
)
async def test_a_delegation_that_makes_no_sense_is_refused_in_words(
    room: Room, wish: dict[str, object], detail: str
) -> None:
    day = today(room)
    days = {
        name: day + timedelta(days=offset)
        for name, offset in ({"first": 0, "last": 0} | wish).items()
        if isinstance(offset, int)
    }
    made = await delegate(
        room,
        LEAD,
        Wish(
            from_user=LEAD,
            to_user=str(wish.get("to_user", AGENT_2)),
            first=days["first"],
            last=days["last"],
        ),
    )
    assert refused(made, RefusalCode.BAD_DELEGATION).detail == detail


async def test_only_an_administrator_delegates_for_somebody_else(room: Room) -> None:
    refused(await lend(room, LEAD_2, AGENT_2, for_=LEAD), RefusalCode.NO_ROLE)
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET roles = '{admin}' WHERE user_id = 'U0SMITH'")
        )
    assert isinstance(await lend(room, LEAD_2, AGENT_2, for_=LEAD), Delegation)
    told = refused(await lend(room, LEAD_2, AGENT, for_=ENGINEER), RefusalCode.BAD_DELEGATION)
    assert told.detail == "nothing"


async def test_people_are_found_by_mention_by_id_and_by_a_name_of_one_alone(room: Room) -> None:
    for told in ("<@U0TANAKA|tanaka>", "<@U0TANAKA>", "U0TANAKA", "@田中", "田中"):
        assert await find_by_name(room, told) == "U0TANAKA"
    assert await find_by_name(room, "@nobody") is None
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET display_name = '田中' WHERE user_id = 'U0SMITH'")
        )
    assert await find_by_name(room, "@田中") is None


async def test_a_delegation_is_told_and_in_the_log(room: Room) -> None:
    room = replace(room, security_channel="C0SECURITY")
    await lend(room, LEAD, AGENT_2)
    await end_delegation(room, LEAD)
    async with room.engine.connect() as conn:
        told = (
            await conn.execute(
                text(
                    "SELECT story ->> 'kind' FROM ledger.posts WHERE channel = 'C0SECURITY' ORDER BY 1"
                )
            )
        ).scalars()
        assert list(told) == ["delegated", "delegation_ended"]
        tags = (
            await conn.execute(
                text("SELECT tag FROM ledger.audit_entries WHERE tag LIKE 'person:delegation:%'")
            )
        ).scalars()
        assert list(tags) == ["person:delegation:made", "person:delegation:ended"]


async def test_a_role_that_is_new_does_not_count_yet(room: Room) -> None:
    view, decision_id = await a_request(room)
    async with room.engine.begin() as conn:
        await people.store_people(
            conn,
            [
                Person(
                    user_id=LEAD_2,
                    team_id=TEAM,
                    display_name="Smith",
                    roles=frozenset({Role.APPROVER, Role.AGENT}),
                )
            ],
        )
        await conn.execute(
            text(
                """INSERT INTO ledger.role_spans (user_id, role, since, effective_at)
                   VALUES ('U0SMITH', 'approver', clock_timestamp(), clock_timestamp() + interval '1 day')"""
            )
        )
    told = refused(await approve(room, press_of(view, LEAD_2), decision_id), RefusalCode.NOT_YET)
    assert told.at is not None
    assert told.at > datetime.now(UTC) + timedelta(hours=23)
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE ledger.role_spans SET since = since - interval '2 days',"
                " effective_at = effective_at - interval '2 days'"
            )
        )
    assert isinstance(await approve(room, press_of(view, LEAD_2), decision_id), Decided)
