"""Proposals among people who press at once, and what nobody may do with their own."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bot.cases.agreeing import agree
from bot.cases.brakes import redraw_for_brakes
from bot.cases.pausing import pause, propose_resume
from bot.cases.proposing import Answered, expire_proposals, reject
from bot.cases.room import Room
from bot.domain.proposals import Pause, ProposalState
from bot.domain.refusals import Refusal, RefusalCode
from bot.ledger import audit, switches
from bot.ledger.engine import create_engine
from tests.cases.stage import an_open_case

ENGINEER, APPROVER, APPROVER_2, AGENT = "U0ITO", "U0TANAKA", "U0SMITH", "U0SATO"


async def rows(room: Room, sql: str) -> list[tuple[object, ...]]:
    async with room.engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(sql))]


async def paused(room: Room, name: str = "all") -> bool:
    async with room.engine.connect() as conn:
        return any(one.name == name for one in await switches.pauses(conn))


async def asked(room: Room, user: str = ENGINEER, name: str = "all") -> str:
    answer = await propose_resume(room, user, name)
    assert isinstance(answer, Answered)
    return answer.proposal.proposal_id


async def test_of_many_who_pause_at_once_one_does_and_the_others_are_told(room: Room) -> None:
    answers = await asyncio.gather(
        *(pause(room, user, "all", user) for user in (AGENT, ENGINEER, APPROVER, APPROVER_2))
    )
    assert sum(isinstance(answer, Pause) for answer in answers) == 1
    refused = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert refused == [RefusalCode.ALREADY_PAUSED] * 3
    assert await rows(
        room, "SELECT count(*) FROM ledger.audit_entries WHERE tag = 'person:effects:paused'"
    ) == [(1,)]


async def test_of_two_who_ask_at_once_the_second_agrees_with_the_first(room: Room) -> None:
    await pause(room, AGENT, "all", "決済障害")
    answers = await asyncio.gather(
        propose_resume(room, ENGINEER, "all"), propose_resume(room, APPROVER, "all")
    )
    assert sorted(a.missing for a in answers if isinstance(a, Answered)) == [0, 1]
    assert not await paused(room)
    assert await rows(room, "SELECT state, count(*) FROM ledger.proposals GROUP BY 1") == [
        ("approved", 1)
    ]


async def test_of_two_who_agree_at_once_one_resumes_and_it_is_logged_once(room: Room) -> None:
    await pause(room, AGENT, "all", "決済障害")
    proposal = await asked(room)
    answers = await asyncio.gather(
        agree(room, APPROVER, proposal), agree(room, APPROVER_2, proposal)
    )
    assert sum(isinstance(answer, Answered) for answer in answers) == 1
    (late,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert late.code is RefusalCode.PROPOSAL_ENDED
    assert await rows(
        room, "SELECT count(*) FROM ledger.audit_entries WHERE tag = 'person:effects:resumed'"
    ) == [(1,)]
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok


async def test_agreeing_and_turning_down_at_once_ends_in_one_of_them(room: Room) -> None:
    await pause(room, AGENT, "all", "決済障害")
    proposal = await asked(room)
    answers = await asyncio.gather(
        agree(room, APPROVER, proposal), reject(room, APPROVER_2, proposal)
    )
    (done,) = [answer for answer in answers if isinstance(answer, Answered)]
    assert await paused(room) == (done.proposal.state is ProposalState.REJECTED)


async def test_an_old_proposal_does_not_let_a_new_pause_go(room: Room) -> None:
    await pause(room, AGENT, "all", "決済障害")
    await agree(room, APPROVER, await asked(room))
    await pause(room, AGENT, "all", "また障害")
    with pytest.raises(DBAPIError, match="needs two people"):
        async with room.engine.begin() as conn:
            await conn.execute(
                text(
                    """UPDATE ledger.switches SET paused_at = NULL,
                          resumed_by_proposal = (SELECT proposal_id FROM ledger.proposals)"""
                )
            )
    assert await paused(room)


async def test_who_proposed_may_take_it_back(room: Room) -> None:
    await pause(room, AGENT, "all", "決済障害")
    proposal = await asked(room)
    assert isinstance(await reject(room, ENGINEER, proposal), Answered)
    late = await agree(room, APPROVER, proposal)
    assert isinstance(late, Refusal)
    assert late.code is RefusalCode.PROPOSAL_ENDED
    assert await paused(room)


async def test_an_attempt_to_agree_to_ones_own_is_in_the_log(room: Room) -> None:
    await pause(room, AGENT, "all", "決済障害")
    proposal = await asked(room)
    own = await agree(room, ENGINEER, proposal)
    assert isinstance(own, Refusal)
    assert own.code is RefusalCode.OWN_PROPOSAL
    assert await rows(
        room,
        """SELECT actor, details ->> 'action', details ->> 'code' FROM ledger.audit_entries
            WHERE tag = 'policy:decision:denied'""",
    ) == [(ENGINEER, "resume", "own_proposal")]


async def test_roles_that_are_too_old_stop_no_pause_but_every_resume(room: Room) -> None:
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET synced_at = clock_timestamp() - interval '1 hour'")
        )
    assert isinstance(await pause(room, AGENT, "all", "Slackが応答しない"), Pause)
    late = await propose_resume(room, ENGINEER, "all")
    assert isinstance(late, Refusal)
    assert late.code is RefusalCode.ROLES_TOO_OLD


@pytest.mark.parametrize("reason", ["", "   "])
async def test_a_pause_says_why(room: Room, reason: str) -> None:
    answer = await pause(room, AGENT, "all", reason)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.NO_REASON
    assert not await paused(room)


async def test_open_cards_are_drawn_anew_once_for_each_turn_of_a_brake(room: Room) -> None:
    view = await an_open_case(room)
    await pause(room, AGENT, "hold", "調査")  # draws them itself
    assert not await redraw_for_brakes(room)
    async with room.engine.begin() as conn:  # as after a crash between the pause and the cards
        await conn.execute(text("UPDATE ledger.preferences SET value = 'none'"))
    assert await redraw_for_brakes(room)
    ((revision,),) = await rows(
        room, f"SELECT revision FROM ledger.cases WHERE case_id = {view.case_id}"
    )
    assert revision == view.revision + 2


async def test_what_ran_out_is_ended_by_the_clock(room: Room, ledger_owner_dsn: str) -> None:
    await pause(room, AGENT, "all", "決済障害")
    proposal = await asked(room)
    assert await expire_proposals(room) == 0
    owner = create_engine(ledger_owner_dsn, poolclass=NullPool)
    async with owner.begin() as conn:  # eight hours later, as the application cannot make it
        for statement in (
            "ALTER TABLE ledger.proposals DISABLE TRIGGER check_proposal_move",
            "UPDATE ledger.proposals SET expires_at = clock_timestamp()",
            "ALTER TABLE ledger.proposals ENABLE TRIGGER check_proposal_move",
        ):
            await conn.execute(text(statement))
    await owner.dispose()
    late = await agree(room, APPROVER, proposal)
    assert isinstance(late, Refusal)
    assert late.code is RefusalCode.PROPOSAL_ENDED
    assert await expire_proposals(room) == 1
    assert await expire_proposals(room) == 0
    assert await rows(room, "SELECT state, ended_by FROM ledger.proposals") == [("expired", None)]
    assert await paused(room)
