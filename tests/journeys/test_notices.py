"""Notices: told once in their channel, and drawn anew in the same message when they change."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.notices import Notice, NoticeKind
from bot.ledger import posts
from tests.journeys.stage import ALERTS, Stage

PAUSE = Notice(kind=NoticeKind.PAUSED, by_name="鈴木", action="all", reason="決済障害")


async def test_a_notice_is_told_once_and_a_changed_one_in_its_place(stage: Stage) -> None:
    assert stage.bot is not None
    room = stage.bot.room
    for _ in range(2):
        async with room.engine.begin() as conn:
            await posts.queue_notice(conn, PAUSE, channel=ALERTS, dedupe_key="pause:1")
        room.bell.ring("posts")
    await stage.until(lambda: [t for t in told(stage) if "理由: 決済障害" in t] or None)

    changed = replace(PAUSE, reason="決済は復旧済み")
    async with room.engine.begin() as conn:
        await posts.redraw_notice(conn, changed, dedupe_key="pause:1")
    room.bell.ring("posts")

    await stage.until(lambda: [t for t in told(stage) if "決済は復旧済み" in t] or None)
    assert len(told(stage)) == 1


async def test_a_notice_that_somebody_deleted_is_told_again_when_it_changes(stage: Stage) -> None:
    assert stage.bot is not None
    room = stage.bot.room
    async with room.engine.begin() as conn:
        await posts.queue_notice(conn, PAUSE, channel=ALERTS, dedupe_key="pause:1")
    (message,) = await stage.until(
        lambda: [m for m in stage.workspace.messages(ALERTS) if "決済障害" in m.text] or None
    )
    stage.workspace.delete_message(ALERTS, message.ts)

    async with room.engine.begin() as conn:
        await posts.redraw_notice(
            conn, replace(PAUSE, reason="決済は復旧済み"), dedupe_key="pause:1"
        )
    room.bell.ring("posts")

    await stage.until(lambda: [t for t in told(stage) if "決済は復旧済み" in t] or None)


def told(stage: Stage) -> list[str]:
    return [m.text for m in stage.workspace.messages(ALERTS) if m.text.startswith("🛑")]
