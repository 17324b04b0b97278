from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.cases.approving import approve, expire_requests, reject
from bot.cases.deciding import Decided, decide, dismiss, stop_rest
from bot.cases.policy import WEEKDAYS, CalendarSection, Policy
from bot.cases.room import Press, Room
from bot.domain.cases import CaseState, DecisionState, OperationState
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.verbs import Verb
from bot.ledger import audit
from tests.cases.stage import (
    a_plan,
    an_open_case,
    an_order,
    cancel_choice,
    hold_choice,
    press_of,
    reread,
)


def refused(answer: object, code: RefusalCode) -> Refusal:
    assert isinstance(answer, Refusal)
    assert answer.code is code
    return answer


async def count(room: Room, table: str) -> int:
    async with room.engine.connect() as conn:
        number: int = (
            await conn.execute(text(f"SELECT count(*) FROM ledger.{table}"))
        ).scalar_one()
    return number


async def test_an_agent_holds_at_once(room: Room) -> None:
    view = await an_open_case(room)
    answer = await decide(room, press_of(view, "U0SATO"), hold_choice("O-1"))
    assert isinstance(answer, Decided)
    assert not answer.awaiting_approval
    after = await reread(room, view)
    assert after.state is CaseState.EXECUTING
    assert after.version > view.version
    (operation,) = after.operations
    assert (operation.verb, operation.subject) == (Verb.HOLD, an_order("O-1"))
    assert operation.state is OperationState.QUEUED


async def test_an_agents_cancel_waits_for_an_approver(room: Room) -> None:
    view = await an_open_case(room)
    answer = await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    assert isinstance(answer, Decided)
    assert answer.awaiting_approval
    after = await reread(room, view)
    assert after.state is CaseState.AWAITING_APPROVAL
    assert after.operations == ()
    assert answer.decision_id is not None
    approved = await approve(room, press_of(after, "U0TANAKA"), answer.decision_id)
    assert isinstance(approved, Decided)
    done = await reread(room, view)
    assert done.state is CaseState.EXECUTING
    assert [o.verb for o in done.operations] == [Verb.CANCEL]


async def test_an_approver_cancels_alone_below_the_limit(room: Room) -> None:
    view = await an_open_case(room, amount=50000)
    answer = await decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1"))
    assert isinstance(answer, Decided)
    assert not answer.awaiting_approval


async def test_above_the_limit_an_approver_needs_a_second_person(room: Room) -> None:
    view = await an_open_case(room, amount=50001)
    answer = await decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1"))
    assert isinstance(answer, Decided)
    assert answer.awaiting_approval
    assert answer.decision_id is not None
    after = await reread(room, view)
    own = await approve(room, press_of(after, "U0TANAKA"), answer.decision_id)
    refused(own, RefusalCode.OWN_REQUEST)
    other = await approve(room, press_of(after, "U0SMITH"), answer.decision_id)
    assert isinstance(other, Decided)


async def test_an_operation_carries_the_frozen_body_and_the_plan_token(room: Room) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1"))
    async with room.engine.connect() as conn:
        body = await conn.scalar(text("SELECT body FROM ledger.operations"))
    assert body == {
        "reason": "Stolen card",
        "actor": "U0TANAKA",
        "refund_policy": "withhold",
        "plan_token": "token-1",
    }


@pytest.mark.parametrize(
    ("user_id", "code"),
    [
        ("U0YAMADA", RefusalCode.NO_ROLE),
        ("U0GUEST", RefusalCode.GUEST),
        ("U0NOBODY", RefusalCode.UNKNOWN_PERSON),
    ],
)
async def test_whoever_may_not_changes_nothing_and_is_in_the_log(
    room: Room, user_id: str, code: RefusalCode
) -> None:
    view = await an_open_case(room)
    answer = await decide(room, press_of(view, user_id), cancel_choice("O-1"))
    refused(answer, code)
    assert (await reread(room, view)).version == view.version
    assert await count(room, "decisions") == 0
    async with room.engine.connect() as conn:
        (entry, *_) = await audit.read_about(conn, case_id=view.case_id, limit=1)
    assert (entry.actor, entry.tag) == (user_id, "policy:decision:denied")


async def test_a_refusal_names_the_groups_to_ask(room: Room) -> None:
    view = await an_open_case(room)
    answer = refused(
        await decide(room, press_of(view, "U0YAMADA"), hold_choice("O-1")), RefusalCode.NO_ROLE
    )
    assert "S0AGENTS" in answer.groups


async def test_roles_older_than_five_minutes_move_no_money(room: Room) -> None:
    view = await an_open_case(room)
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET synced_at = clock_timestamp() - interval '301 seconds'")
        )
    answer = await decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1"))
    refused(answer, RefusalCode.ROLES_TOO_OLD)


async def test_a_stale_click_learns_who_was_faster(room: Room) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), hold_choice("O-1"))
    answer = await decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1"))
    assert refused(answer, RefusalCode.STALE).by == "佐藤"


