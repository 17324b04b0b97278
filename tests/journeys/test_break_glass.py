"""Break glass: one person alone, in an emergency, loudly, and somebody else reviews it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.domain.cases import CaseState
from bot.playground.workspace.state import Message
from tests.journeys.stage import AGENT, ALERTS, APPROVER, APPROVER_2, ENGINEER, Stage, text_of

SECURITY = "C0DIGEST"
REASON = "承認者が全員不在で、30分後に発送されるため"


@pytest.fixture
def policy() -> dict[str, object]:
    """The agent who asks, and the engineer, may break the glass; both are approvers of nothing."""
    return {
        "roles": {
            "agent": {"groups": ["cs-agents"]},
            "approver": {"groups": ["cs-leads"]},
            "engineer": {"groups": ["engineers"]},
            "break_glass": {"users": [AGENT, ENGINEER]},
        }
    }


async def a_request(stage: Stage) -> Message:
    await stage.self_dealing("O-1", amount=80000)
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    return await stage.card_with("承認待ち")


async def break_it(stage: Stage, user: str, card: Message) -> None:
    assert (await stage.press(user, card, "break_glass")).ok
    modal = await stage.modal(user)
    assert "単独で承認しようとしています" in text_of(modal)
    assert "強制キャンセル" in text_of(modal)
    assert (await stage.submit(user, {"words": REASON, "confirm": "break glass"})).ok


async def notice_with(stage: Stage, words: str) -> Message:
    return await stage.until(
        lambda: next((m for m in stage.workspace.messages(ALERTS) if words in m.text), None),
        what=lambda: f"{words!r}; there is {[m.text for m in stage.workspace.messages(ALERTS)]}",
    )


async def rows(stage: Stage, sql: str) -> list[tuple[object, ...]]:
    async with stage.engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(sql))]


async def carried_out(stage: Stage, order: str) -> None:
    async with asyncio.timeout(20):
        while not await stage.market.effects(order):
            await asyncio.sleep(0.03)


@pytest.mark.parametrize("user", [AGENT, ENGINEER])
async def test_one_person_lets_it_through_loudly_and_another_reviews_it(
    stage: Stage, user: str
) -> None:
    card = await a_request(stage)
    await break_it(stage, user, card)
    await carried_out(stage, "O-1")
    card = await stage.card_with("緊急時の単独承認")
    assert REASON in (await notice_with(stage, "🚨 緊急: C-2001")).text
    asked = await notice_with(stage, "🟠 事後確認: C-2001")
    assert [m.text for m in stage.workspace.thread(ALERTS, card.ts) if REASON in m.text]

    # Neither who did it nor who had asked for it may review it, nor somebody without the role.
    for who in (user, AGENT):
        click = await stage.workspace.click(who, ALERTS, asked.ts, "act:review_justified")
        assert click.ok
        await stage.told(who, "必要です" if who in {AGENT, ENGINEER} else "別の方")
    assert await rows(stage, "SELECT state FROM ledger.proposals") == [("open",)]

    assert (await stage.workspace.click(APPROVER, ALERTS, asked.ts, "act:review_justified")).ok
    await stage.modal(APPROVER)
    words = "発送直前だったことを確認。次回から当番を2名にする"
    assert (await stage.submit(APPROVER, {"words": words})).ok
    done = await notice_with(stage, "✅ 田中さん: 妥当でした。" + words)
    assert done.ts == asked.ts
    assert await rows(stage, "SELECT state, ended_by FROM ledger.proposals") == [
        ("approved", APPROVER)
    ]
    logged = await rows(
        stage,
        """SELECT tag, actor, (SELECT value FROM ledger.audit_private
                                 WHERE commitment = details -> 'private' ->> 'reason'), details ->> 'justified'
             FROM ledger.audit_entries
            WHERE tag LIKE 'person:glass:%' ORDER BY seq""",
    )
    assert logged == [
        ("person:glass:broken", user, REASON, None),
        ("person:glass:reviewed", APPROVER, None, "true"),
    ]
    assert (await stage.verified()).ok


async def test_a_review_may_find_that_it_was_not_justified(stage: Stage) -> None:
    card = await a_request(stage)
    await break_it(stage, ENGINEER, card)
    asked = await notice_with(stage, "🟠 事後確認")
    assert (await stage.workspace.click(APPROVER_2, ALERTS, asked.ts, "act:review_not")).ok
    await stage.modal(APPROVER_2)
    assert (await stage.submit(APPROVER_2, {"words": "電話で承認者に連絡できたはずです"})).ok
    await notice_with(stage, "妥当ではありませんでした。電話で")
    assert await rows(stage, "SELECT state FROM ledger.proposals") == [("rejected",)]


async def test_without_the_role_nobody_breaks_it_and_the_attempt_is_in_the_log(
    stage: Stage,
) -> None:
    card = await a_request(stage)
    assert (await stage.press(APPROVER, card, "break_glass")).ok
    await stage.told(APPROVER, "「緊急時対応」権限が必要です")
    assert await rows(
        stage,
        """SELECT actor, details ->> 'action' FROM ledger.audit_entries
            WHERE tag = 'policy:decision:denied'""",
    ) == [(APPROVER, "break_glass")]
    assert (await stage.case(card)).state is CaseState.AWAITING_APPROVAL


async def test_it_takes_a_reason_and_the_typed_word(stage: Stage) -> None:
    card = await a_request(stage)
    assert (await stage.press(ENGINEER, card, "break_glass")).ok
    await stage.modal(ENGINEER)
    sent = await stage.submit(ENGINEER, {"words": REASON, "confirm": "はい"})
    assert "BREAK GLASS" in str(sent.errors)
    assert (await stage.case(card)).state is CaseState.AWAITING_APPROVAL
    assert (await stage.submit(ENGINEER, {"words": REASON, "confirm": "BREAK GLASS"})).ok
    await carried_out(stage, "O-1")


async def test_a_pause_holds_even_an_emergency(stage: Stage) -> None:
    card = await a_request(stage)
    assert (await stage.press(ENGINEER, card, "break_glass")).ok
    await stage.modal(ENGINEER)
    assert (await stage.workspace.command(APPROVER, ALERTS, "/cre", "pause 決済障害")).ok
    await notice_with(stage, "🛑 一時停止")
    sent = await stage.submit(ENGINEER, {"words": REASON, "confirm": "BREAK GLASS"})
    assert sent.view is not None
    assert "一時停止しました(理由: 決済障害)" in text_of(sent.view)
    assert await stage.market.effects() == []
    assert await rows(stage, "SELECT count(*) FROM ledger.proposals") == [(0,)]


async def test_the_database_knows_no_nameless_emergency(stage: Stage) -> None:
    await a_request(stage)
    for attempt in (
        "UPDATE ledger.decisions SET state = 'approved'",
        "UPDATE ledger.decisions SET state = 'approved', broken_glass_by = 'U0ITO'",
    ):
        with pytest.raises(DBAPIError, match=r"lacks approvals|violates check"):
            async with stage.engine.begin() as conn:
                await conn.execute(text(attempt))


async def test_security_is_told_in_its_own_channel_and_reviews_there(quiet_stage: Stage) -> None:
    stage = quiet_stage
    stage.settings = stage.settings.model_copy(update={"security_channel": SECURITY})
    async with stage.bot_running() as bot:
        stage.bot = bot
        card = await a_request(stage)
        await break_it(stage, ENGINEER, card)
        await notice_with(stage, "🚨 緊急: C-2001")
        await stage.until(lambda: told_security(stage, "🚨 緊急: C-2001") or None)
        await stage.until(lambda: told_security(stage, "🟠 事後確認: C-2001") or None)
        assert not [m for m in stage.workspace.messages(ALERTS) if "🟠 事後確認" in m.text]


def told_security(stage: Stage, words: str) -> list[str]:
    return [m.text for m in stage.workspace.messages(SECURITY) if words in m.text]
