"""What ledger and marketplace disagree on, and when each alarm is given."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import pytest
from sqlalchemy import text

from bot.cases.reconciling import alarm_overdue, compare, compare_again, missing_from, reconcile
from bot.cases.room import Room
from bot.domain.cases import MemberFacts, OperationState
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import PlanStep, StepState
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import cases
from bot.ledger.operations import EndedOperation
from bot.market.marketplace import Marketplace, MarketUnreachable, StoredOperation
from bot.playground.market.faults import Fault
from tests.cases.conftest import NOW, room
from tests.cases.stage import an_order
from tests.playground.market.conftest import Shop, shop
from tests.test_executor import decide_cancel, ended, executing, trust

__all__ = ["room", "shop"]

WAITING_FOR_A_LOCK = """SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock')"""

DONE = Outcome(kind=OutcomeKind.SUCCEEDED)
REFUSED = Outcome(kind=OutcomeKind.REFUSED, code="already_shipped")


def an_ended(**changes: Any) -> EndedOperation:
    return replace(
        EndedOperation(
            operation_id="op_00000001",
            case_id=1,
            verb=Verb.HOLD,
            subject=an_order("O-1"),
            state=OperationState.SUCCEEDED,
            amount=9200,
            currency="JPY",
        ),
        **changes,
    )


def paid(amount: int) -> Outcome:
    step = PlanStep(name="refund_payment", state=StepState.DONE, amount=amount)
    return replace(DONE, steps=(step,))


@pytest.mark.parametrize(
    ("state", "outcome", "told"),
    [
        ("succeeded", DONE, None),
        ("succeeded", None, "missing"),
        ("succeeded", REFUSED, "not_done"),
        ("succeeded", Outcome(kind=OutcomeKind.PENDING), "unfinished"),
        ("succeeded", Outcome(kind=OutcomeKind.PARTLY_SUCCEEDED), "unfinished"),
        # The look-up itself was turned away: nothing is known, so nothing is said.
        ("succeeded", Outcome(kind=OutcomeKind.NOT_DONE), None),
        ("succeeded", Outcome(kind=OutcomeKind.UNKNOWN), None),
        ("failed", DONE, "done"),
        ("failed", REFUSED, None),
        ("failed", None, None),
        ("needs_human", DONE, "done"),
        ("needs_human", None, None),
        ("needs_human", Outcome(kind=OutcomeKind.PARTLY_SUCCEEDED), None),
    ],
)
def test_what_the_marketplace_says_against_what_we_believe(
    state: str, outcome: Outcome | None, told: str | None
) -> None:
    drift = compare(an_ended(state=OperationState(state)), outcome)
    assert (drift.theirs if drift else None) == told


@pytest.mark.parametrize(("amount", "told"), [(9200, None), (9201, "other_amount")])
def test_a_refund_of_another_amount_is_a_drift(amount: int, told: str | None) -> None:
    drift = compare(an_ended(verb=Verb.REFUND), paid(amount))
    assert (drift.theirs if drift else None) == told


@pytest.mark.parametrize(
    ("verb", "facts", "shown"),
    [
        ("hold", MemberFacts(status="paid", held_at=NOW), True),
        ("hold", MemberFacts(status="paid"), False),
        ("hold", MemberFacts(status="canceled", canceled_at=NOW), True),
        ("hold", MemberFacts(status="shipped", shipped_at=NOW), True),
        ("release", MemberFacts(status="paid", held_at=NOW), False),
        ("cancel", MemberFacts(status="paid"), False),
        ("cancel", MemberFacts(status="canceled", canceled_at=NOW), True),
        ("suspend", MemberFacts(status="active"), False),
        ("takedown", MemberFacts(status="active"), False),
        # What the data cannot tell is not judged by them.
        ("refund", MemberFacts(status="paid"), True),
        ("warn", MemberFacts(status="active"), True),
        ("cancel", None, True),
    ],
)
def test_a_success_must_show_in_the_marketplaces_own_data(
    verb: str, facts: MemberFacts | None, *, shown: bool
) -> None:
    operation = an_ended(verb=Verb(verb))
    assert (missing_from(operation, facts) is None) is shown
    # Once we began something else about it, the data tell of that.
    assert missing_from(replace(operation, is_last=False), facts) is None
    assert missing_from(replace(operation, state=OperationState.FAILED), facts) is None


async def nothing_known(_: Sequence[Subject]) -> Mapping[Subject, MemberFacts]:
    return {}


async def write(room: Room, sql: str) -> None:
    async with room.engine.begin() as conn:
        await conn.execute(text(sql))