async def test_of_eight_clicks_at_once_one_decides(room: Room) -> None:
    view = await an_open_case(room)
    answers = await asyncio.gather(
        *(decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1")) for _ in range(8))
    )
    assert sum(isinstance(answer, Decided) for answer in answers) == 1
    assert await count(room, "decisions") == 1
    assert await count(room, "operations") == 1


async def test_a_target_that_was_not_planned_is_refused(room: Room) -> None:
    view = await an_open_case(room)
    choice = cancel_choice("O-1", suspend=("somebody-else",))
    refused(await decide(room, press_of(view, "U0TANAKA"), choice), RefusalCode.PLAN_CHANGED)


async def test_a_plan_that_the_marketplace_refuses_is_not_carried_out(room: Room) -> None:
    view = await an_open_case(room)
    choice = cancel_choice("O-1")
    choice = type(choice)(
        action="cancel",
        targets=choice.targets,
        plans=(a_plan(Verb.CANCEL, an_order("O-1"), allowed=False),),
        reason="Stolen card",
    )
    answer = await decide(room, press_of(view, "U0TANAKA"), choice)
    assert refused(answer, RefusalCode.PLAN_REFUSED).detail == "already_shipped"


async def test_a_brake_stops_decisions_and_says_who_pulled_it(room: Room) -> None:
    view = await an_open_case(room)
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO ledger.switches VALUES ('all', 'U0SUZUKI', '決済障害', clock_timestamp())"
            )
        )
    answer = await decide(room, press_of(view, "U0TANAKA"), cancel_choice("O-1"))
    assert refused(answer, RefusalCode.PAUSED).by == "鈴木"


async def test_a_request_is_rejected_and_the_case_is_open_again(room: Room) -> None:
    view = await an_open_case(room)
    asked = await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    assert asked.decision_id is not None
    waiting = await reread(room, view)
    outsider = await reject(room, press_of(waiting, "U0ITO"), asked.decision_id, reason="no")
    refused(outsider, RefusalCode.NO_ROLE)
    answer = await reject(room, press_of(waiting, "U0TANAKA"), asked.decision_id, reason="証拠不足")
    assert isinstance(answer, Decided)
    after = await reread(room, view)
    assert after.state is CaseState.OPEN
    assert after.decision is not None
    assert after.decision.state is DecisionState.REJECTED


async def test_an_expired_request_opens_the_case_again_and_cannot_be_approved(room: Room) -> None:
    view = await an_open_case(room)
    asked = await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    assert asked.decision_id is not None
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.decisions SET expires_at = clock_timestamp() - interval '1 s'")
        )
    waiting = await reread(room, view)
    late = await approve(room, press_of(waiting, "U0TANAKA"), asked.decision_id)
    refused(late, RefusalCode.EXPIRED)
    assert await expire_requests(room) == 1
    assert (await reread(room, view)).state is CaseState.OPEN
    assert await expire_requests(room) == 0


async def test_not_fraud_closes_the_case_and_labels_its_findings(room: Room) -> None:
    view = await an_open_case(room)
    answer = await dismiss(room, press_of(view, "U0SATO"), reason="Gift")
    assert isinstance(answer, Decided)
    after = await reread(room, view)
    assert after.state is CaseState.DISMISSED
    async with room.engine.connect() as conn:
        verdicts = (await conn.scalars(text("SELECT verdict FROM ledger.findings"))).all()
    assert verdicts == ["good"]


async def test_what_was_never_sent_can_be_stopped(room: Room) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), hold_choice("O-1"))
    now = await reread(room, view)
    answer = await stop_rest(room, press_of(now, "U0SATO"))
    assert isinstance(answer, Decided)
    (operation,) = (await reread(room, view)).operations
    assert operation.state is OperationState.STOPPED


async def test_a_case_that_does_not_exist_is_said_so(room: Room) -> None:
    answer = await decide(room, Press(user_id="U0SATO", case_id=1, version=1), hold_choice("O-1"))
    refused(answer, RefusalCode.CASE_NOT_FOUND)


async def test_the_database_itself_refuses_an_own_approval(room: Room) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    with pytest.raises(DBAPIError, match="nobody approves their own request"):
        async with room.engine.begin() as conn:
            await conn.execute(
                text(
                    """INSERT INTO ledger.approvals (decision_id, user_id, params_hash)
                       SELECT decision_id, requested_by, params_hash FROM ledger.decisions"""
                )
            )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger.decisions SET targets = '[]'",
        "UPDATE ledger.decisions SET state = 'approved'",
        "UPDATE ledger.cases SET state = 'dismissed', closed_at = clock_timestamp()",
        "UPDATE ledger.cases SET version = 1",
    ],
)
async def test_the_database_refuses_what_the_rules_forbid(room: Room, change: str) -> None:
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    with pytest.raises(DBAPIError):
        async with room.engine.begin() as conn:
            await conn.execute(text(change))


async def test_a_request_lives_for_business_hours(room: Room) -> None:
    section = CalendarSection.model_validate(
        {"hours": dict.fromkeys(WEEKDAYS, "09:00-10:00"), "holidays": "JP"}
    )
    file = room.policy.file.model_copy(update={"calendar": section})
    room = replace(room, policy=Policy(file=file, hash=room.policy.hash))
    view = await an_open_case(room)
    await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    decision = (await reread(room, view)).decision
    assert decision is not None
    assert decision.expires_at is not None
    lived = decision.expires_at - decision.requested_at
    # An hour a day, so that eight of them take a week.
    assert timedelta(days=7) <= lived <= timedelta(days=16)
    assert decision.expires_at.astimezone(room.zone).hour in {9, 10}
