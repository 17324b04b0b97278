"""A changed policy: in force and told where changes are reviewed, else only once two administrators agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.app import Bot, running_parts
from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    ALERTS,
    APPROVER,
    APPROVER_2,
    ENGINEER,
    QUICK,
    Stage,
    buttons_of,
    free_port,
)


@pytest.fixture
def policy() -> dict[str, object]:
    return {
        "roles": {
            "agent": {"groups": ["cs-agents"]},
            "approver": {"groups": ["cs-leads"]},
            "engineer": {"groups": ["engineers"]},
            "admin": {"users": [APPROVER, ENGINEER]},
        }
    }


def rewrite(stage: Stage, **changes: object) -> None:
    """Change the policy's file."""
    path = stage.settings.policy_file
    assert isinstance(path, Path)
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | changes
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def loosen(stage: Stage) -> None:
    rewrite(stage, request_lifetime_hours=24)


async def notice_with(stage: Stage, words: str) -> Message:
    return await stage.until(
        lambda: next((m for m in stage.workspace.messages(ALERTS) if words in m.text), None),
        what=lambda: f"{words!r}; there is {[m.text for m in stage.workspace.messages(ALERTS)]}",
    )


async def rows(stage: Stage, sql: str) -> list[tuple[object, ...]]:
    async with stage.engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(sql))]


@asynccontextmanager
async def another_bot(stage: Stage) -> AsyncIterator[Bot]:
    """A second process's worth of the bot, on the same ledger."""
    settings = stage.settings.model_copy(update={"port": free_port()})
    async with running_parts(settings, limits=QUICK) as bot:
        stop = asyncio.Event()
        task = asyncio.create_task(bot.run(stop))
        yield bot
        stop.set()
        await task


async def test_a_reviewed_file_is_in_force_at_the_next_start_and_told(quiet_stage: Stage) -> None:
    stage = quiet_stage
    async with stage.bot_running():
        pass
    assert await rows(stage, "SELECT source FROM ledger.policies") == [("file",)]
    assert stage.workspace.messages(ALERTS) == []
    loosen(stage)
    async with stage.bot_running() as bot:
        told = await notice_with(stage, "📘 ポリシーが変更されました")
        assert "▲ request_lifetime_hours: 8 → 24" in told.text
        assert bot.room.policy.file.request_lifetime_hours == 24
    async with stage.bot_running():  # nothing changed since
        pass
    assert await rows(stage, "SELECT source FROM ledger.policies") == [("file",), ("file",)]
    assert await rows(
        stage,
        """SELECT actor, details ->> 'changes' FROM ledger.audit_entries
            WHERE tag = 'policy:file:adopted' ORDER BY seq""",
    ) == [("system", "[]"), ("system", '["▲ request_lifetime_hours: 8 → 24"]')]


async def test_with_two_people_a_changed_file_waits_for_two_administrators(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    stage.settings = stage.settings.model_copy(update={"policy_changes": "two_people"})
    async with stage.bot_running():
        pass
    loosen(stage)
    async with stage.bot_running() as bot, another_bot(stage) as other:
        asked = await notice_with(stage, "🟠 ポリシー変更の申請")
        assert "▲ request_lifetime_hours: 8 → 24" in asked.text
        assert "あと2名の承認が必要です" in asked.text
        assert bot.room.policy.file.request_lifetime_hours == 8

        assert (await stage.workspace.click(AGENT, ALERTS, asked.ts, "act:proposal_approve")).ok
        await stage.told(AGENT, "必要です")
        assert (await stage.workspace.click(APPROVER, ALERTS, asked.ts, "act:proposal_approve")).ok
        await stage.told(APPROVER, "あと1名の承認が必要です")
        assert (await stage.workspace.click(APPROVER, ALERTS, asked.ts, "act:proposal_approve")).ok
        await stage.told(APPROVER, "すでに承認いただいています")
        assert bot.room.policy.file.request_lifetime_hours == 8

        assert (await stage.workspace.click(ENGINEER, ALERTS, asked.ts, "act:proposal_approve")).ok
        done = await notice_with(stage, "✅ 承認され、有効になりました")
        assert done.ts == asked.ts
        assert buttons_of(done) == []
        for one in (bot, other):  # the other process learns of it too
            async with asyncio.timeout(60):
                while one.room.policy.file.request_lifetime_hours != 24:
                    await asyncio.sleep(0.05)
        told = await notice_with(stage, "📘 ポリシーが変更されました")
        assert "田中" in told.text
        assert "伊藤" in told.text
    assert await rows(
        stage,
        "SELECT source, proposed_by, approved_by FROM ledger.policies ORDER BY policy_id",
    ) == [("file", None, None), ("people", APPROVER, ENGINEER)]
    async with stage.bot_running() as bot:  # the file is the one in force by now
        assert bot.room.policy.file.request_lifetime_hours == 24
    assert len(await rows(stage, "SELECT * FROM ledger.policies")) == 2
    assert (await stage.verified()).ok


async def test_a_policy_that_was_turned_down_stays_out_and_another_change_replaces_it(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    stage.settings = stage.settings.model_copy(update={"policy_changes": "two_people"})
    async with stage.bot_running():
        pass
    loosen(stage)
    async with stage.bot_running():
        asked = await notice_with(stage, "🟠 ポリシー変更の申請")
        assert (await stage.workspace.click(ENGINEER, ALERTS, asked.ts, "act:proposal_reject")).ok
        await notice_with(stage, "伊藤さんが却下しました")
    async with stage.bot_running() as bot:
        assert bot.room.policy.file.request_lifetime_hours == 8
    assert await rows(stage, "SELECT state FROM ledger.proposals") == [("rejected",)]

    rewrite(stage, request_lifetime_hours=12)
    async with stage.bot_running():
        await notice_with(stage, "8 → 12")
    rewrite(stage, request_lifetime_hours=10)
    async with stage.bot_running() as bot:
        await notice_with(stage, "8 → 10")
        await notice_with(stage, "新しい申請に置き換えられました")
        assert bot.room.policy.file.request_lifetime_hours == 8
    assert await rows(stage, "SELECT state FROM ledger.proposals ORDER BY proposed_at") == [
        ("rejected",),
        ("superseded",),
        ("open",),
    ]


async def test_the_database_takes_no_policy_from_one_person(stage: Stage) -> None:
    with pytest.raises(DBAPIError, match="violates check"):
        async with stage.engine.begin() as conn:
            await conn.execute(
                text(
                    f"""INSERT INTO ledger.policies (hash, body, source, proposed_by, approved_by)
                        VALUES (repeat('0', 64), 'x', 'people', '{APPROVER_2}', '{APPROVER_2}')"""
                )
            )
