"""An approver goes on holiday: somebody stands in for them, everybody knows it, and it ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bot.domain.cases import CaseState
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    APPROVER,
    APPROVER_2,
    GUEST,
    OUTSIDER,
    Stage,
)


def day(offset: int) -> str:
    """A day of the team, from today on."""
    today = datetime.now(UTC).astimezone(ZoneInfo("Asia/Tokyo")).date()
    return (today + timedelta(days=offset)).isoformat()


async def say(stage: Stage, user: str, words: str) -> str:
    before = len(stage.workspace.ephemerals(user))
    assert (await stage.workspace.command(user, ALERTS, "/cre", words)).ok
    answers = await stage.until(lambda: stage.workspace.ephemerals(user)[before:] or None)
    return answers[-1].text


async def in_channel(stage: Stage, words: str) -> str:
    found = await stage.until(
        lambda: next((m for m in stage.workspace.messages(ALERTS) if words in m.text), None),
        what=lambda: f"{words!r}; there is {[m.text for m in stage.workspace.messages(ALERTS)]}",
    )
    return found.text


async def test_a_stand_in_approves_until_the_approver_is_back(stage: Stage) -> None:
    told = await say(stage, APPROVER, f"delegate <@{AGENT_2}|suzuki> {day(2)}")
    assert told == f"田中さんの代理: 鈴木さん({day(0)} – {day(2)})"
    assert "🔁 鈴木さんが田中さんの代理をします" in await in_channel(stage, "🔁")

    await stage.self_dealing("O-1", amount=80000)
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    card = await stage.card_with("承認待ち")
    assert (await stage.press(AGENT_2, card, "approve")).ok
    await stage.modal(AGENT_2)
    assert (await stage.submit(AGENT_2)).ok
    card = await stage.card_with("✅ 完了")
    assert "鈴木" in card.text
    assert "田中" in card.text

    assert await say(stage, APPROVER, "delegate end")
    await stage.self_dealing("O-2", amount=80000)
    await stage.detect_now()
    card = await stage.card_with("O-2")
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    card = await stage.card_with("承認待ち")
    assert (await stage.press(AGENT_2, card, "approve")).ok
    await stage.told(AGENT_2, "「承認者」権限が必要です")
    assert (await stage.case(card)).state is CaseState.AWAITING_APPROVAL
    assert (await stage.verified()).ok


async def test_names_and_ids_are_understood_and_what_makes_no_sense_is_said(stage: Stage) -> None:
    stage.workspace.rename(AGENT_2, "Suzuki Hanako")
    async with asyncio.timeout(10):
        while "Suzuki" not in await say(stage, APPROVER, f"delegate @Suzuki Hanako {day(1)}"):
            await asyncio.sleep(0.05)
    assert "代理" in await say(stage, APPROVER, f"delegate {AGENT} {day(1)} {day(3)}")
    assert "佐藤" in await say(stage, APPROVER_2, f"delegate @佐藤 {day(1)}")
    assert await stage.count("delegations") == 3
    for words in (
        f"delegate {GUEST} {day(1)}",
        f"delegate @nobody {day(1)}",
        f"delegate {AGENT_2} 25",
        f"delegate {AGENT_2} {day(-1)}",
        f"delegate {APPROVER} {day(1)}",
    ):
        assert await say(stage, APPROVER, words)
    assert "権限" in await say(stage, OUTSIDER, f"delegate {AGENT} {day(1)}")
    assert await stage.count("delegations") == 3