async def an_old_success(room: Room, shop: Shop, order: str = "O-1") -> str:
    view = await decide_cancel(room, shop, order)
    async with executing(room, shop):
        after = await ended(room, view)
    await write(room, "UPDATE ledger.operations SET ended_at = ended_at - interval '5 minutes'")
    return after.operations[0].operation_id


async def findings(room: Room) -> list[str]:
    async with room.engine.connect() as conn:
        return [
            row.told
            for row in await conn.execute(
                text(
                    """SELECT body -> 'evidence' -> 1 ->> 'value' AS told FROM ledger.findings
                        WHERE detection = 'ledger_drift' ORDER BY finding_id"""
                )
            )
        ]


async def test_a_marketplace_that_says_done_and_does_nothing_is_found(
    room: Room, shop: Shop
) -> None:
    shop.market.faults.switch_on(Fault.ANSWER_MADE_UP, times=1)
    await an_old_success(room, shop)
    assert await shop.market.effects("O-1") == []

    async def read(_: Sequence[Subject]) -> Mapping[Subject, MemberFacts]:
        return {an_order("O-1"): MemberFacts(status="paid")}

    assert await reconcile(room, shop.api, read, since=None) == 1
    assert await findings(room) == ["not_shown"]
    assert await reconcile(room, shop.api, read, since=None) == 0


async def test_what_ended_a_moment_ago_is_given_time_to_show(room: Room, shop: Shop) -> None:
    shop.market.faults.switch_on(Fault.ANSWER_MADE_UP, times=1)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        await ended(room, view)

    async def read(_: Sequence[Subject]) -> Mapping[Subject, MemberFacts]:
        return {an_order("O-1"): MemberFacts(status="paid")}

    assert await reconcile(room, shop.api, read, since=None) == 0
    assert await findings(room) == []


class Told:
    """The real marketplace's client, of whose answers a test replaces some."""

    def __init__(self, shop: Shop, received: Sequence[StoredOperation], away: str = "") -> None:
        self._shop, self._received, self._away = shop, received, away

    async def lookup(self, key: str, *, verb: Verb, subject: Subject) -> Outcome | None:
        if subject.id == self._away:
            raise MarketUnreachable("not as the contract says")
        return await self._shop.api.lookup(key, verb=verb, subject=subject)

    async def received(self, _: datetime | None) -> Sequence[StoredOperation]:
        return self._received


def marketplace(told: Told) -> Marketplace:
    return cast("Marketplace", told)


async def test_what_was_done_although_we_gave_it_to_a_person_is_found(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "none")
    shop.market.faults.switch_on(Fault.ANSWER_LOST, times=1)
    view = await decide_cancel(room, shop)
    async with executing(room, shop):
        after = await ended(room, view)
    (operation,) = after.operations
    assert operation.state is OperationState.NEEDS_HUMAN
    done = StoredOperation(
        key=operation.operation_id, verb=Verb.CANCEL, subject=an_order("O-1"), is_done=True
    )
    api = marketplace(Told(shop, [done]))
    assert await reconcile(room, api, nothing_known, since=None) == 1
    assert await findings(room) == ["done"]


async def test_of_a_verb_that_cannot_be_looked_up_the_data_alone_are_asked(
    room: Room, shop: Shop
) -> None:
    await trust(room, shop, "cancel", "none")
    await an_old_success(room, shop)
    assert await reconcile(room, shop.api, nothing_known, since=None) == 0
    await compare_again(room)

    async def read(_: Sequence[Subject]) -> Mapping[Subject, MemberFacts]:
        return {an_order("O-1"): MemberFacts(status="paid")}

    assert await reconcile(room, shop.api, read, since=None) == 1
    assert await findings(room) == ["not_shown"]


async def test_one_key_that_was_done_twice_is_found(room: Room, shop: Shop) -> None:
    key = await an_old_success(room, shop)
    once = StoredOperation(key=key, verb=Verb.CANCEL, subject=an_order("O-1"), is_done=True)
    api = marketplace(Told(shop, [once, once]))
    assert await reconcile(room, api, nothing_known, since=None) == 1
    assert await findings(room) == ["twice"]


