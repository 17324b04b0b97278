"""A marketplace without an admin API: the same cards, policy and log, and people do it in the back office."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.domain.cases import CaseState, OperationState
from bot.playground.workspace.state import Message
from tests.journeys.stage import AGENT, APPROVER, OUTSIDER, Stage, buttons_of, text_of


@pytest.fixture
async def stage(quiet_stage: Stage) -> Stage:
    """A bot that knows of no admin API at all."""
    settings = quiet_stage.settings.model_copy(
        update={"market_api_url": None, "market_api_token": None}
    )
    return replace(quiet_stage, settings=settings)


async def approved(stage: Stage, order: str) -> Message:
    """A cancel that was asked for and approved; its card."""
    await stage.self_dealing(order)
    async with stage.market.pool.acquire() as conn:
        await conn.execute(
            "UPDATE market.orders SET admin_url = 'https://shop.example/admin/orders/' || order_id"
        )
    await stage.detect_now()
    card = await stage.card_with(order)
    assert (await stage.press(AGENT, card, "cancel")).ok
    modal = await stage.modal(AGENT)
    assert "管理画面" in text_of(modal)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    waiting = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok
    return await stage.card_with("管理画面で次の操作を行い")


async def test_what_people_did_is_recorded_with_their_name_and_closes_the_case(
    stage: Stage,
) -> None:
    async with stage.bot_running():
        card = await approved(stage, "O-1")
        assert "https://shop.example/admin/orders/O-1" in str(card.blocks)
        assert (await stage.press(AGENT, card, "by_hand")).ok
        modal = await stage.modal(AGENT)
        blocks: list[Any] = list(modal.blocks)
        options = [
            option["value"]
            for block in blocks
            if block.get("type") == "input"
            for option in block["element"]["options"]
        ]
        assert (await stage.submit(AGENT, {"by_hand:0": options})).ok
        await stage.card_with("完了")
        view = await stage.case(card)
        assert view.state is CaseState.DONE
        assert {o.resolved_by for o in view.operations} == {"human"}
        assert await stage.market.effects() == []
        assert (await stage.verified()).ok


async def test_what_was_not_ticked_counts_as_not_done(stage: Stage) -> None:
    async with stage.bot_running():
        card = await approved(stage, "O-1")
        assert (await stage.press(AGENT, card, "by_hand")).ok
        await stage.modal(AGENT)
        assert (await stage.submit(AGENT, {})).ok
        partly = await stage.card_with("一部未完了")
        assert "手作業で実施されていません" in partly.text
        view = await stage.case(card)
        assert {o.state for o in view.operations} == {OperationState.FAILED}


async def test_what_the_marketplace_shows_as_done_needs_nobodys_word(stage: Stage) -> None:
    async with stage.bot_running():
        card = await approved(stage, "O-1")
        now = datetime.now(UTC)
        async with stage.market.pool.acquire() as conn:
            await conn.execute(
                "UPDATE market.orders SET status = 'canceled', canceled_at = $1, updated_at = $1",
                now,
            )
            await conn.execute(
                "UPDATE market.accounts SET status = 'suspended', suspended_at = $1, updated_at = $1",
                now,
            )
        await stage.detect_now()
        await stage.card_with("完了")
        view = await stage.case(card)
        assert {o.resolved_by for o in view.operations} == {"seen"}
        assert "act:by_hand" not in buttons_of(stage.cards()[0])


async def test_who_has_no_right_cannot_say_that_it_was_done(stage: Stage) -> None:
    async with stage.bot_running():
        card = await approved(stage, "O-1")
        assert (await stage.press(OUTSIDER, card, "by_hand")).ok
        await stage.told(OUTSIDER, "権限")
        assert {o.state for o in (await stage.case(card)).operations} == {OperationState.PENDING}


async def test_what_nobody_will_do_can_be_stopped(stage: Stage) -> None:
    async with stage.bot_running():
        card = await approved(stage, "O-1")
        assert (await stage.press(AGENT, card, "stop_rest")).ok
        await stage.card_with("一部未完了")
        assert {o.state for o in (await stage.case(card)).operations} == {OperationState.STOPPED}
