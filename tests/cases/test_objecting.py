"""The final step of a detection in automatic: only after its objection window, only under its limit, and kept by a press."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import text

from bot.cases.automatic import follow_newcomers
from bot.cases.deciding import Decided, dismiss
from bot.cases.objecting import keep, take_final_steps
from bot.cases.pausing import pause
from bot.cases.policy import Automatic, Cap
from bot.cases.room import Room
from bot.detections.detection import Detection
from bot.domain.cases import CaseState, CaseView, DecisionState
from bot.domain.findings import Mode
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import audit, modes
from bot.market.marketplace import Marketplace
from tests.cases.stage import a_plan, press_of, reread, the_case_of
from tests.cases.test_holding import carry_out, told
from tests.cases.test_modes import a_detection, findings, mode_of, run_of
from tests.cases.test_proposing_modes import judged, put_into
from tests.cases.test_reminding import tags, under

AGENT, LEAD, ENGINEER, STRANGER = "U0SATO", "U0TANAKA", "U0ITO", "U0YAMADA"


class Planning:
    """A marketplace that is asked for plans alone, and says which orders it would not touch."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)

    async def plan(self, verb: Verb, subject: Subject, _: Mapping[str, object]) -> Plan:
        return a_plan(verb, subject, allowed=subject.id not in self.refused)


def market(*refused: str) -> Marketplace:
    return cast("Marketplace", Planning(*refused))


@pytest.fixture
def detection(tmp_path: Path) -> Detection:
    return a_detection(tmp_path)


async def trusted(room: Room, detection: Detection, **entries: object) -> Room:
    """The room under a policy that lets the detection cancel up to ¥30,000, which two people trusted it with."""
    rule = {
        "caps": {"JPY": 500_000},
        "count": 50,
        "decided": 10,
        "precision": 0.9,
        "actions": ["cancel"],
        "up_to": {"JPY": 30_000},
        "objection_minutes": 30,
        **entries,
    }
    room = under(room, automatic=Automatic.model_validate(rule))
    await judged(room, detection, fraud=10, good=0)
    await put_into(room, detection, Mode.AUTOMATIC)
    return room


async def held(room: Room, detection: Detection, *orders: str, amount: int = 12_400) -> CaseView:
    """The case of orders that the detection found and held."""
    found = findings(room, detection, orders[0], order_ids=orders, amount=amount)
    await run_of(room, detection, found)
    view = await the_case_of(room, orders[0])
    assert view.state is CaseState.EXECUTING
    await carry_out(room)
    return await reread(room, view)


async def pass_window(room: Room) -> None:
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.automatic_steps SET due_at = due_at - interval '30 minutes'")
        )


async def step_state(room: Room) -> str:
    async with room.engine.connect() as conn:
        return str(await conn.scalar(text("SELECT state FROM ledger.automatic_steps")))


def cancels(view: CaseView) -> list[str]:
    return sorted(o.subject.id for o in view.operations if o.verb is Verb.CANCEL)