async def test_a_second_difference_about_one_subject_is_told_as_well(
    room: Room, shop: Shop
) -> None:
    lost = [
        StoredOperation(key=key, verb=Verb.HOLD, subject=an_order("O-1"), is_done=True)
        for key in ("op_lost_0001", "op_lost_0002")
    ]
    for received in (lost[:1], lost, lost):
        await reconcile(room, marketplace(Told(shop, received)), nothing_known, since=None)
    assert await findings(room) == ["done", "done"]
    async with room.engine.connect() as conn:
        told = (
            await conn.execute(
                text(
                    """SELECT count(*) AS posts, count(DISTINCT f.case_id) AS cases
                         FROM ledger.findings f
                         JOIN ledger.posts p ON p.dedupe_key = 'finding:' || f.finding_id"""
                )
            )
        ).one()
    assert (told.posts, told.cases) == (2, 1)


async def test_others_keys_are_none_of_our_business(room: Room, shop: Shop) -> None:
    other = StoredOperation(key="zendesk-1", verb=Verb.HOLD, subject=an_order("O-1"), is_done=True)
    assert await reconcile(room, marketplace(Told(shop, [other])), nothing_known, since=None) == 0
    assert await findings(room) == []


async def test_one_that_cannot_be_asked_about_keeps_no_other_from_being_compared(
    room: Room, shop: Shop
) -> None:
    await an_old_success(room, shop, "O-1")
    await an_old_success(room, shop, "O-konbini")
    await shop.market.pool.execute("DELETE FROM backoffice.operations")
    api = marketplace(Told(shop, [], away="O-1"))
    with pytest.raises(MarketUnreachable):
        await reconcile(room, api, nothing_known, since=None)
    assert await findings(room) == ["missing"]
    # It is asked about again; the other is not told of again.
    assert await reconcile(room, shop.api, nothing_known, since=None) == 1
    assert await findings(room) == ["missing", "missing"]


async def test_after_a_start_what_ended_lately_is_compared_again(room: Room, shop: Shop) -> None:
    await an_old_success(room, shop)
    assert await reconcile(room, shop.api, nothing_known, since=None) == 0
    await shop.market.pool.execute("DELETE FROM backoffice.operations")
    assert await reconcile(room, shop.api, nothing_known, since=None) == 0
    await compare_again(room)
    assert await reconcile(room, shop.api, nothing_known, since=None) == 1
    assert await findings(room) == ["missing"]


async def an_unknown(room: Room, shop: Shop, minutes: int) -> int:
    view = await decide_cancel(room, shop)
    await write(room, "UPDATE ledger.operations SET state = 'executing'")
    await write(
        room,
        f"""UPDATE ledger.operations SET state = 'unknown', due_at = 'infinity',
              unknown_since = clock_timestamp() - interval '{minutes} minutes'""",
    )
    return view.case_id


@pytest.mark.parametrize(
    ("minutes", "reminders", "notices"), [(14, 0, 0), (16, 1, 0), (29, 1, 0), (31, 1, 1)]
)
async def test_an_unknown_reminds_after_15_minutes_and_alarms_after_30_each_once(
    room: Room, shop: Shop, minutes: int, reminders: int, notices: int
) -> None:
    await an_unknown(room, shop, minutes)
    # Two replicas at the same moment, and again later.
    given = await asyncio.gather(alarm_overdue(room), alarm_overdue(room))
    assert sum(given) == max(reminders, notices)
    assert await alarm_overdue(room) == 0
    async with room.engine.connect() as conn:
        posts = (
            await conn.execute(
                text("SELECT kind, story FROM ledger.posts WHERE dedupe_key LIKE 'overdue:%'")
            )
        ).all()
    assert len([p for p in posts if p.kind != "notice"]) == reminders
    assert len([p for p in posts if p.kind == "notice"]) == notices
    for post in posts:
        if post.kind != "notice":
            assert post.story["mention"] == "U0TANAKA"


async def waits_for_a_lock(room: Room) -> bool:
    # On a connection of its own: within a transaction the list would not change.
    async with room.engine.connect() as conn:
        return bool(await conn.scalar(text(WAITING_FOR_A_LOCK)))


async def test_an_alarm_waits_for_whoever_is_writing_the_outcome(room: Room, shop: Shop) -> None:
    case_id = await an_unknown(room, shop, 31)
    async with room.engine.begin() as conn:
        await cases.lock_case(conn, case_id)
        alarming = asyncio.create_task(alarm_overdue(room))
        async with asyncio.timeout(10):
            while not await waits_for_a_lock(room):
                await asyncio.sleep(0.02)
        # The outcome comes: in the other order the two would wait for each other.
        await conn.execute(
            text(
                """UPDATE ledger.operations SET state = 'succeeded', ended_at = clock_timestamp(),
                     resolved_by = 'lookup'"""
            )
        )
    assert await alarming == 0
