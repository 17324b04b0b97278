"""How a detection earns trust: looked at in Slack, put into automatic by two people, kept, and let go on."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bot.domain.cases import CaseState
from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    ALERTS,
    APPROVER,
    ENGINEER,
    GUEST,
    OUTSIDER,
    Stage,
    buttons_of,
)
from tests.journeys.test_campaigns import end_with
from tests.journeys.test_pause import notice_with, say, tags

DETECTION = "self_dealing_link"


@pytest.fixture
def policy() -> dict[str, object]:
    return {
        "automatic": {
            "caps": {"JPY": 1_000_000},
            "count": 50,
            "decided": 1,
            "precision": 0.9,
            "actions": ["cancel"],
            "up_to": {"JPY": 50_000},
            "objection_minutes": 60,
        }
    }


async def run_job(stage: Stage, name: str) -> None:
    async with stage.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.ticks SET due_at = clock_timestamp() WHERE name = :name"),
            {"name": name},
        )


async def a_card(stage: Stage, order: str, words: str = "") -> Message:
    await stage.self_dealing(order)
    await stage.detect_now()
    return await stage.until(
        lambda: next(
            (card for card in stage.cards() if order in card.text and words in card.text), None
        ),
        what=lambda: f"{order} and {words!r} in {[card.text for card in stage.cards()]}",
    )


async def put_into_automatic(stage: Stage) -> None:
    told = await say(stage, ENGINEER, f"rules {DETECTION} automatic 的中率が高いため")
    assert "あと1名" in told
    asked = await notice_with(stage, "を「自動」にしますか")
    assert "的中率は100%" in asked.text
    assert (await stage.workspace.click(APPROVER, ALERTS, asked.ts, "act:proposal_approve")).ok
    await notice_with(stage, "を「自動」にしました")


async def test_the_detections_are_listed_with_what_they_found(stage: Stage) -> None:
    await a_card(stage, "O-1")
    told = await say(stage, AGENT, "rules")
    assert "ページ中1ページ" in told
    listed = told + await say(stage, AGENT, "rules 2") + await say(stage, AGENT, "rules 3")
    line = next(line for line in listed.splitlines() if DETECTION in line)
    assert "7日間で1件" in line
    assert "レビュー" in line
    assert "判定済みなし" in line
    assert "Seeing" not in await say(stage, GUEST, "rules")
    assert DETECTION not in await say(stage, OUTSIDER, "rules")


async def test_a_mode_that_is_not_earned_or_not_there_is_refused_with_a_sentence(
    stage: Stage,
) -> None:
    assert "判定済みの検知はありません" in await say(
        stage, ENGINEER, f"rules {DETECTION} automatic なんとなく"
    )
    assert "self_dealing_link" in await say(stage, ENGINEER, "rules self_dealing shadow x")
    assert "すでに「レビュー」" in await say(stage, ENGINEER, f"rules {DETECTION} review x")
    assert "モードと理由" in await say(stage, ENGINEER, f"rules {DETECTION} loud x")
    assert "理由" in await say(stage, ENGINEER, f"rules {DETECTION} shadow")
    assert await stage.count("detection_modes") == 0


async def test_a_detection_earns_automatic_is_kept_once_and_acts_once(stage: Stage) -> None:
    first = await a_card(stage, "O-1")
    await stage.press(AGENT, first, "hold")
    first = await stage.card_with("保留中")
    await end_with(stage, first, "cancel", "Self-dealing")
    await put_into_automatic(stage)

    kept = await a_card(stage, "O-2", "自動実行を止める")
    assert (await stage.order("O-2"))["held_at"] is not None
    assert "act:keep" in buttons_of(kept)
    assert (await stage.press(AGENT, kept, "keep")).ok
    await stage.until(
        lambda: next(
            (c for c in stage.cards() if c.ts == kept.ts and "act:keep" not in buttons_of(c)), None
        )
    )
    view = await stage.case(kept)
    assert (view.state, view.final_step) == (CaseState.OPEN, None)

    acts = await a_card(stage, "O-3", "自動実行を止める")
    async with stage.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.automatic_steps SET due_at = due_at - interval '1 hour'")
        )
    await run_job(stage, "job:expire_requests")
    await stage.until(
        lambda: next((c for c in stage.cards() if c.ts == acts.ts and "完了" in c.text), None),
        what=lambda: f"the end of O-3 in {[card.text for card in stage.cards()]}",
    )
    assert (await stage.order("O-3"))["status"] == "canceled"
    assert (await stage.order("O-2"))["status"] == "paid"
    told = await tags(stage)
    for tag in (
        "person:mode:set",
        "detection:hold:automatic",
        "person:automatic:kept",
        "detection:decision:requested",
    ):
        assert tag in told
    assert (await stage.verified()).ok
