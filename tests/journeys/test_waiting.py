"""Cases that wait for an answer, notes from the thread, and cards that fold when they are done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from bot.cases.consulting import end_waits
from bot.cases.queueing import fold_closed
from bot.domain.cases import CaseState, WaitKind
from bot.playground.workspace.state import Message
from tests.journeys.stage import AGENT, AGENT_2, ALERTS, APPROVER, OUTSIDER, Stage, text_of


async def a_card(stage: Stage, order: str = "O-1") -> Message:
    await stage.self_dealing(order)
    await stage.detect_now()
    return await stage.card_with(order)


async def consult(stage: Stage, user: str, card: Message, values: dict[str, object]) -> None:
    assert (await stage.press(user, card, "consult")).ok
    modal = await stage.modal(user)
    assert "カスタマーサポートです" in str(modal.fields)
    assert (await stage.submit(user, values)).ok


def accessory_of(card: Message) -> dict[str, Any]:
    blocks: list[Any] = list(card.blocks)
    found: dict[str, Any] = blocks[0]["accessory"]
    return found


async def next_for(stage: Stage, user: str) -> str:
    before = len(stage.workspace.ephemerals(user))
    assert (await stage.workspace.command(user, ALERTS, "/cre", "next")).ok
    answers = await stage.until(lambda: stage.workspace.ephemerals(user)[before:] or None)
    return answers[-1].text


async def test_asking_the_customer_keeps_the_text_and_the_case_waits(stage: Stage) -> None:
    card = await a_card(stage)
    await consult(stage, AGENT, card, {"way": "customer", "text": "ご本人のご注文でしょうか。"})
    waiting = await stage.card_with("お客様に確認中")
    assert "佐藤" in waiting.text
    view = await stage.case(card)
    assert view.state is CaseState.OPEN
    assert view.wait is not None
    assert view.wait.kind is WaitKind.CUSTOMER
    assert view.assignee == AGENT
    await stage.until(
        lambda: any(
            "ご本人のご注文でしょうか" in m.text for m in stage.workspace.thread(ALERTS, card.ts)
        )
    )
    # It is nobody's next case while it waits.
    assert "担当者のいないケースはありません" in await next_for(stage, AGENT_2)


async def test_an_escalation_calls_the_group_and_gives_the_case_up(stage: Stage) -> None:
    card = await a_card(stage)
    assert (await stage.press(AGENT, card, "claim")).ok
    card = await stage.card_with("担当者: 佐藤")
    await consult(stage, AGENT, card, {"way": "cs-leads", "note": "金額が大きいです。"})
    escalated = await stage.card_with("cs-leads にエスカレーション中")
    assert "担当者: 未割り当て" in escalated.text
    told = await stage.until(
        lambda: next(
            (m for m in stage.workspace.thread(ALERTS, card.ts) if "エスカレーション" in m.text),
            None,
        )
    )
    assert "金額が大きいです。" in told.text
    assert "S0LEADS" in told.text
    assert (await stage.verified()).ok


async def test_a_case_can_be_decided_while_it_waits_and_waits_no_more(stage: Stage) -> None:
    card = await a_card(stage)
    await consult(stage, AGENT, card, {"way": "customer"})
    waiting = await stage.card_with("お客様に確認中")
    assert (await stage.press(AGENT, waiting, "dismiss")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Known customer or family"})).ok
    closed = await stage.card_with("問題なし")
    view = await stage.case(closed)
    assert view.state is CaseState.DISMISSED
    assert view.wait is None


async def test_an_answer_that_does_not_come_brings_the_case_back_and_calls_who_asked(
    stage: Stage,
) -> None:
    card = await a_card(stage)
    await consult(stage, AGENT, card, {"way": "customer"})
    await stage.card_with("お客様に確認中")
    async with stage.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.cases SET wait_until = clock_timestamp() - interval '1 second'")
        )
    assert stage.bot is not None
    assert await end_waits(stage.bot.room) + await end_waits(stage.bot.room) <= 1
    told = await stage.until(
        lambda: next(
            (m for m in stage.workspace.thread(ALERTS, card.ts) if "期限までに回答" in m.text), None
        )
    )
    assert AGENT in told.text
    await stage.until(lambda: "お客様に確認中" not in stage.cards()[0].text)


async def test_who_may_not_work_on_cases_cannot_let_one_wait(stage: Stage) -> None:
    card = await a_card(stage)
    assert (await stage.press(OUTSIDER, card, "consult")).ok
    await stage.told(OUTSIDER, "権限")
    assert (await stage.case(card)).wait is None


async def test_replies_in_the_thread_are_counted_and_read_in_the_details(stage: Stage) -> None:
    card = await a_card(stage)
    for words in ("以前も同じ住所がありました", "<!channel> *要注意*"):
        await stage.workspace.post(AGENT, ALERTS, words, thread_ts=card.ts)
    noted = await stage.card_with("メモ2件")
    assert (await stage.press(APPROVER, noted, "details")).ok
    told = text_of(await stage.modal(APPROVER))
    assert "以前も同じ住所がありました" in told
    assert "佐藤" in told


async def test_a_card_that_closed_a_while_ago_is_one_line_with_a_menu(stage: Stage) -> None:
    card = await a_card(stage)
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card", "options": ["suspend"]})).ok
    done = await stage.card_with("完了")
    assert len(done.blocks) > 1
    assert stage.bot is not None
    assert await fold_closed(stage.bot.room, closed_for_s=3600) == 0
    assert await fold_closed(stage.bot.room, closed_for_s=0) == 1
    folded = await stage.until(lambda: next((c for c in stage.cards() if len(c.blocks) == 1), None))
    assert "完了" in folded.text
    assert "C-2001" in folded.text
    assert "\n" not in folded.text
    menu = accessory_of(folded)["options"]
    details = next(o["value"] for o in menu if o["value"].startswith("details|"))
    acted = await stage.workspace.click(AGENT, ALERTS, folded.ts, "act:more", chosen=details)
    assert acted.ok
    assert "O-1" in text_of(await stage.modal(AGENT))
    # Whoever undoes it finds the whole card again.
    undo = next(o["value"] for o in menu if o["value"].startswith("reinstate|"))
    assert (await stage.workspace.click(APPROVER, ALERTS, folded.ts, "act:more", chosen=undo)).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Wrong suspension"})).ok
    await stage.until(lambda: len(stage.cards()[0].blocks) > 1)