async def test_the_final_step_follows_when_the_window_has_passed_and_nobody_objected(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1", "O-2")
    assert view.final_step is not None
    assert view.final_step.action == "cancel"
    assert await take_final_steps(room, market()) == 0
    await pass_window(room)
    assert await take_final_steps(room, market()) == 1
    after = await reread(room, view)
    assert (after.state, cancels(after)) == (CaseState.EXECUTING, ["O-1", "O-2"])
    assert after.decision is not None
    assert after.decision.requested_by == f"detection:{detection.name}"
    assert after.decision.plans
    assert (await step_state(room), after.final_step) == ("done", None)
    assert await take_final_steps(room, market()) == 0
    await carry_out(room)
    assert (await reread(room, view)).state is CaseState.DONE
    assert await tags(room, "detection:decision:%") == ["detection:decision:requested"]
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok


async def test_kept_nothing_follows_the_hold_stays_and_it_counts_against_the_detection(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1")
    assert isinstance(await keep(room, press_of(view, AGENT)), Decided)
    await pass_window(room)
    assert await take_final_steps(room, market()) == 0
    after = await reread(room, view)
    assert (after.state, cancels(after), after.final_step) == (CaseState.OPEN, [], None)
    assert after.hold is not None
    (story,) = await told(room, "automatic_kept")
    assert (story["by"], story["action"]) == (AGENT, "cancel")
    assert await tags(room, "person:automatic:%") == ["person:automatic:kept"]
    async with room.engine.connect() as conn:
        row = (await modes.read_modes(conn))[detection.name]
        results = await modes.read_automatic_results(conn, detection.name, row.market_at, 30)
    assert (results.fraud, results.good) == (0, 1)


async def test_who_has_no_role_cannot_keep_it_and_nobody_can_twice(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1")
    refused = await keep(room, press_of(view, STRANGER))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.NO_ROLE
    assert isinstance(await keep(room, press_of(view, AGENT)), Decided)
    again = await keep(room, press_of(await reread(room, view), LEAD))
    assert isinstance(again, Refusal)
    assert again.code is RefusalCode.NOTHING_TO_DO


async def test_above_its_limit_it_asks_people(room: Room, detection: Detection) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1", "O-2", "O-3")
    await pass_window(room)
    assert await take_final_steps(room, market()) == 1
    after = await reread(room, view)
    assert (after.state, cancels(after)) == (CaseState.AWAITING_APPROVAL, [])
    assert after.decision is not None
    assert after.decision.state is DecisionState.AWAITING_APPROVAL
    assert after.decision.slots == (("approver",),)
    assert await step_state(room) == "asked"
    (story,) = await told(room, "requested")
    assert story["approver_groups"] == ["S0LEADS"]


async def test_what_the_marketplace_refuses_by_then_is_left_out(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1", "O-2")
    await pass_window(room)
    assert await take_final_steps(room, market("O-1")) == 1
    assert cancels(await reread(room, view)) == ["O-2"]


async def test_where_people_have_decided_meanwhile_nothing_follows(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1")
    assert isinstance(await dismiss(room, press_of(view, LEAD), reason="Gift"), Decided)
    await carry_out(room)
    await pass_window(room)
    await take_final_steps(room, market())
    assert cancels(await reread(room, view)) == []
    assert await step_state(room) == "dropped"


async def test_a_pause_holds_the_final_step_back_until_it_is_over(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1")
    await pause(room, LEAD, "cancel", "決済障害")
    await pass_window(room)
    assert await take_final_steps(room, market()) == 0
    assert (cancels(await reread(room, view)), await step_state(room)) == ([], "waiting")


async def test_a_detection_that_lost_its_trust_makes_no_final_step(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1")
    await put_into(room, detection, Mode.SHADOW)
    await pass_window(room)
    await take_final_steps(room, market())
    assert (cancels(await reread(room, view)), await step_state(room)) == ([], "dropped")


async def test_the_policys_caps_of_the_action_bind_its_final_step(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection)
    room = under(room, caps=(Cap(per="action", window="day", actions=("cancel",), count=1),))
    view = await held(room, detection, "O-1", "O-2")
    await pass_window(room)
    assert await take_final_steps(room, market()) == 0
    assert (cancels(await reread(room, view)), await step_state(room)) == ([], "waiting")


async def test_a_newcomer_gets_the_whole_window_too(room: Room, detection: Detection) -> None:
    room = await trusted(room, detection)
    view = await held(room, detection, "O-1")
    before = view.final_step
    await run_of(room, detection, findings(room, detection, "O-2", account_ids=("buyer-of-O-1",)))
    await carry_out(room)
    await follow_newcomers(room)
    after = (await reread(room, view)).final_step
    assert before is not None
    assert after is not None
    assert after.due_at > before.due_at


async def test_holds_only_is_what_a_policy_without_actions_means(
    room: Room, detection: Detection
) -> None:
    room = await trusted(room, detection, actions=[], up_to={})
    view = await held(room, detection, "O-1")
    assert view.final_step is None
    assert await mode_of(room, detection) is not None


@pytest.mark.parametrize("action", ["refund", "hold"])
def test_no_policy_lets_a_detection_give_money_back(action: str) -> None:
    with pytest.raises(ValueError, match=r"remove|holds come first"):
        Automatic(caps={}, count=1, actions=(action,))
