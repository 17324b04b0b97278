"""What somebody changed since is not undone: judged by the marketplace's word at the press."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from bot.cases.deciding import Decided, decide
from bot.cases.freezing import Choice
from bot.cases.opening import open_findings
from bot.cases.room import Room
from bot.cases.targets import still_ours
from bot.cases.undoing import FactsOf, refuse_if_changed
from bot.domain.cases import CaseState, CaseView, MemberFacts
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import cases
from bot.market.reader import MarketUnreachableError
from tests.cases.conftest import room
from tests.cases.stage import (
    a_finding,
    an_account,
    press_of,
    reread,
    some_facts,
)
from tests.playground.market.conftest import Shop, shop
from tests.test_executor import ended, executing

__all__ = ["room", "shop"]

BUYER = an_account("b-1")


async def a_suspension(room: Room, shop: Shop) -> CaseView:
    """A closed case whose buyer we have suspended."""
    finding = a_finding(
        "O-1",
        at=room.clock.now(),
        subject=BUYER,
        account_ids=(),
        order_ids=(),
        actions=("suspend",),
    )
    await open_findings(room, [finding], some_facts(finding, room.clock.now()))
    view = await the_case_of_account(room)
    plan = await shop.api.plan(Verb.SUSPEND, BUYER, {})
    choice = Choice(
        action="suspend", targets=((Verb.SUSPEND, BUYER),), plans=(plan,), reason="Stolen card"
    )
    assert isinstance(await decide(room, press_of(view, "U0TANAKA"), choice), Decided)
    async with executing(room, shop):
        return await ended(room, view)


async def the_case_of_account(room: Room) -> CaseView:
    async with room.engine.connect() as conn:
        case_id = await cases.open_case_of(conn, BUYER)
        assert case_id is not None
        view = await cases.read_view(conn, case_id)
    assert view is not None
    return view


def telling(facts: MemberFacts) -> FactsOf:
    async def read(_: Sequence[Subject]) -> Mapping[Subject, MemberFacts]:
        return {BUYER: facts}

    return read


def facts_of(view: CaseView) -> MemberFacts:
    (facts,) = [m.facts for m in view.members if m.subject == BUYER]
    return facts


async def test_what_stands_as_we_left_it_may_be_undone(room: Room, shop: Shop) -> None:
    view = await a_suspension(room, shop)
    assert view.state is CaseState.DONE
    (operation,) = view.operations
    assert operation.after["status"] == "suspended"
    press = press_of(view, "U0TANAKA")
    assert await refuse_if_changed(room, telling(facts_of(view)), press, "reinstate") is None


async def test_what_a_colleague_suspended_anew_stays_so_and_the_closed_case_shows_it(
    room: Room, shop: Shop
) -> None:
    view = await a_suspension(room, shop)
    anew = replace(facts_of(view), suspended_at=room.clock.now() + timedelta(minutes=5))
    press = press_of(view, "U0TANAKA")
    refusal = await refuse_if_changed(room, telling(anew), press, "reinstate")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.detail, refusal.reason, refusal.at) == (
        RefusalCode.CHANGED_SINCE,
        "b-1",
        "suspended",
        anew.suspended_at,
    )
    now = await reread(room, view)
    assert facts_of(now).suspended_at == anew.suspended_at
    assert now.revision > view.revision
    # The decision itself looks once more, at what the ledger has by then.
    plan = await shop.api.plan(Verb.REINSTATE, BUYER, {})
    choice = Choice(
        action="reinstate", targets=((Verb.REINSTATE, BUYER),), plans=(plan,), reason="Mistake"
    )
    answer = await decide(room, press_of(now, "U0TANAKA"), choice)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.CHANGED_SINCE
    assert [e["kind"] for e in await shop.market.effects("b-1")] == ["suspend"]


async def test_what_cannot_be_read_is_not_undone(room: Room, shop: Shop) -> None:
    view = await a_suspension(room, shop)

    async def away(_: Sequence[Subject]) -> Mapping[Subject, MemberFacts]:
        raise MarketUnreachableError("away")

    refusal = await refuse_if_changed(room, away, press_of(view, "U0TANAKA"), "reinstate")
    assert refusal is not None
    assert refusal.code is RefusalCode.MARKET_UNREACHABLE


async def test_who_may_not_undo_learns_no_more_than_that(room: Room, shop: Shop) -> None:
    view = await a_suspension(room, shop)
    anew = replace(facts_of(view), suspended_at=room.clock.now() + timedelta(minutes=5))
    refusal = await refuse_if_changed(room, telling(anew), press_of(view, "U0YAMADA"), "reinstate")
    assert refusal is not None
    assert refusal.code is RefusalCode.NO_ROLE


@pytest.mark.parametrize(
    ("apart", "ours"),
    [(timedelta(0), True), (timedelta(milliseconds=900), True), (timedelta(seconds=2), False)],
)
async def test_times_may_differ_by_less_than_a_second(
    room: Room, shop: Shop, apart: timedelta, *, ours: bool
) -> None:
    view = await a_suspension(room, shop)
    suspended_at: datetime | None = facts_of(view).suspended_at
    assert suspended_at is not None
    (member,) = [m for m in view.members if m.subject == BUYER]
    moved = replace(member, facts=replace(member.facts, suspended_at=suspended_at + apart))
    seen = replace(view, members=(moved,))
    assert still_ours(seen, Verb.SUSPEND, BUYER) is ours
