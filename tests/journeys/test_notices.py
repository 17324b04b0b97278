"""Notices: told once in their channel, and drawn anew in the same message when they change."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.notices import Notice, NoticeKind
from bot.ledger import posts
from bot.playground.workspace.faults import FaultKind
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


async def test_of_many_changes_the_last_one_stands(stage: Stage) -> None:
    """Changed while the publisher is drawing the state before, again and again."""
    assert stage.bot is not None
    room = stage.bot.room
    async with room.engine.begin() as conn:
        await posts.queue_notice(conn, PAUSE, channel=ALERTS, dedupe_key="pause:1")
    for n in range(60):
        async with room.engine.begin() as conn:
            await posts.redraw_notice(conn, replace(PAUSE, reason=f"第{n}報"), dedupe_key="pause:1")
        room.bell.ring("posts")
    await stage.until(lambda: [t for t in told(stage) if "第59報" in t] or None)
    assert len(told(stage)) == 1


async def test_a_notice_whose_answer_was_lost_is_not_told_twice_and_shows_the_latest(
    stage: Stage,
) -> None:
    assert stage.bot is not None
    room = stage.bot.room
    stage.workspace.fail("chat.postMessage", FaultKind.DROPPED, after=True, times=1)
    async with room.engine.begin() as conn:
        await posts.queue_notice(conn, PAUSE, channel=ALERTS, dedupe_key="pause:1")
    room.bell.ring("posts")
    await stage.until(lambda: told(stage) or None)
    async with room.engine.begin() as conn:
        await posts.redraw_notice(
            conn, replace(PAUSE, reason="決済は復旧済み"), dedupe_key="pause:1"
        )
    room.bell.ring("posts")
    await stage.until(lambda: [t for t in told(stage) if "決済は復旧済み" in t] or None)
    assert len(told(stage)) == 1


def told(stage: Stage) -> list[str]:
    return [m.text for m in stage.workspace.messages(ALERTS) if m.text.startswith("🛑")]
