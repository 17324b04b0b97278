"""A ring comes together in one case, its card says so, and its picture stands in the thread once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
from sqlalchemy import text

from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.state import Message
from tests.journeys.stage import ALERTS, Stage
from tests.playground.market.stage import add_account, add_order


def pictures(stage: Stage, card: Message) -> list[Message]:
    return [message for message in stage.workspace.thread(ALERTS, card.ts) if message.files]


async def another_buyer(stage: Stage, order: str, *, card: str) -> None:
    """Somebody else, elsewhere, pays with the same card."""
    now = datetime.now(UTC)
    async with stage.market.pool.acquire() as conn, conn.transaction():
        await add_account(conn, f"buyer-{order}", full_name="川田 次郎", updated_at=now)
        await add_account(conn, f"seller-{order}", is_seller=True, updated_at=now)
        await add_order(
            conn,
            order,
            buyer_id=f"buyer-{order}",
            seller_id=f"seller-{order}",
            total_amount=9900,
            discount_amount=0,
            points_amount=0,
            card_fingerprint=card,
            ordered_at=now - timedelta(seconds=5),
            paid_at=now - timedelta(seconds=5),
            updated_at=now,
        )


async def revisions(stage: Stage) -> int:
    """Which revision of the ring is known to stand in the thread."""
    async with stage.engine.connect() as conn:
        found = await conn.scalar(text("SELECT max(posted_revision) FROM ledger.ring_pictures"))
    return found or 0


async def test_a_newcomer_joins_the_case_of_its_ring_and_the_ring_is_a_picture_in_the_thread(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    async with stage.bot_running():
        await stage.self_dealing("O-1")
        await stage.detect_now()
        card = await stage.card_with("つながり: 2アカウント", within_s=60)
        await stage.until(lambda: pictures(stage, card) or None, within_s=60)
        await another_buyer(stage, "O-2", card="card-O-1")
        await stage.until(
            lambda: "つながり: 3アカウント・注文2件" in stage.cards()[0].text or None,
            within_s=60,
            what=lambda: stage.cards()[0].text,
        )
        assert len(stage.cards()) == 1
        told = [message.text for message in stage.workspace.thread(ALERTS, card.ts)]
        assert any(
            "つながりのある注文1件・1アカウントをこのケースに追加しました" in t for t in told
        ), told
    # Several newcomers are one picture, a minute later.
    (shown,) = pictures(stage, card)
    (file,) = shown.files
    assert file.content is not None
    assert file.content.startswith(b"\x89PNG")
    assert "つながり: 2アカウント" in (file.alt_text or "")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{stage.workspace.base_url}/files/{file.file_id}") as answer,
    ):
        assert answer.content_type == "image/png"


async def test_a_picture_whose_answer_was_lost_stands_in_the_thread_once(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    stage.workspace.fail("files.completeUploadExternal", FaultKind.DROPPED, after=True, times=1)
    async with stage.bot_running():
        await stage.self_dealing("O-1")
        await stage.detect_now()
        card = await stage.card_with("つながり: 2アカウント", within_s=60)
        await stage.until(lambda: pictures(stage, card) or None, within_s=60)

    # Another process finds it there, and does not post it again.
    async with stage.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.ring_pictures
                      SET due_at = clock_timestamp(), lease_owner = NULL, lease_until = NULL"""
            )
        )
    async with stage.bot_running(), asyncio.timeout(60):
        while await revisions(stage) == 0:
            await asyncio.sleep(0.05)
    assert len(pictures(stage, card)) == 1
