"""Each kind of campaign: its rows appear in the marketplace, its card appears, the fitting action takes effect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.domain.cases import CaseState
from bot.playground.workspace.state import Message
from tests.journeys.stage import AGENT, ALERTS, APPROVER, Stage, buttons_of, text_of
from tests.playground.market.stage import _insert, add_account, add_listing, add_order

LURE = "https://minato-gift.example/login"


def ago(**how_long: float) -> datetime:
    return datetime.now(UTC) - timedelta(**how_long)


async def put(stage: Stage, relation: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of a relation that has no defaults of its own."""
    async with stage.market.pool.acquire() as conn, conn.transaction():
        for row in rows:
            await _insert(conn, relation, row)


async def put_accounts(stage: Stage, *accounts: str, **columns: Any) -> None:
    async with stage.market.pool.acquire() as conn, conn.transaction():
        for account in accounts:
            await add_account(
                conn, account, **({"created_at": ago(days=200), "updated_at": ago()} | columns)
            )


async def put_order(stage: Stage, order: str, *, at: datetime, **columns: Any) -> None:
    async with stage.market.pool.acquire() as conn:
        await add_order(
            conn,
            order,
            **{
                "discount_amount": 0,
                "points_amount": 0,
                "ordered_at": at,
                "paid_at": at,
                "ship_due_at": at + timedelta(days=2),
                "updated_at": ago(),
            }
            | columns,
        )


async def end_with(
    stage: Stage, card: Message, action: str, reason: str, *, end: str = "完了", **values: object
) -> Message:
    """The agent asks by a button, the approver approves, and the card tells the end."""
    assert (await stage.press(AGENT, card, action)).ok
    return await request_and_approve(stage, reason, end=end, **values)


