from __future__ import annotations

import asyncio
from typing import Any

from bot.domain.cases import CaseState
from bot.domain.verbs import Verb
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    APPROVER,
    APPROVER_2,
    ENGINEER,
    GUEST,
    OUTSIDER,
    Stage,
    buttons_of,
    text_of,
)


async def test_an_order_becomes_a_card_an_approval_a_cancelled_order_and_a_proven_log(
    stage: Stage,
) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert "¥12,400" in card.text
    assert card.mentions == ()

    pressed = await stage.press(AGENT, card, "cancel")
    assert pressed.ok
    modal = await stage.modal(AGENT)
    assert "¥12,400" in text_of(modal)
    sent = await stage.submit(AGENT, {"reason": "Stolen card"})
    assert sent.ok
    assert sent.view is None

    waiting = await stage.card_with("承認待ち")
    assert waiting.ts == card.ts
    assert (await stage.case(card)).state is CaseState.AWAITING_APPROVAL
    assert (await stage.order("O-1"))["canceled_at"] is None

    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok

    done = await stage.card_with("完了")
    assert done.ts == card.ts
    order = await stage.order("O-1")
    assert order["status"] == "canceled"
    view = await stage.case(card)
    assert view.state is CaseState.DONE
    (decision,) = view.decisions
    assert decision.requested_by == AGENT
    assert [approval.user_id for approval in decision.approvals] == [APPROVER]
    assert [e["kind"] for e in await stage.market.effects("O-1")] == ["cancel"]
    thread = await stage.until(
        lambda: replies if len(replies := stage.workspace.thread(ALERTS, card.ts)) >= 4 else None,
        what=lambda: "the story in the thread",
    )
    assert any("佐藤" in reply.text for reply in thread)
    assert (await stage.verified()).ok


async def test_holding_is_one_press_and_not_fraud_releases_it(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(AGENT, card, "hold")).ok
    held = await stage.until(
        lambda: next(
            (
                c
                for c in stage.cards()
                if "act:hold" not in buttons_of(c) and "act:dismiss" in buttons_of(c)
            ),
            None,
        ),
        what=lambda: "a card of a held order",
    )
    assert (await stage.order("O-1"))["held_at"] is not None
    assert (await stage.press(AGENT, held, "dismiss")).ok
    modal = await stage.modal(AGENT)
    blocks: list[Any] = list(modal.blocks)
    reason = next(block for block in blocks if block.get("block_id") == "reason")
    option = reason["element"]["options"][0]["value"]
    assert (await stage.submit(AGENT, {"reason": option})).ok
    await stage.card_with("問題なし")
    assert (await stage.order("O-1"))["held_at"] is None
    assert (await stage.case(card)).state is CaseState.DISMISSED
    assert (await stage.verified()).ok


