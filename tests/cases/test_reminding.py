from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from bot.cases.approving import approve, expire_requests, reject
from bot.cases.deciding import Decided, decide
from bot.cases.policy import CalendarSection, Policy, Reminders, Tier
from bot.cases.reminding import remind
from bot.cases.room import Room
from bot.domain.cases import CaseView
from bot.domain.roles import Role
from bot.ledger.engine import create_engine
from tests.cases.stage import an_open_case, cancel_choice, press_of, reread

AGENT, LEAD = "U0SATO", "U0TANAKA"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def under(room: Room, **entries: object) -> Room:
    """The room under the same policy with these entries."""
    return replace(
        room,
        policy=Policy(
            file=room.policy.file.model_copy(update=entries), hash=room.policy.hash, text=""
        ),
    )


def nobody_there(room: Room) -> dict[str, object]:
    """A calendar whose only hours are those of the day after tomorrow."""
    day = (datetime.now(UTC).astimezone(room.zone) + timedelta(days=2)).weekday()
    return {"calendar": CalendarSection.model_validate({"hours": {DAYS[day]: "09:00-18:00"}})}


async def a_request(room: Room) -> tuple[CaseView, str]:
    view = await an_open_case(room)
    asked = await decide(room, press_of(view, AGENT), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    return await reread(room, view), asked.decision_id or ""


async def pass_minutes(room: Room, minutes: float) -> None:
    """Let every request have been made, and reminded of, so much earlier."""
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.decisions SET requested_at = requested_at - make_interval(mins => :m),
                          reminded_at = reminded_at - make_interval(mins => :m)"""
            ),
            {"m": minutes},
        )


async def said(room: Room, kind: str) -> list[list[str]]:
    """The groups that each post of this kind mentions."""
    async with room.engine.connect() as conn:
        rows = await conn.execute(
            text(
                """SELECT story -> 'approver_groups' AS groups FROM ledger.posts
                    WHERE story ->> 'kind' = :kind ORDER BY created_at"""
            ),
            {"kind": kind},
        )
        return [list(row.groups) for row in rows]


async def tags(room: Room, like: str) -> list[str]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(
            text("SELECT tag FROM ledger.audit_entries WHERE tag LIKE :like ORDER BY seq"),
            {"like": like},
        )
        return [row.tag for row in rows]


async def test_approvers_are_reminded_after_15_30_and_60_minutes_and_no_more(room: Room) -> None:
    await a_request(room)
    counts = []
    for minutes in (14, 2, 28, 3, 58, 3, 600):
        await pass_minutes(room, minutes)
        counts.append(await remind(under(room, escalate_to=())))
    assert counts == [0, 1, 0, 1, 0, 1, 0]
    assert await said(room, "reminded") == [["S0LEADS"]] * 3
    assert await tags(room, "clock:decision:%") == ["clock:decision:reminded"] * 3


async def test_a_policy_without_reminders_reminds_nobody(room: Room) -> None:
    await a_request(room)
    await pass_minutes(room, 60)
    quiet = under(room, reminders=Reminders(at_most=0), escalate_to=())
    assert await remind(quiet) == 0


async def test_nobody_is_reminded_while_nobody_is_there(room: Room) -> None:
    await a_request(room)
    await pass_minutes(room, 600)
    assert await remind(under(room, **nobody_there(room))) == 0
    assert await said(room, "reminded") == []
    assert await remind(room) == 2


async def test_minutes_outside_staffed_hours_do_not_count(room: Room) -> None:
    await a_request(room)
    await pass_minutes(room, 14)
    now = datetime.now(UTC).astimezone(room.zone)
    # The shift that is on began a minute ago, or this test's midnight did; either way 14 minutes are not full.
    start = max(now - timedelta(minutes=1), now.replace(hour=0, minute=0))
    hours = {DAYS[now.weekday()]: f"{start:%H:%M}-24:00"}
    room = under(room, calendar=CalendarSection.model_validate({"hours": hours}))
    await pass_minutes(room, 6)
    assert await remind(room) == 0


async def test_another_role_is_called_in_once_after_four_hours(room: Room) -> None:
    await a_request(room)
    room = under(room, escalate_to=(Role.ENGINEER,), reminders=Reminders(at_most=0))
    counts = []
    for minutes in (239, 2, 600):
        await pass_minutes(room, minutes)
        counts.append(await remind(room))
    assert counts == [0, 1, 0]
    assert await said(room, "called_in") == [["S0ENGINEERS"]]
    assert await tags(room, "clock:decision:%") == ["clock:decision:escalated"]


async def test_two_processes_say_each_reminder_once(room: Room) -> None:
    await a_request(room)
    other = replace(room, engine=create_engine(room.engine.url.render_as_string(False)))
    try:
        for minutes in (16, 31, 61, 240):
            await pass_minutes(room, minutes)
            await asyncio.gather(*(remind(one) for one in (room, other) * 4))
    finally:
        await other.engine.dispose()
    assert len(await said(room, "reminded")) == 3
    assert len(await said(room, "called_in")) == 1
    assert len(await tags(room, "clock:decision:%")) == 4


async def test_reminders_end_when_the_request_is_answered_or_runs_out(room: Room) -> None:
    view, decision_id = await a_request(room)
    assert isinstance(await approve(room, press_of(view, LEAD), decision_id), Decided)
    await pass_minutes(room, 600)
    assert await remind(room) == 0

    other = await an_open_case(room, "O-2")
    asked = await decide(room, press_of(other, AGENT), cancel_choice("O-2"))
    assert isinstance(asked, Decided)
    other = await reread(room, other)
    turned_down = await reject(
        room, press_of(other, LEAD), asked.decision_id or "", reason="Other (write it below)"
    )
    assert isinstance(turned_down, Decided)
    await pass_minutes(room, 600)
    assert await remind(room) == 0

    third = await an_open_case(room, "O-3")
    assert isinstance(await decide(room, press_of(third, AGENT), cancel_choice("O-3")), Decided)
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE ledger.decisions SET expires_at = clock_timestamp() - interval '1 second'"
                " WHERE state = 'awaiting_approval'"
            )
        )
    await pass_minutes(room, 600)
    assert await remind(room) == 0
    assert await expire_requests(room) == 1
    assert await remind(room) == 0
    assert await said(room, "reminded") == []


async def test_only_those_who_have_not_approved_yet_are_reminded(room: Room) -> None:
    cancel = room.policy.file.actions["cancel"].model_copy(
        update={
            "approvals": (Tier(above={"JPY": 1000}, each_of=(Role.APPROVER, Role.ENGINEER)),),
        }
    )
    room = under(room, actions={**room.policy.file.actions, "cancel": cancel})
    view, decision_id = await a_request(room)
    await pass_minutes(room, 16)
    assert await remind(room) == 1
    assert isinstance(await approve(room, press_of(view, LEAD), decision_id), Decided)
    await pass_minutes(room, 31)
    assert await remind(room) == 1
    assert [sorted(groups) for groups in await said(room, "reminded")] == [
        ["S0ENGINEERS", "S0LEADS"],
        ["S0ENGINEERS"],
    ]
