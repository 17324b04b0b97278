"""A day of a team that comes and goes: reminders, holds that end, and what happens while nobody is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    APPROVER,
    ENGINEER,
    Stage,
    buttons_of,
    text_of,
    write_policy,
)

WHY = "警察の照会への回答を待っています"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@pytest.fixture
def policy() -> dict[str, object]:
    return {
        "escalate_to": ["engineer"],
        "off_hours": {"detections": ["self_dealing_link"], "caps": {"JPY": 50000}, "count": 20},
        "calendar": {"hours": dict.fromkeys(DAYS, "00:00-24:00")},
    }


async def look_now(stage: Stage) -> None:
    """Make what the clock does due."""
    async with stage.engine.begin() as conn:
        await conn.execute(
            text(
                "UPDATE ledger.ticks SET due_at = clock_timestamp() WHERE name = 'job:expire_requests'"
            )
        )


async def pass_hours(stage: Stage, hours: float) -> None:
    """Let every hold and every request be so much older."""
    params = {"m": hours * 60}
    async with stage.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.cases SET hold_since = hold_since - make_interval(mins => :m),
                          hold_until = hold_until - make_interval(mins => :m)"""
            ),
            params,
        )
        await conn.execute(
            text(
                """UPDATE ledger.decisions SET requested_at = requested_at - make_interval(mins => :m),
                          reminded_at = reminded_at - make_interval(mins => :m)
                    WHERE state = 'awaiting_approval'"""
            ),
            params,
        )
    await look_now(stage)


async def in_thread(stage: Stage, card: Message, words: str) -> Message:
    return await stage.until(
        lambda: next((m for m in stage.workspace.thread(ALERTS, card.ts) if words in m.text), None),
        what=lambda: (
            f"{words!r}; there is {[m.text for m in stage.workspace.thread(ALERTS, card.ts)]}"
        ),
    )


async def held_in_market(stage: Stage, order: str, *, held: bool) -> None:
    async with asyncio.timeout(20):
        while ((await stage.order(order))["held_at"] is not None) is not held:
            await asyncio.sleep(0.03)


def shown(stage: Stage, says: Callable[[Message], bool]) -> Callable[[], Message | None]:
    return lambda: next((card for card in stage.cards() if says(card)), None)


async def test_approvers_are_reminded_in_the_thread_and_then_others_are_called_in(
    stage: Stage,
) -> None:
    await stage.self_dealing("O-1", amount=80000)
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    card = await stage.card_with("承認待ち")
    await pass_hours(stage, 0.3)
    reminder = await in_thread(stage, card, "回答がまだありません")
    assert reminder.text.startswith("<!subteam^S0LEADS> ")
    await pass_hours(stage, 4)
    called = await in_thread(stage, card, "営業時間で4時間回答がありません")
    assert called.text.startswith("<!subteam^S0ENGINEERS> ")
    assert (await stage.verified()).ok


async def test_a_hold_is_its_owners_is_extended_with_a_reason_and_ends(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "hold")).ok
    card = await stage.card_with("🔒 保留 佐藤")
    assert (await stage.order("O-1"))["held_at"] is not None
    view = await stage.case(card)
    assert view.hold is not None
    ends = view.hold.until.astimezone(ZoneInfo("Asia/Tokyo"))
    assert f"🔒 保留 佐藤 ・ 期限 {ends.month}月{ends.day}日 {ends:%H:%M}" in card.text

    await pass_hours(stage, 21)
    warning = await in_thread(stage, card, "の保留は")
    assert warning.text.startswith(f"<@{AGENT}> ")
    card = await stage.until(shown(stage, lambda card: "act:extend_hold" in buttons_of(card)))

    # An engineer may look and hold, not extend.
    assert (await stage.press(ENGINEER, card, "extend_hold")).ok
    await stage.told(ENGINEER, "権限が必要です")
    assert (await stage.press(AGENT_2, card, "extend_hold")).ok
    modal = await stage.modal(AGENT_2)
    assert "以後はあなたが担当になります" in text_of(modal)
    assert (await stage.submit(AGENT_2, {"words": WHY})).ok
    card = await stage.card_with("🔒 保留 鈴木")
    assert "延長1回" in card.text
    assert WHY in (await in_thread(stage, card, "鈴木さんが保留を")).text

    await pass_hours(stage, 24.5)
    await stage.until(
        lambda: sum("の保留は" in m.text for m in stage.workspace.thread(ALERTS, card.ts)) == 2
    )
    assert (await stage.order("O-1"))["held_at"] is not None
    await pass_hours(stage, 4)
    await in_thread(stage, card, "延長されなかったため")
    await held_in_market(stage, "O-1", held=False)
    card = await stage.card_with("直近の操作: 注文1件の保留を解除")
    assert "ボット" in card.text
    assert "🔒" not in card.text
    assert (await stage.verified()).ok