async def test_a_stale_click_changes_nothing_and_says_who_was_faster(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(AGENT, card, "cancel")
    await stage.modal(AGENT)
    await stage.press(AGENT_2, card, "hold")
    sent = await stage.submit(AGENT, {"reason": "Stolen card"})
    assert sent.ok
    assert sent.view is not None
    assert "鈴木" in text_of(sent.view)
    assert await stage.count("decisions") == 1


async def test_of_two_people_at_once_one_decides_and_the_other_is_told(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    results = await asyncio.gather(
        stage.press(AGENT, card, "hold"), stage.press(AGENT_2, card, "hold")
    )
    assert all(result.ok for result in results)
    told = await stage.until(
        lambda: (
            both
            if len(both := stage.workspace.ephemerals(AGENT) + stage.workspace.ephemerals(AGENT_2))
            == 2
            else None
        ),
        what=lambda: "an answer for each of them",
    )
    assert sorted("受け付けました" in answer.text for answer in told) == [False, True]
    assert await stage.count("decisions") == 1
    await stage.until(
        lambda: "act:dismiss" in (now := buttons_of(stage.cards()[0])) and "act:hold" not in now
    )
    assert len(await stage.market.effects("O-1")) == 1


async def test_an_outsider_and_a_guest_get_a_sentence_and_change_nothing(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    for name in ("hold", "cancel", "dismiss"):
        assert (await stage.press(OUTSIDER, card, name)).ok
    await stage.told(OUTSIDER, "権限")
    assert (await stage.press(GUEST, card, "hold")).ok
    await stage.until(lambda: stage.workspace.ephemerals(GUEST) or None)
    assert stage.workspace.open_view(OUTSIDER) is None
    assert await stage.count("decisions") == 0
    assert (await stage.case(card)).state is CaseState.OPEN


async def test_nobody_approves_their_own_request(stage: Stage) -> None:
    await stage.self_dealing("O-1", amount=60000)
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(APPROVER, card, "cancel")
    await stage.modal(APPROVER)
    await stage.submit(APPROVER, {"reason": "Stolen card"})
    waiting = await stage.card_with("承認待ち")
    await stage.press(APPROVER, waiting, "approve")
    await stage.told(APPROVER, "ご自身が申請")
    await stage.press(ENGINEER, waiting, "approve")
    await stage.told(ENGINEER, "権限")
    await stage.press(APPROVER_2, waiting, "approve")
    await stage.modal(APPROVER_2)
    await stage.submit(APPROVER_2)
    await stage.card_with("完了")
    assert (await stage.order("O-1"))["status"] == "canceled"


async def test_a_plan_that_changed_under_an_open_modal_is_shown_anew(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(APPROVER, card, "cancel")
    await stage.modal(APPROVER)
    await stage.market.pool.execute(
        "UPDATE market.orders SET payment_method = 'konbini' WHERE order_id = 'O-1'"
    )
    sent = await stage.submit(APPROVER, {"reason": "Stolen card"})
    assert sent.ok
    assert sent.response_action == "update"
    assert sent.view is not None
    assert await stage.count("decisions") == 0
    again = await stage.submit(APPROVER, {"reason": "Stolen card"})
    assert again.view is None
    await stage.card_with("完了")
    refunds = await stage.market.pool.fetchval("SELECT count(*) FROM market.refunds")
    assert refunds == 0


async def test_an_order_that_was_shipped_meanwhile_is_told_and_not_cancelled(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(AGENT, card, "cancel")
    await stage.modal(AGENT)
    await stage.submit(AGENT, {"reason": "Stolen card"})
    waiting = await stage.card_with("承認待ち")
    await stage.press(APPROVER, waiting, "approve")
    await stage.modal(APPROVER)
    await stage.market.pool.execute(
        "UPDATE market.orders SET status = 'shipped', shipped_at = now() WHERE order_id = 'O-1'"
    )
    await stage.submit(APPROVER)
    failed = await stage.card_with("一部未完了")
    assert "すでに発送されています" in failed.text
    view = await stage.case(card)
    assert view.state is CaseState.PARTLY_DONE
    assert await stage.market.effects("O-1") == []


async def test_a_suspension_is_decided_and_can_be_undone(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    await stage.card_with("O-1")
    acted = await stage.workspace.command(APPROVER, ALERTS, "/cre", "suspend buyer-O-1")
    assert acted.ok
    await stage.modal(APPROVER)
    await stage.submit(APPROVER, {"reason": "Self-dealing"})
    await stage.until(
        lambda: next(
            (
                c
                for c in stage.cards()
                if "act:reinstate" in str(buttons_of(c)) or "reinstate|" in str(buttons_of(c))
            ),
            None,
        ),
        what=lambda: f"an undo button: {[buttons_of(c) for c in stage.cards()]}",
    )
    assert (await stage.account("buyer-O-1"))["status"] == "suspended"


async def test_claiming_names_the_person_on_the_card(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(AGENT, card, "claim")
    await stage.card_with("佐藤")
    assert (await stage.case(card)).assignee == AGENT


async def test_a_role_that_was_taken_away_counts_at_once(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    stage.workspace.remove_from_group("cs-agents", AGENT)

    async def lost() -> bool:
        async with stage.engine.connect() as conn:
            from bot.ledger import people

            found = await people.read_person(conn, AGENT)
        return found is not None and not found[0].roles

    async with asyncio.timeout(5):
        while not await lost():
            await asyncio.sleep(0.05)
    await stage.press(AGENT, card, "hold")
    await stage.told(AGENT, "権限")
    assert await stage.count("decisions") == 0


async def test_a_colleague_who_cancels_by_hand_is_noticed(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.market.carry_out("cancel", "O-1", {"reason": "x", "actor": "y"}, key="by-hand-0001")
    await stage.detect_now()
    await stage.until(
        lambda: "act:cancel" not in buttons_of(stage.cards()[0]) or None,
        what=lambda: "a card without the cancel button",
    )
    assert "act:hold" not in buttons_of(stage.cards()[0])
    thread = await stage.until(
        lambda: [m for m in stage.workspace.thread(ALERTS, card.ts) if "O-1" in m.text] or None
    )
    assert thread


async def test_the_verb_that_runs_is_the_one_that_was_frozen(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(APPROVER, card, "cancel")
    await stage.modal(APPROVER)
    await stage.submit(APPROVER, {"reason": "Stolen card", "options": [Verb.SUSPEND.value]})
    await stage.card_with("完了")
    view = await stage.case(card)
    assert {o.verb for o in view.operations} == {Verb.CANCEL, Verb.SUSPEND}
    assert (await stage.account("buyer-O-1"))["status"] == "suspended"
    assert (await stage.account("seller-O-1"))["status"] == "suspended"
