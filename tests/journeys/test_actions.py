"""Refunds, takedowns, removed posts, and what a suspension says of those whom it touches."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from bot.cases.opening import open_findings, subjects_of
from bot.domain.cases import CaseState
from bot.domain.findings import Finding
from bot.domain.subjects import Subject, SubjectKind
from bot.playground.workspace.state import Message
from tests.builders import a_finding
from tests.journeys.stage import AGENT, ALERTS, APPROVER, APPROVER_2, Stage, buttons_of, text_of
from tests.playground.market.stage import add_account, add_listing, add_order


async def an_order(stage: Stage, order: str, **columns: Any) -> None:
    """A paid order of honest people, which no detection finds."""
    now = datetime.now(UTC)
    async with stage.market.pool.acquire() as conn, conn.transaction():
        for account in (f"seller-{order}", f"buyer-{order}"):
            await add_account(
                conn, account, is_seller=account.startswith("s"), updated_at=now, full_name="森 一"
            )
        await add_listing(conn, f"listing-{order}", seller_id=f"seller-{order}", updated_at=now)
        await add_order(
            conn,
            order,
            **{
                "buyer_id": f"buyer-{order}",
                "seller_id": f"seller-{order}",
                "total_amount": 12400,
                "discount_amount": 0,
                "points_amount": 0,
                "ordered_at": now - timedelta(days=3),
                "paid_at": now - timedelta(days=3),
                "updated_at": now,
            }
            | columns,
        )


async def refund(stage: Stage, user: str, order: str, values: dict[str, object]) -> Any:
    """Ask for a refund by command, and send its modal."""
    assert (await stage.workspace.command(user, ALERTS, "/cre", f"refund {order}")).ok
    await stage.modal(user)
    return await stage.submit(user, {"reason": "Not received"} | values)


async def refunds_of(stage: Stage, order: str) -> list[int]:
    rows = await stage.market.pool.fetch(
        "SELECT amount FROM market.refunds WHERE order_id = $1 ORDER BY created_at", order
    )
    return [row["amount"] for row in rows]


async def given_back_elsewhere(stage: Stage, order: str, amount: int) -> None:
    """Somebody gives money back in the back office, without us."""
    await stage.market.pool.execute(
        """INSERT INTO market.refunds (refund_id, order_id, amount, currency, route, state, created_at,
             updated_at) VALUES ('back-office', $1, $2, 'JPY', 'original', 'succeeded', now(), now())""",
        order,
        amount,
    )


async def found(stage: Stage, **changes: Any) -> Message:
    """A case from a finding, as a detection would hand it over."""
    assert stage.bot is not None
    finding: Finding = a_finding(**{"order_ids": (), "account_ids": (), "amount": None} | changes)
    facts = await stage.bot._reader.facts(list(subjects_of(finding)))
    await open_findings(stage.bot.room, [finding], facts)
    return await stage.card_with(finding.subject.id)


# ---- Refund


async def test_an_approver_refunds_a_small_order_whole_and_the_case_ends_with_it(
    stage: Stage,
) -> None:
    await an_order(stage, "O-1", total_amount=9000)
    assert (await refund(stage, AGENT, "O-1", {})).ok
    waiting = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    modal = await stage.modal(APPROVER)
    assert "¥9,000" in text_of(modal)
    assert (await stage.submit(APPROVER)).ok
    done = await stage.card_with("完了")
    assert "¥9,000" in done.text
    assert await refunds_of(stage, "O-1") == [9000]
    assert (await stage.case(done)).state is CaseState.DONE
    assert (await stage.verified()).ok


async def test_another_amount_is_planned_and_shown_before_it_is_decided(stage: Stage) -> None:
    await an_order(stage, "O-1")
    shown = await refund(stage, AGENT, "O-1", {"amount": "３，０００円"})
    assert shown.view is not None
    assert "¥3,000" in text_of(shown.view)
    assert await stage.count("decisions") == 0
    assert (await stage.submit(AGENT, {"reason": "Not received"})).ok
    assert await stage.count("decisions") == 1
    waiting = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok
    await stage.card_with("完了")
    assert await refunds_of(stage, "O-1") == [3000]


@pytest.mark.parametrize("typed", ["0", "-5", "12,401", "abc", "1.5", "99999999999999"])
async def test_an_amount_that_cannot_be_is_said_in_the_modal_and_nothing_is_lost(
    stage: Stage, typed: str
) -> None:
    await an_order(stage, "O-1")
    sent = await refund(stage, APPROVER, "O-1", {"amount": typed})
    assert "¥12,400" in sent.errors["amount"]
    assert await stage.count("decisions") == 0


async def test_after_a_smaller_amount_too_much_is_told_against_all_that_is_left(
    stage: Stage,
) -> None:
    await an_order(stage, "O-1")
    shown = await refund(stage, APPROVER, "O-1", {"amount": "3000"})
    assert shown.view is not None
    assert "hint" not in json.dumps(shown.view.blocks)
    for typed in ("12,401", "abc"):
        sent = await stage.submit(APPROVER, {"reason": "Not received", "amount": typed})
        assert "¥12,400" in sent.errors["amount"]
        assert "¥3,000" not in sent.errors["amount"]
    assert await stage.count("decisions") == 0


async def test_a_refund_made_elsewhere_meanwhile_stops_this_one_and_is_shown(stage: Stage) -> None:
    await an_order(stage, "O-1", total_amount=9000)
    assert (await stage.workspace.command(APPROVER, ALERTS, "/cre", "refund O-1")).ok
    await stage.modal(APPROVER)
    await given_back_elsewhere(stage, "O-1", 4000)
    sent = await stage.submit(APPROVER, {"reason": "Not received"})
    assert sent.view is not None
    assert "状況が変わりました" in text_of(sent.view)
    assert "¥5,000" in text_of(sent.view)
    assert await stage.count("decisions") == 0
    assert await refunds_of(stage, "O-1") == [4000]


async def test_a_refund_that_has_become_impossible_is_not_told_as_a_wrong_amount(
    stage: Stage,
) -> None:
    await an_order(stage, "O-1", total_amount=9000)
    assert (await stage.workspace.command(APPROVER, ALERTS, "/cre", "refund O-1")).ok
    await stage.modal(APPROVER)
    await given_back_elsewhere(stage, "O-1", 9000)
    sent = await stage.submit(APPROVER, {"reason": "Not received", "amount": "3000"})
    assert sent.errors == {}
    assert sent.view is not None
    assert "submit" not in sent.view.fields
    assert "O-1" in text_of(sent.view)
    assert await stage.count("decisions") == 0


async def test_a_plan_that_changes_while_a_second_person_thinks_stops_the_refund(
    stage: Stage,
) -> None:
    await an_order(stage, "O-1", total_amount=90000)
    assert (await refund(stage, AGENT, "O-1", {})).ok
    waiting = await stage.card_with("承認待ち")
    # The amount would still fit: the token alone tells that it would go another way than was shown.
    await stage.market.pool.execute(
        "UPDATE market.orders SET payment_method = 'wallet' WHERE order_id = 'O-1'"
    )
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.modal(APPROVER)
    await stage.submit(APPROVER)
    await stage.card_with("一部未完了")
    assert await refunds_of(stage, "O-1") == []


async def test_of_several_orders_the_one_that_was_chosen_is_shown_before_it_is_decided(
    stage: Stage,
) -> None:
    for order in ("O-1", "O-2"):
        await an_order(stage, order, total_amount=9000)
    card = await found(
        stage,
        subject=Subject(SubjectKind.ORDER, "O-1"),
        order_ids=("O-1", "O-2"),
        actions=("refund",),
    )
    assert (await stage.press(APPROVER, card, "refund")).ok
    await stage.modal(APPROVER)
    values: dict[str, object] = {"order": "O-2", "amount": "9,000", "reason": "Not received"}
    sent = await stage.submit(APPROVER, values)
    assert sent.view is not None
    assert "O-2" in text_of(sent.view)
    assert "カード決済" in text_of(sent.view)
    assert await stage.count("decisions") == 0
    assert (await stage.submit(APPROVER, {"reason": "Not received"})).ok

    async def paid_back() -> None:
        while await refunds_of(stage, "O-2") != [9000]:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(paid_back(), 20)
    assert await refunds_of(stage, "O-1") == []


async def test_above_the_limit_an_approver_needs_another_one(stage: Stage) -> None:
    await an_order(stage, "O-1", total_amount=90000)
    # Not by command: a case that somebody opened themselves always needs another person.
    card = await found(stage, subject=Subject(SubjectKind.ORDER, "O-1"), actions=("refund",))
    assert (await stage.press(APPROVER, card, "refund")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Not received"})).ok
    waiting = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.told(APPROVER, "ご自身")
    assert (await stage.press(APPROVER_2, waiting, "approve")).ok
    await stage.modal(APPROVER_2)
    assert (await stage.submit(APPROVER_2)).ok

    async def paid_back() -> None:
        while await refunds_of(stage, "O-1") != [90000]:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(paid_back(), 20)


async def test_two_refunds_at_once_never_give_back_more_than_is_left(stage: Stage) -> None:
    await an_order(stage, "O-1", total_amount=9000)
    for user in (AGENT, APPROVER_2):
        assert (await stage.workspace.command(user, ALERTS, "/cre", "refund O-1")).ok
        await stage.modal(user)
    sent = await asyncio.gather(
        *(stage.submit(user, {"reason": "Paid twice"}) for user in (AGENT, APPROVER_2))
    )
    assert sum(1 for one in sent if one.view is None) == 1
    assert await stage.count("decisions") == 1


async def test_a_payment_that_only_a_bank_transfer_gives_back_is_not_offered(stage: Stage) -> None:
    await an_order(stage, "O-1", payment_method="konbini")
    assert (await stage.workspace.command(APPROVER, ALERTS, "/cre", "refund O-1")).ok
    modal = await stage.modal(APPROVER)
    assert "銀行振込" in text_of(modal)
    assert "submit" not in modal.fields


async def test_money_of_an_order_judged_fraudulent_goes_back_to_the_card_alone(
    stage: Stage,
) -> None:
    await stage.self_dealing("O-1", amount=9000)
    async with stage.market.pool.acquire() as conn:
        await conn.execute("UPDATE market.orders SET payment_method = 'wallet'")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card"})).ok
    await stage.card_with("完了")
    assert await refunds_of(stage, "O-1") == []
    assert (await stage.workspace.command(APPROVER, ALERTS, "/cre", "refund O-1")).ok
    modal = await stage.modal(APPROVER)
    if "submit" in modal.fields:
        sent = await stage.submit(APPROVER, {"reason": "Paid twice"})
        assert sent.view is not None
        assert "不正と判定されています" in text_of(sent.view)
    await asyncio.sleep(0.5)
    assert await refunds_of(stage, "O-1") == []


@pytest.mark.parametrize("method", ["konbini", "bank_transfer", "wallet", "carrier", "points"])
async def test_a_fraudulent_order_pays_nobody_but_the_card(stage: Stage, method: str) -> None:
    await stage.self_dealing("O-1", amount=9000)
    async with stage.market.pool.acquire() as conn:
        await conn.execute("UPDATE market.orders SET payment_method = $1", method)
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card"})).ok
    await stage.card_with("完了")
    (effect,) = [e for e in await stage.market.effects("O-1") if e["kind"] == "cancel"]
    outcome = json.dumps(effect, default=str)
    assert "refund_payment" not in outcome
    assert await refunds_of(stage, "O-1") == []


async def test_the_ledger_takes_no_cancel_that_would_pay_a_suspect(stage: Stage) -> None:
    """What guards if somebody drops the parameter from the action: the database refuses the operation."""
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card"})).ok
    await stage.card_with("完了")
    for body in ('{"reason": "x"}', '{"reason": "x", "refund_policy": "normal"}'):
        async with stage.engine.connect() as conn:
            with pytest.raises(IntegrityError, match="cancel_withholds"):
                await conn.execute(
                    text(
                        """INSERT INTO ledger.operations (operation_id, decision_id, case_id, verb,
                             subject_kind, subject_id, body, body_hash, operation_class)
                           SELECT 'op_planted', decision_id, case_id, 'cancel', 'order', 'O-2',
                                  cast(:body AS jsonb), '', 'key' FROM ledger.decisions LIMIT 1"""
                    ),
                    {"body": body},
                )


# ---- Suspend, posts, listings


async def a_spammer(stage: Stage) -> Message:
    now = datetime.now(UTC)
    async with stage.market.pool.acquire() as conn, conn.transaction():
        for account in ("spammer", "fan-1", "fan-2"):
            await add_account(conn, account, updated_at=now, created_at=now - timedelta(days=2))
        for n, kind in enumerate(("profile", "message")):
            await conn.execute(
                """INSERT INTO market.posts (post_id, account_id, kind, recipient_id, body, urls, created_at,
                     updated_at) VALUES ($1, 'spammer', $2, $3, '限定プレゼント', $4, $5, $5)""",
                f"P-{n}",
                kind,
                None if kind == "profile" else "fan-1",
                ["https://evil.example/gift"],
                now,
            )
        for n in (1, 2):
            await conn.execute(
                """INSERT INTO market.follow_events (event_id, follower_id, followee_id, kind, occurred_at)
                   VALUES ($1, 'spammer', $2, 'follow', $3)""",
                f"F-{n}",
                f"fan-{n}",
                now,
            )
    return await found(
        stage,
        subject=Subject(SubjectKind.ACCOUNT, "spammer"),
        post_ids=("P-0", "P-1"),
        actions=("suspend", "remove_posts"),
    )


async def posts_left(stage: Stage) -> int:
    count: int = await stage.market.pool.fetchval("SELECT count(*) FROM market.posts")
    return count


async def test_a_suspension_takes_the_spammers_posts_and_follows_along(stage: Stage) -> None:
    card = await a_spammer(stage)
    assert {"act:suspend", "act:remove_posts"} <= set(buttons_of(card))
    assert (await stage.press(APPROVER, card, "suspend")).ok
    modal = await stage.modal(APPROVER)
    told = text_of(modal)
    assert "プロフィール(evil" in told
    assert "投稿を削除する" in told
    assert (
        await stage.submit(
            APPROVER,
            {
                "reason": "Spam or luring to another site",
                "options": ["remove_post", "remove_follows"],
            },
        )
    ).ok
    done = await stage.card_with("完了")
    assert "投稿2件を削除" in done.text
    assert (await stage.account("spammer"))["status"] == "suspended"
    assert await posts_left(stage) == 0
    kinds = sorted(e["kind"] for e in await stage.market.effects())
    assert kinds == ["remove_follows", "remove_post", "remove_post", "suspend"]
    assert (await stage.verified()).ok


async def test_posts_can_be_removed_alone_and_shown_again(stage: Stage) -> None:
    card = await a_spammer(stage)
    assert (await stage.press(APPROVER, card, "remove_posts")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Harassment"})).ok
    await stage.card_with("投稿2件を削除")
    assert await posts_left(stage) == 0
    assert (await stage.account("spammer"))["status"] == "active"
    done = await stage.until(
        lambda: next((c for c in stage.cards() if "act:restore_posts" in buttons_of(c)), None)
    )
    assert (await stage.press(APPROVER, done, "restore_posts")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Wrong removal"})).ok

    async def back() -> None:
        while await posts_left(stage) != 2:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(back(), 20)


async def test_a_listing_is_taken_down_and_restored(stage: Stage) -> None:
    await an_order(stage, "O-1")
    card = await found(
        stage,
        subject=Subject(SubjectKind.LISTING, "listing-O-1"),
        account_ids=("seller-O-1",),
        actions=("takedown",),
    )

    async def status() -> str:
        found_: str = await stage.market.pool.fetchval(
            "SELECT status FROM market.listings WHERE listing_id = 'listing-O-1'"
        )
        return found_

    assert (await stage.press(APPROVER, card, "takedown")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Copied without permission"})).ok
    done = await stage.card_with("完了")
    assert await status() in {"hidden", "removed"}
    undo = await stage.until(
        lambda: next((c for c in stage.cards() if "act:restore" in buttons_of(c)), None)
    )
    assert undo.ts == done.ts
    assert (await stage.press(APPROVER, undo, "restore")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Wrong takedown"})).ok

    async def active() -> None:
        while await status() != "active":
            await asyncio.sleep(0.05)

    await asyncio.wait_for(active(), 20)


async def test_the_modal_of_a_suspension_names_honest_buyers_and_the_messages(
    stage: Stage,
) -> None:
    await an_order(stage, "O-1")
    await found(
        stage,
        subject=Subject(SubjectKind.ACCOUNT, "seller-O-1"),
        actions=("suspend",),
    )
    card = await stage.card_with("seller-O-1")
    assert (await stage.press(APPROVER, card, "suspend")).ok
    told = text_of(await stage.modal(APPROVER))
    assert "・O-1 — " in told
    assert "アカウントのご利用停止について" in told
    assert "利用停止" in told