async def test_who_extends_a_hold_on_an_old_card_learns_how_it_is_now(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "hold")).ok
    card = await stage.card_with("🔒 保留 佐藤")
    assert (await stage.press(AGENT, card, "extend_hold")).ok
    await stage.modal(AGENT)
    assert (await stage.press(APPROVER, card, "release")).ok
    await held_in_market(stage, "O-1", held=False)
    sent = await stage.submit(AGENT, {"words": WHY})
    assert sent.view is not None
    assert "更新しました" in text_of(sent.view)
    assert (await stage.case(card)).hold is None


async def test_at_night_orders_are_held_at_once_and_the_shift_hears_of_it_once(
    quiet_stage: Stage, policy: dict[str, object]
) -> None:
    stage = quiet_stage
    now = datetime.now(UTC).astimezone(ZoneInfo("Asia/Tokyo"))
    other_day = DAYS[(now + timedelta(days=3)).weekday()]
    path = stage.settings.policy_file
    assert path is not None
    base = {"take_back_seconds": 0, "cards_for": ["P1", "P2", "P3"], **policy}
    night = {**base, "calendar": {"hours": {other_day: "09:00-18:00"}}}
    stage.settings = stage.settings.model_copy(
        update={"policy_file": write_policy(path.parent, **night)}
    )
    async with stage.bot_running():
        await stage.self_dealing("O-1", amount=40000)
        await stage.detect_now()
        card = await stage.card_with("🔒 保留 チーム")
        await held_in_market(stage, "O-1", held=True)
        await in_thread(
            stage, card, "営業時間外のため、ポリシーに従って注文1件(¥40,000)をすぐに保留しました"
        )
        await stage.self_dealing("O-2", amount=20000)
        await stage.detect_now()
        card = await stage.card_with("O-2")
        await in_thread(stage, card, "時間外の上限に達したため")
        assert (await stage.order("O-2"))["held_at"] is None
        assert [effect["kind"] for effect in await stage.market.effects()] == ["hold"]
    assert not [m for m in stage.workspace.messages(ALERTS) if "🌙" in m.text]

    stage.settings = stage.settings.model_copy(
        update={"policy_file": write_policy(path.parent, **base)}
    )
    async with stage.bot_running():
        await look_now(stage)
        summary = await stage.until(
            lambda: next((m for m in stage.workspace.messages(ALERTS) if "🌙" in m.text), None)
        )
        assert "営業時間外の検知: 2件のケース" in summary.text
        assert "保留中: 注文1件(¥40,000)" in summary.text
        assert "時間外の上限に達したため、保留していません: 注文1件" in summary.text
        assert "保留していない金額: ¥20,000" in summary.text
        await look_now(stage)
        # Somebody goes on working meanwhile; nothing is told twice.
        await stage.self_dealing("O-3")
        await stage.detect_now()
        await stage.card_with("O-3")
    assert sum("🌙" in m.text for m in stage.workspace.messages(ALERTS)) == 1
    assert (await stage.order("O-3"))["held_at"] is None
    assert (await stage.verified()).ok
