"""A dangerous decision waits a little before it is carried out, and can be taken back until then."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from bot.domain.cases import CaseState, DecisionState, OperationState
from tests.journeys.stage import AGENT, ALERTS, APPROVER, ENGINEER, OUTSIDER, Stage, buttons_of

SECONDS = 3


@pytest.fixture
def policy() -> dict[str, object]:
    return {"take_back_seconds": SECONDS}


async def cancel(stage: Stage, order: str, *, amount: int = 12400) -> None:
    await stage.self_dealing(order, amount=amount)
    await stage.detect_now()
    card = await stage.card_with(order)
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card"})).ok


async def test_a_decision_taken_back_does_nothing_and_the_case_is_open_as_before(
    stage: Stage,
) -> None:
    await cancel(stage, "O-1")
    card = await stage.card_with("それまで取り消せます")
    assert "act:take_back" in buttons_of(card)
    assert (await stage.press(AGENT, card, "take_back")).ok
    again = await stage.card_with("を取り消しました。何も実行されていません")
    assert "act:cancel" in buttons_of(again)
    await asyncio.sleep(SECONDS + 1.5)
    assert await stage.market.effects("O-1") == []
    view = await stage.case(card)
    assert view.state is CaseState.OPEN
    (decision,) = view.decisions
    assert decision.state is DecisionState.TAKEN_BACK
    assert decision.taken_back_by == AGENT
    assert {o.state for o in view.operations} == {OperationState.STOPPED}
    async with stage.engine.connect() as conn:
        labelled = await conn.scalar(
            text("SELECT count(*) FROM ledger.findings WHERE verdict IS NOT NULL")
        )
    assert labelled == 0
    await stage.until(
        lambda: any("取り消しました" in m.text for m in stage.workspace.thread(ALERTS, card.ts))
    )
    assert (await stage.verified()).ok


async def test_what_nobody_takes_back_is_carried_out_when_its_time_has_come(stage: Stage) -> None:
    await cancel(stage, "O-1")
    await stage.card_with("それまで取り消せます")
    assert await stage.market.effects("O-1") == []
    card = await stage.card_with("完了")
    assert [e["kind"] for e in await stage.market.effects("O-1")] == ["cancel"]
    view = await stage.case(card)
    (decision,) = view.decisions
    first = min(o.ended_at for o in view.operations if o.ended_at)
    assert decision.starts_at is not None
    assert first >= decision.starts_at


async def test_what_has_begun_cannot_be_taken_back(stage: Stage) -> None:
    await cancel(stage, "O-1")
    card = await stage.card_with("それまで取り消せます")
    await stage.card_with("完了")
    assert (
        await stage.workspace.click(
            AGENT,
            ALERTS,
            card.ts,
            "act:more",
            chosen=next(v for v in buttons_of(card) if v.startswith("details|")),
        )
    ).ok
    view = await stage.case(card)
    async with stage.engine.connect() as conn:
        with pytest.raises(Exception, match="has begun already"):
            await conn.execute(
                text("UPDATE ledger.decisions SET state = 'taken_back' WHERE decision_id = :id"),
                {"id": view.decisions[0].decision_id},
            )


async def test_a_request_counts_down_only_from_its_approval(stage: Stage) -> None:
    await stage.self_dealing("O-1", amount=90000)
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    waiting = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok
    await stage.told(APPROVER, "取り消せます")
    counting = await stage.card_with("それまで取り消せます")
    # Also the approver may: standing still harms nobody.
    assert (await stage.press(APPROVER, counting, "take_back")).ok
    await stage.card_with("取り消しました")
    await asyncio.sleep(SECONDS + 1.5)
    assert await stage.market.effects("O-1") == []


async def test_who_may_not_stop_operations_may_not_take_back(stage: Stage) -> None:
    await cancel(stage, "O-1")
    card = await stage.card_with("それまで取り消せます")
    assert (await stage.press(OUTSIDER, card, "take_back")).ok
    await stage.told(OUTSIDER, "権限")
    done = await stage.card_with("完了")
    assert done.ts == card.ts


async def test_two_who_take_back_at_once_take_back_once(stage: Stage) -> None:
    await cancel(stage, "O-1")
    card = await stage.card_with("それまで取り消せます")
    pressed = await asyncio.gather(
        stage.press(AGENT, card, "take_back"), stage.press(ENGINEER, card, "take_back")
    )
    assert all(press.ok for press in pressed)
    await stage.until(
        lambda: any(
            "もう一度操作してください" in m.text
            for user in (AGENT, ENGINEER)
            for m in stage.workspace.ephemerals(user)
        )
    )
    async with stage.engine.connect() as conn:
        taken = await conn.scalar(
            text(
                "SELECT count(*) FROM ledger.audit_entries WHERE tag = 'person:decision:taken_back'"
            )
        )
    assert taken == 1


async def test_holding_is_not_put_off(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "hold")).ok

    async def held() -> None:
        while (await stage.order("O-1"))["held_at"] is None:
            await asyncio.sleep(0.02)

    await asyncio.wait_for(held(), SECONDS - 0.5)
