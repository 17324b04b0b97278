"""Working through the queue beside the channel: roll-up, next case, and what comes into the channel."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from bot.cases.queueing import roll_up
from bot.domain.cases import CaseState, CaseView
from bot.ledger import cases
from bot.ledger.engine import snapshot
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    OUTSIDER,
    Stage,
    buttons_of,
    elements_of,
    text_of,
)


@pytest.fixture
def policy() -> dict[str, object]:
    return {"cards_for": []}


async def queued(stage: Stage, *orders: tuple[str, int]) -> None:
    """Cases that wait in the queue, one an order."""
    for order, amount in orders:
        await stage.self_dealing(order, amount=amount)
    await stage.detect_now()
    async with asyncio.timeout(30):
        while await stage.count("cases") < len(orders):
            await asyncio.sleep(0.05)


async def view_of(stage: Stage, case_id: int) -> CaseView:
    async with snapshot(stage.engine) as conn:
        view = await cases.read_view(conn, case_id)
    assert view is not None
    return view


async def next_for(stage: Stage, user: str) -> str:
    before = len(stage.workspace.ephemerals(user))
    assert (await stage.workspace.command(user, ALERTS, "/cre", "next")).ok
    answers = await stage.until(lambda: stage.workspace.ephemerals(user)[before:] or None)
    return answers[-1].text


async def test_a_case_below_the_channels_severities_makes_no_card_but_stands_in_the_queue(
    stage: Stage,
) -> None:
    await queued(stage, ("O-1", 12400))
    await asyncio.sleep(1.5)
    assert stage.cards() == []
    assert (await stage.workspace.command(AGENT, ALERTS, "/cre", "queue")).ok
    await stage.told(AGENT, "C-2001")


async def test_next_gives_the_dearest_free_case_with_its_buttons_to_one_person_alone(
    stage: Stage,
) -> None:
    await queued(stage, ("O-1", 3000), ("O-2", 90000), ("O-3", 50000))
    first, second = await asyncio.gather(next_for(stage, AGENT), next_for(stage, AGENT_2))
    assert {("O-2" in first, "O-3" in first), ("O-2" in second, "O-3" in second)} == {
        (True, False),
        (False, True),
    }
    mine = stage.workspace.ephemerals(AGENT)[-1]
    assert "act:hold" in buttons_of(mine)
    assert "担当者になりました" in mine.text
    assert stage.cards() == []


async def test_an_empty_queue_is_said_so_and_an_outsider_gets_no_case(stage: Stage) -> None:
    assert "担当者のいないケースはありません" in await next_for(stage, AGENT)
    await queued(stage, ("O-1", 3000))
    assert "権限" in await next_for(stage, OUTSIDER)
    assert (await view_of(stage, 2001)).assignee is None


async def test_a_decision_from_the_queue_brings_the_card_and_its_thread_into_the_channel(
    stage: Stage,
) -> None:
    await queued(stage, ("O-1", 12400))
    await next_for(stage, AGENT)
    mine = stage.workspace.ephemerals(AGENT)[-1]
    assert (await stage.workspace.click(AGENT, ALERTS, mine.ts, "act:hold")).ok
    card = await stage.card_with("O-1")
    await stage.until(lambda: stage.workspace.thread(ALERTS, card.ts)[1:] or None)
    offered = await stage.told(AGENT, "受け付けました")
    assert "act:next" in buttons_of(offered)


async def test_a_case_dismissed_from_the_queue_leaves_the_channel_quiet(stage: Stage) -> None:
    await queued(stage, ("O-1", 12400), ("O-2", 3000))
    await next_for(stage, AGENT)
    mine = stage.workspace.ephemerals(AGENT)[-1]
    assert (await stage.workspace.click(AGENT, ALERTS, mine.ts, "act:dismiss")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Gift or bulk purchase"})).ok
    await stage.told(AGENT, "「問題なし」の判定を受け付けました")
    async with stage.engine.connect() as conn:
        states = (
            (await conn.execute(text("SELECT state FROM ledger.cases ORDER BY 1"))).scalars().all()
        )
    assert states == [CaseState.DISMISSED, CaseState.OPEN]
    again = await stage.until(
        lambda: next(
            (m for m in stage.workspace.ephemerals(AGENT) if "act:next" in buttons_of(m)), None
        )
    )
    assert (await stage.workspace.click(AGENT, ALERTS, again.ts, "act:next")).ok
    await stage.told(AGENT, "O-2")
    await asyncio.sleep(1.2)
    assert stage.cards() == []


async def test_a_stale_press_on_an_old_answer_changes_nothing(stage: Stage) -> None:
    await queued(stage, ("O-1", 12400))
    await next_for(stage, AGENT)
    mine = stage.workspace.ephemerals(AGENT)[-1]
    assert (await stage.workspace.click(AGENT, ALERTS, mine.ts, "act:hold")).ok
    await stage.told(AGENT, "受け付けました")
    assert (await stage.workspace.click(AGENT, ALERTS, mine.ts, "act:hold")).ok
    await stage.told(AGENT, "もう一度操作してください")
    assert await stage.count("decisions") == 1


async def test_the_roll_up_counts_what_came_once_and_offers_the_next_case(stage: Stage) -> None:
    await queued(stage, ("O-1", 3000), ("O-2", 90000))
    assert stage.bot is not None
    now = datetime.now(UTC)
    since = now - timedelta(hours=1)
    for _ in range(2):
        await roll_up(stage.bot.room, since=since, until=now)
    told = await stage.until(
        lambda: next(
            (m for m in stage.workspace.messages(ALERTS) if "対応待ちに加わった" in m.text), None
        )
    )
    assert "2件" in told.text
    assert "¥93,000" in told.text
    assert told.text.index("¥90,000") < told.text.index("¥3,000")
    await asyncio.sleep(1.2)
    async with stage.engine.connect() as conn:
        keys = (
            (await conn.execute(text("SELECT dedupe_key FROM ledger.posts WHERE kind = 'roll_up'")))
            .scalars()
            .all()
        )
    # The bot's own hour, which began with its start, is another one.
    assert keys.count(f"roll_up:{since.isoformat()}") == 1
    said = [m for m in stage.workspace.messages(ALERTS) if "対応待ちに加わった" in m.text]
    assert len(said) == len(keys)
    assert (await stage.workspace.click(AGENT, ALERTS, told.ts, "act:next")).ok
    await stage.told(AGENT, "O-2")


async def test_an_hour_in_which_nothing_came_is_not_mentioned(stage: Stage) -> None:
    await queued(stage, ("O-1", 3000))
    assert stage.bot is not None
    now = datetime.now(UTC)
    later = now + timedelta(hours=1)
    assert not await roll_up(stage.bot.room, since=now + timedelta(minutes=1), until=later)
    assert await stage.count("posts") == 1


async def test_a_case_is_looked_at_whatever_version_the_button_was_drawn_for(stage: Stage) -> None:
    await queued(stage, ("O-1", 12400))
    await next_for(stage, AGENT)
    mine = stage.workspace.ephemerals(AGENT)[-1]
    async with stage.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.cases SET version = version + 1, revision = revision + 1")
        )
    menu = elements_of(mine)[-1]
    details = next(o["value"] for o in menu["options"] if o["value"].startswith("details|"))
    assert (
        await stage.workspace.click(AGENT, ALERTS, mine.ts, menu["action_id"], chosen=details)
    ).ok
    assert "O-1" in text_of(await stage.modal(AGENT))
