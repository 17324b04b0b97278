"""The operators' own folder of detections: what happens to it counts in the running bot, and the channel is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from tests.detections.heads import SOUND, write_detection
from tests.journeys.stage import ALERTS, Stage
from tests.playground.market.stage import add_order

OFTEN = ("every: 30s", "every: 1s")
URGENT = ("severity: P2", "severity: P1")


async def told(stage: Stage, *words: str) -> None:
    await stage.until(
        lambda: (
            [
                message
                for message in stage.workspace.messages(ALERTS)
                if all(word in message.text.replace("\u2060", "") for word in words)
            ]
            or None
        ),
        what=lambda: f"{words}; there is {[m.text for m in stage.workspace.messages(ALERTS)]}",
    )


async def a_dear_order(stage: Stage, order: str) -> None:
    now = datetime.now(UTC)
    async with stage.market.pool.acquire() as conn, conn.transaction():
        await add_order(
            conn,
            order,
            buyer_id=f"buyer-{order}",
            seller_id=f"seller-{order}",
            total_amount=300000,
            discount_amount=0,
            points_amount=0,
            ordered_at=now,
            paid_at=now,
            ship_due_at=now + timedelta(hours=2),
            updated_at=now,
        )


async def until_tick(stage: Stage, what: str) -> None:
    """Until the detection's row of the clock is so."""
    query = f"SELECT {what} FROM ledger.ticks WHERE name = 'detection:large_order'"
    async with asyncio.timeout(30):
        while True:
            async with stage.engine.connect() as conn:
                if await conn.scalar(text(query)):
                    return
            await asyncio.sleep(0.05)


async def test_a_detection_comes_breaks_and_goes_without_a_restart(
    quiet_stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    quiet_stage.settings = quiet_stage.settings.model_copy(update={"detections_dir": folder})
    async with quiet_stage.bot_running() as bot:
        stage, stage.bot = quiet_stage, bot
        path = write_detection(folder, OFTEN, URGENT)
        await told(stage, "検知が変わりました", "+ large_order")
        await until_tick(stage, "watermark IS NOT NULL")
        await a_dear_order(stage, "O-FIRST")
        await stage.card_with("高額注文の疑い")

        path.write_text(SOUND.replace("FROM orders", "FROM odrers"), encoding="utf-8")
        await told(
            stage, "large_order.sql:28:", "did you mean orders?", "前の正しい版", "large_order"
        )
        await a_dear_order(stage, "O-SECOND")
        await stage.until(lambda: len(stage.cards()) == 2 or None)

        path.unlink()
        await told(stage, "検知が変わりました", "- large_order")
        async with stage.engine.connect() as conn:
            entries = await conn.scalars(
                text(
                    "SELECT details FROM ledger.audit_entries WHERE tag = 'detections:folder:changed' ORDER BY seq"
                )
            )
            added, refused, removed = entries.all()
        assert list(added["changed"]) == ["large_order"]
        assert refused["kept"] == ["large_order"]
        assert removed["removed"] == ["large_order"]

        await until_tick(stage, "due_at = 'infinity'")


async def test_a_file_that_is_broken_at_the_start_is_told_and_stops_nothing(
    quiet_stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "broken.sql").write_text("SELECT 1", encoding="utf-8")
    quiet_stage.settings = quiet_stage.settings.model_copy(update={"detections_dir": folder})
    async with quiet_stage.bot_running() as bot:
        quiet_stage.bot = bot
        await told(quiet_stage, "検知のファイルを読み込めません", "broken.sql:1:")