async def request_and_approve(
    stage: Stage, reason: str, *, end: str = "完了", **values: object
) -> Message:
    """From the agent's open modal to the words on the card that tell the end."""
    await stage.modal(AGENT)
    sent = await stage.submit(AGENT, {"reason": reason, **values})
    assert sent.ok
    assert sent.view is None
    asked = await stage.until(
        lambda: next((c for c in stage.cards() if "act:approve" in buttons_of(c)), None),
        what=lambda: "a request for approval",
    )
    assert (await stage.press(APPROVER, asked, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok
    return await stage.card_with(end)


async def hold(stage: Stage, card: Message) -> Message:
    """One press, and the card shows that there is nothing left to hold."""
    assert (await stage.press(AGENT, card, "hold")).ok

    def held() -> Message | None:
        now = next(c for c in stage.cards() if c.ts == card.ts)
        names = buttons_of(now)
        return now if "act:dismiss" in names and "act:hold" not in names else None

    return await stage.until(held, what=lambda: "a card whose orders are held")


async def effects_of(stage: Stage) -> set[tuple[str, str]]:
    effects = await stage.market.effects()
    told = {(effect["kind"], effect["subject_id"]) for effect in effects}
    assert len(told) == len(effects), "something happened twice"
    return told


async def assert_it_ended_well(stage: Stage, card: Message) -> None:
    view = await stage.case(card)
    assert view.state is CaseState.DONE
    assert (await stage.verified()).ok


# ---- Self-dealing, stolen cards


async def test_self_dealing_is_held_cancelled_and_both_its_sides_are_suspended(
    stage: Stage,
) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    held = await hold(stage, card)
    assert (await stage.order("O-1"))["held_at"] is not None
    done = await end_with(stage, held, "cancel", "Self-dealing")
    assert (await stage.order("O-1"))["status"] == "canceled"
    assert (await stage.order("O-1"))["shipped_at"] is None
    for account in ("seller-O-1", "buyer-O-1"):
        assert (await stage.account(account))["status"] == "suspended"
    assert await effects_of(stage) == {
        ("hold", "O-1"),
        ("cancel", "O-1"),
        ("suspend", "seller-O-1"),
        ("suspend", "buyer-O-1"),
    }
    await assert_it_ended_well(stage, done)


async def test_a_list_of_stolen_cards_is_held_whole_and_its_buyer_suspended_the_shop_is_not(
    stage: Stage,
) -> None:
    await put_accounts(stage, "shop", is_seller=True)
    await put_accounts(stage, "thief", created_at=ago(hours=2))
    for n in range(4):
        await put_order(
            stage,
            f"O-{n}",
            at=ago(minutes=30 - 5 * n),
            buyer_id="thief",
            seller_id="shop",
            card_fingerprint=f"card-{n}",
        )
    await stage.detect_now()
    card = await stage.until(
        lambda: next((c for c in stage.cards() if "4件" in c.text), None),
        what=lambda: f"a card of four orders; there are {[c.text for c in stage.cards()]}",
    )
    held = await hold(stage, card)
    assert {e for e in await effects_of(stage) if e[0] == "hold"} == {
        ("hold", f"O-{n}") for n in range(4)
    }
    done = await end_with(stage, held, "cancel", "Stolen card")
    for n in range(4):
        assert (await stage.order(f"O-{n}"))["status"] == "canceled"
    assert (await stage.account("thief"))["status"] == "suspended"
    assert (await stage.account("shop"))["status"] == "active"
    await assert_it_ended_well(stage, done)


# ---- Card testing, one card on many accounts, a shop that is new


async def test_who_tries_card_after_card_is_suspended_and_the_order_that_passed_is_held(
    stage: Stage,
) -> None:
    await put_accounts(stage, "shop", is_seller=True)
    await put_accounts(stage, "tester", created_at=ago(hours=1))
    attempt = {"account_id": "tester", "amount": 300, "currency": "JPY"}
    tries: list[dict[str, Any]] = [
        {
            **attempt,
            "attempt_id": f"A-{n}",
            "card_fingerprint": f"card-{n}",
            "result": "declined",
            "decline_code": "do_not_honor",
            "attempted_at": ago(minutes=30 - n),
        }
        for n in range(12)
    ]
    await put(stage, "payment_attempts", tries)
    await put_order(
        stage,
        "O-1",
        at=ago(minutes=15),
        buyer_id="tester",
        seller_id="shop",
        card_fingerprint="card-passed",
        total_amount=300,
    )
    await stage.detect_now()
    card = await stage.until(
        lambda: next((c for c in stage.cards() if "act:suspend" in _menu(c)), None),
        what=lambda: f"a card to suspend somebody; there are {[c.text for c in stage.cards()]}",
    )
    held = await hold(stage, card)
    assert (await stage.order("O-1"))["held_at"] is not None
    left = await end_with(
        stage, held, "suspend", "Stolen card", end="直近の操作: 1アカウントを利用停止"
    )
    # The order is only held: what becomes of it is still to be decided.
    assert "act:cancel" in buttons_of(left) or "act:dismiss" in buttons_of(left)
    assert (await stage.case(left)).state is CaseState.OPEN
    assert (await stage.account("tester"))["status"] == "suspended"
    assert (await stage.account("shop"))["status"] == "active"
    assert await effects_of(stage) == {("hold", "O-1"), ("suspend", "tester")}
    assert (await stage.verified()).ok


async def test_one_card_on_three_accounts_is_held_and_cancelled(stage: Stage) -> None:
    await put_accounts(stage, "shop", is_seller=True)
    buyers = ("mule-1", "mule-2", "mule-3")
    await put_accounts(stage, *buyers, created_at=ago(days=4))
    for n, buyer in enumerate(buyers):
        await put_order(
            stage,
            f"O-{n}",
            at=ago(hours=30 - 12 * n),
            buyer_id=buyer,
            seller_id="shop",
            card_fingerprint="card-stolen",
        )
    await stage.detect_now()
    held = await hold(stage, await stage.card_with("O-2"))
    assert ("hold", "O-2") in await effects_of(stage)
    done = await end_with(stage, held, "cancel", "Stolen card")
    assert (await stage.order("O-2"))["status"] == "canceled"
    assert (await stage.account("mule-3"))["status"] == "suspended"
    assert (await stage.account("shop"))["status"] == "active"
    await assert_it_ended_well(stage, done)


async def test_a_new_shop_that_sells_to_newcomers_with_one_phone_is_held_before_its_payout(
    stage: Stage,
) -> None:
    await put_accounts(stage, "new-shop", is_seller=True, created_at=ago(days=5))
    buyers = tuple(f"newcomer-{n}" for n in range(3))
    await put_accounts(stage, *buyers, created_at=ago(hours=20))
    for n, buyer in enumerate(buyers):
        await put_order(
            stage,
            f"O-{n}",
            at=ago(hours=6 - 2 * n),
            buyer_id=buyer,
            seller_id="new-shop",
            card_fingerprint=f"card-{n}",
            device_id=f"phone-{n % 2}",
        )
    await stage.detect_now()
    await hold(stage, await stage.card_with("O-2"))
    assert ("hold", "O-2") in await effects_of(stage)
    assert (await stage.order("O-2"))["shipped_at"] is None
    assert (await stage.account("new-shop"))["status"] == "active"
    assert (await stage.verified()).ok


# ---- Follows and messages that lure


async def put_a_lurer(stage: Stage) -> None:
    """Follows a crowd, lets go of most of it, and writes to some, all with one link."""
    await put_accounts(stage, "lurer", created_at=ago(days=2))
    await put_accounts(stage, "friend")
    follows: list[dict[str, Any]] = []
    for n in range(60):
        at = ago(minutes=50) + timedelta(seconds=10 * n)
        event = {"follower_id": "lurer", "followee_id": f"fan-{n}"}
        follows.append(
            {**event, "event_id": f"F-{n}", "kind": "follow", "occurred_at": at},
        )
        if n % 3:
            later = at + timedelta(minutes=8)
            follows.append(
                {**event, "event_id": f"U-{n}", "kind": "unfollow", "occurred_at": later}
            )
    await put(stage, "follow_events", follows)
    post = {"account_id": "lurer", "body": "当選しました", "urls": [LURE]}
    sent = [
        {**post, "post_id": f"P-{n}", "kind": "message", "recipient_id": f"fan-{n}"}
        for n in range(8)
    ]
    profile = {**post, "post_id": "P-profile", "kind": "profile"}
    friendly = {
        "post_id": "P-friend",
        "account_id": "friend",
        "kind": "comment",
        "body": "きれいですね",
        "urls": [],
    }
    at = ago(minutes=20)
    await put(
        stage,
        "posts",
        [{**one, "created_at": at, "updated_at": at} for one in (*sent, profile, friendly)],
    )


async def test_a_lurer_is_suspended_and_takes_posts_and_follows_along(stage: Stage) -> None:
    await put_a_lurer(stage)
    await stage.detect_now()
    card = await stage.until(
        lambda: next((c for c in stage.cards() if "act:remove_posts" in _menu(c)), None),
        what=lambda: f"a card with posts; there are {[c.text for c in stage.cards()]}",
    )
    assert (await stage.press(AGENT, card, "suspend")).ok
    told = text_of(await stage.modal(AGENT))
    assert "投稿9件を削除" in told
    assert LURE not in told
    await stage.workspace.close_view(AGENT)
    done = await end_with(
        stage,
        card,
        "suspend",
        "Spam or luring to another site",
        options=["remove_post", "remove_follows"],
    )
    assert (await stage.account("lurer"))["status"] == "suspended"
    left = await stage.market.pool.fetch("SELECT post_id FROM market.posts")
    assert [row["post_id"] for row in left] == ["P-friend"]
    still_followed = await stage.market.pool.fetchval(
        """SELECT count(*) FROM (SELECT DISTINCT ON (followee_id) kind FROM market.follow_events
             WHERE follower_id = 'lurer' ORDER BY followee_id, occurred_at DESC) AS last
            WHERE kind = 'follow'"""
    )
    assert still_followed == 0
    await assert_it_ended_well(stage, done)


def _menu(card: Message) -> set[str]:
    """Everything that can be pressed, from the menu too, as buttons are named."""
    names = buttons_of(card)
    return {*names, *(f"act:{name.partition('|')[0]}" for name in names)}


# ---- Refund abuse


async def put_an_abuser(stage: Stage) -> None:
    """Had one order delivered and wants its money; another one is on its way."""
    await put_accounts(stage, "shop", is_seller=True)
    await put_accounts(stage, "abuser")
    people = {"buyer_id": "abuser", "seller_id": "shop", "total_amount": 9000}
    await put_order(stage, "O-old", at=ago(days=9), **people)
    await put_order(stage, "O-new", at=ago(hours=1), **people)
    await stage.market.pool.execute(
        """UPDATE market.orders SET status = 'delivered', shipped_at = ordered_at + interval '1 day',
                  delivered_at = ordered_at + interval '3 days' WHERE order_id = 'O-old'"""
    )


async def ask(stage: Stage, words: str) -> None:
    assert (await stage.workspace.command(AGENT, ALERTS, "/cre", words)).ok


async def test_an_abuser_gets_his_money_back_once_whoever_asks_again(stage: Stage) -> None:
    await put_an_abuser(stage)
    await ask(stage, "refund O-old")
    await request_and_approve(stage, "Not received")
    await ask(stage, "refund O-old")
    again = await stage.modal(AGENT)
    assert "submit" not in again.fields
    refunds = await stage.market.pool.fetch("SELECT order_id, amount FROM market.refunds")
    assert [tuple(row) for row in refunds] == [("O-old", 9000)]
    assert await effects_of(stage) == {("refund", "O-old")}
    assert (await stage.verified()).ok


async def test_suspending_an_abuser_by_name_leaves_the_shop_as_it_is(
    stage: Stage,
) -> None:
    await put_an_abuser(stage)
    await ask(stage, "suspend abuser")
    told = text_of(await stage.modal(AGENT))
    assert "abuser" in told
    done = await request_and_approve(stage, "Other (write it below)", note="返金を繰り返し要求")
    assert (await stage.account("abuser"))["status"] == "suspended"
    assert (await stage.account("shop"))["status"] == "active"
    await assert_it_ended_well(stage, done)


# ---- Those who come back, and copies


async def test_somebody_who_was_suspended_is_known_by_the_card_and_suspended_again(
    stage: Stage,
) -> None:
    await put_accounts(stage, "shop", is_seller=True)
    await put_accounts(
        stage, "banned", status="suspended", suspended_at=ago(days=2), created_at=ago(days=20)
    )
    await put_accounts(stage, "returned", created_at=ago(hours=5))
    for order, buyer, at in (("O-1", "banned", ago(days=5)), ("O-2", "returned", ago(minutes=10))):
        await put_order(
            stage, order, at=at, buyer_id=buyer, seller_id="shop", card_fingerprint="card-1"
        )
    await stage.detect_now()
    card = await stage.card_with("returned")
    held = await hold(stage, card)
    left = await end_with(
        stage,
        held,
        "suspend",
        "Same person behind several accounts",
        end="直近の操作: 1アカウントを利用停止",
    )
    assert (await stage.account("returned"))["status"] == "suspended"
    assert (await stage.account("shop"))["status"] == "active"
    assert await effects_of(stage) == {("hold", "O-2"), ("suspend", "returned")}
    # The order is only held: what becomes of it is still to be decided.
    assert (await stage.case(left)).state is CaseState.OPEN
    assert (await stage.verified()).ok


async def test_a_copied_listing_is_taken_down_and_its_original_stays(stage: Stage) -> None:
    await put_accounts(stage, "maker", is_seller=True)
    await put_accounts(stage, "copier", is_seller=True, created_at=ago(days=2))
    listings = (
        ("L-original", "maker", ago(days=90), 5000),
        ("L-copy", "copier", ago(hours=1), 2000),
    )
    async with stage.market.pool.acquire() as conn:
        for listing, seller, at, price in listings:
            await add_listing(
                conn,
                listing,
                seller_id=seller,
                title="花のブローチ",
                price=price,
                image_hashes=[1023],
                created_at=at,
                updated_at=at,
            )
    await stage.detect_now()
    card = await stage.card_with("L-copy")
    done = await end_with(stage, card, "takedown", "Copied without permission")
    rows = await stage.market.pool.fetch(
        "SELECT listing_id, status FROM market.listings ORDER BY listing_id"
    )
    assert {row["listing_id"]: row["status"] for row in rows} == {
        "L-copy": "removed",
        "L-original": "active",
    }
    assert (await stage.account("copier"))["status"] == "active"
    assert await effects_of(stage) == {("takedown", "L-copy")}
    await assert_it_ended_well(stage, done)
