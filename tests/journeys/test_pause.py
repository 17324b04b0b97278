"""The brakes: one person stops all effects at once, everywhere; two people let them go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from bot.app import running_parts
from bot.cases.agreeing import agree
from bot.cases.pausing import pause_unmanned, propose_resume_unmanned
from bot.domain.errors import SayableError
from bot.domain.refusals import Refusal, RefusalCode
from bot.ledger import switches
from bot.ledger.engine import create_engine
from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    APPROVER,
    APPROVER_2,
    ENGINEER,
    GUEST,
    OUTSIDER,
    QUICK,
    Stage,
    buttons_of,
)


async def a_card(stage: Stage, order: str = "O-1") -> Message:
    await stage.self_dealing(order)
    await stage.detect_now()
    return await stage.card_with(order)


async def say(stage: Stage, user: str, words: str) -> str:
    """What a subcommand answers."""
    before = len(stage.workspace.ephemerals(user))
    assert (await stage.workspace.command(user, ALERTS, "/cre", words)).ok
    answers = await stage.until(lambda: stage.workspace.ephemerals(user)[before:] or None)
    return answers[-1].text


async def notice_with(stage: Stage, words: str) -> Message:
    return await stage.until(
        lambda: next((m for m in stage.workspace.messages(ALERTS) if words in m.text), None),
        what=lambda: (
            f"{words!r}; there is {[m.text for m in stage.workspace.messages(ALERTS)][-4:]}"
        ),
    )


async def tags(stage: Stage) -> list[str]:
    async with stage.engine.connect() as conn:
        rows = await conn.execute(text("SELECT tag FROM ledger.audit_entries ORDER BY seq"))
        return [row.tag for row in rows]


async def is_paused(stage: Stage, action: str) -> bool:
    async with stage.engine.connect() as conn:
        return await switches.read_pause(conn, action) is not None


async def test_whoever_has_a_role_pauses_and_everybody_sees_who_and_why(stage: Stage) -> None:
    card = await a_card(stage)
    assert "一時停止しました: すべての操作" in await say(stage, AGENT, "pause 決済障害")

    loud = await notice_with(stage, "🛑 一時停止: すべての操作")
    assert "佐藤さんが一時停止しました。理由: 決済障害" in loud.text
    card = await stage.card_with("佐藤さんがすべての操作を一時停止しました(理由: 決済障害)")

    assert (await stage.press(APPROVER, card, "hold")).ok
    await stage.told(APPROVER, "佐藤さんがすべての操作を一時停止しました(理由: 決済障害)")
    assert await stage.market.effects("O-1") == []
    assert "person:effects:paused" in await tags(stage)


@pytest.mark.parametrize("user", [OUTSIDER, GUEST])
async def test_who_has_no_role_here_pauses_nothing(stage: Stage, user: str) -> None:
    assert "一時停止しました" not in await say(stage, user, "pause なんとなく")
    assert not await is_paused(stage, "hold")
    assert "policy:decision:denied" in await tags(stage)


async def test_a_pause_needs_a_reason_and_is_pulled_once(stage: Stage) -> None:
    assert "理由を1文字以上" in await say(stage, AGENT, "pause")
    assert "理由を1文字以上" in await say(stage, AGENT, "pause cancel")
    assert not await is_paused(stage, "cancel")
    await say(stage, AGENT, "pause 決済障害")
    again = await say(stage, AGENT_2, "pause 別の理由")
    assert "佐藤さんがすでに一時停止しています(理由: 決済障害)" in again
    assert (await tags(stage)).count("person:effects:paused") == 1


async def test_one_action_is_paused_alone(stage: Stage) -> None:
    card = await a_card(stage)
    assert "強制キャンセル" in await say(stage, AGENT, "pause cancel 誤検知の調査")
    card = await stage.card_with("一時停止しました(理由: 誤検知の調査)")
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.told(APPROVER, "一時停止しました(理由: 誤検知の調査)")
    assert (await stage.press(AGENT, card, "hold")).ok
    await carried_out(stage, "O-1")


async def test_two_people_resume_and_nobody_agrees_to_their_own_proposal(stage: Stage) -> None:
    await say(stage, AGENT, "pause 決済障害")
    assert "一時停止されていません" in await say(stage, APPROVER, "resume cancel")
    assert "必要です" in await say(stage, AGENT, "resume")  # an agent has no part in it
    assert "あと1名の承認が必要です" in await say(stage, ENGINEER, "resume")

    asked = await notice_with(stage, "🟠 再開の申請: すべての操作")
    assert await is_paused(stage, "hold")
    assert "別の方に依頼" in await say(stage, ENGINEER, "resume")
    assert (await stage.workspace.click(ENGINEER, ALERTS, asked.ts, "act:proposal_approve")).ok
    await stage.told(ENGINEER, "別の方に依頼")
    assert await is_paused(stage, "hold")

    assert (await stage.workspace.click(APPROVER, ALERTS, asked.ts, "act:proposal_approve")).ok
    await stage.told(APPROVER, "再開しました")
    assert not await is_paused(stage, "hold")
    done = await notice_with(stage, "✅ 承認され、有効になりました")
    assert done.ts == asked.ts
    assert buttons_of(done) == []
    await notice_with(stage, "▶️ 再開: すべての操作")
    written = await tags(stage)
    assert written.count("person:effects:resumed") == 1
    assert (await stage.verified()).ok


async def test_saying_resume_agrees_with_whoever_proposed_it(stage: Stage) -> None:
    await say(stage, AGENT, "pause cancel 調査")
    await say(stage, ENGINEER, "resume cancel")
    assert "再開しました" in await say(stage, APPROVER, "resume cancel")
    assert not await is_paused(stage, "cancel")


async def test_a_proposal_that_was_turned_down_resumes_nothing(stage: Stage) -> None:
    await say(stage, AGENT, "pause 決済障害")
    await say(stage, ENGINEER, "resume")
    asked = await notice_with(stage, "🟠 再開の申請")
    assert (await stage.workspace.click(APPROVER, ALERTS, asked.ts, "act:proposal_reject")).ok
    await stage.told(APPROVER, "却下しました")
    await notice_with(stage, "田中さんが却下しました")
    assert await is_paused(stage, "hold")
    # Somebody's Slack still shows the button.
    assert stage.bot is not None
    late = await agree(stage.bot.room, APPROVER_2, await the_proposal(stage))
    assert isinstance(late, Refusal)
    assert late.code is RefusalCode.PROPOSAL_ENDED
    assert await is_paused(stage, "hold")


async def test_a_proposal_runs_out_and_can_be_made_again(
    stage: Stage, ledger_owner_dsn: str
) -> None:
    assert stage.bot is not None
    await say(stage, AGENT, "pause 決済障害")
    await say(stage, ENGINEER, "resume")
    await notice_with(stage, "🟠 再開の申請")
    first = await the_proposal(stage)
    async with owner(ledger_owner_dsn) as conn:
        await conn.execute(text("ALTER TABLE ledger.proposals DISABLE TRIGGER check_proposal_move"))
        await conn.execute(
            text("UPDATE ledger.proposals SET expires_at = clock_timestamp() - interval '1 s'")
        )
        await conn.execute(text("ALTER TABLE ledger.proposals ENABLE TRIGGER check_proposal_move"))
    late = await agree(stage.bot.room, APPROVER, first)
    assert isinstance(late, Refusal)
    assert late.code is RefusalCode.PROPOSAL_ENDED
    await say(stage, ENGINEER, "resume")
    await notice_with(stage, "回答がないまま期限が切れました")
    assert await the_proposal(stage) != first
    assert await is_paused(stage, "hold")


async def test_a_shell_may_pause_and_only_ask_for_two_people_to_resume(stage: Stage) -> None:
    assert stage.bot is not None
    room = stage.bot.room
    await pause_unmanned(room, "all", by="cli", reason="決済障害")
    assert "コマンドラインが一時停止しました" in (await notice_with(stage, "🛑 一時停止")).text
    asked = await propose_resume_unmanned(room, "all", by="cli")
    assert not isinstance(asked, Refusal)
    assert asked.missing == 2
    message = await notice_with(stage, "🟠 再開の申請")
    assert (await stage.workspace.click(ENGINEER, ALERTS, message.ts, "act:proposal_approve")).ok
    await stage.told(ENGINEER, "あと1名の承認が必要です")
    await stage.until(lambda: "あと1名" in message_now(stage, message).text or None)
    assert await is_paused(stage, "all")
    assert (await stage.workspace.click(ENGINEER, ALERTS, message.ts, "act:proposal_approve")).ok
    await stage.told(ENGINEER, "すでに承認いただいています")
    assert await is_paused(stage, "all")
    assert (await stage.workspace.click(APPROVER, ALERTS, message.ts, "act:proposal_approve")).ok
    await stage.told(APPROVER, "再開しました")
    assert not await is_paused(stage, "all")


async def test_the_database_lets_nobody_resume_alone(stage: Stage) -> None:
    await say(stage, AGENT, "pause 決済障害")
    with pytest.raises(DBAPIError, match="needs two people"):
        async with stage.engine.begin() as conn:
            await conn.execute(text("UPDATE ledger.switches SET paused_at = NULL"))
    await say(stage, ENGINEER, "resume")

    for attempt in (
        "UPDATE ledger.proposals SET state = 'approved', ended_at = now(), ended_by = 'U0ITO'",
        f"INSERT INTO ledger.proposal_approvals SELECT proposal_id, '{ENGINEER}', body_hash FROM ledger.proposals",
        (
            f"INSERT INTO ledger.proposal_approvals SELECT proposal_id, '{APPROVER}', repeat('0', 64)"
            "  FROM ledger.proposals"
        ),
        "UPDATE ledger.proposals SET about = 'hold'",
        "UPDATE ledger.proposals SET approvals_needed = 0",
    ):
        with pytest.raises(DBAPIError, match=r"own proposal|lacks approvals|not what was|frozen"):
            async with stage.engine.begin() as conn:
                await conn.execute(text(attempt))
    assert await is_paused(stage, "hold")


async def test_a_setting_pauses_at_the_start_and_says_so_in_the_log(
    quiet_stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage = quiet_stage
    stage.settings = stage.settings.model_copy(update={"paused": "refund, cancel"})
    for _ in range(2):  # a restart leaves what stands
        async with stage.bot_running():
            assert await is_paused(stage, "refund")
            assert not await is_paused(stage, "hold")
    assert "paused by the setting PAUSED: refund" in caplog.text
    assert (await tags(stage)).count("person:effects:paused") == 2


async def test_a_setting_that_names_no_action_is_refused(quiet_stage: Stage) -> None:
    quiet_stage.settings = quiet_stage.settings.model_copy(update={"paused": "refunds"})
    with pytest.raises(SayableError, match="refunds"):
        async with running_parts(quiet_stage.settings, limits=QUICK):
            pass


async def carried_out(stage: Stage, order: str) -> None:
    async with asyncio.timeout(15):
        while not await stage.market.effects(order):
            await asyncio.sleep(0.03)


async def the_proposal(stage: Stage) -> str:
    """The newest."""
    async with stage.engine.connect() as conn:
        return str(
            await conn.scalar(
                text("SELECT proposal_id FROM ledger.proposals ORDER BY proposed_at DESC LIMIT 1")
            )
        )


def message_now(stage: Stage, message: Message) -> Message:
    return next(m for m in stage.workspace.messages(ALERTS) if m.ts == message.ts)


@asynccontextmanager
async def owner(dsn: str) -> AsyncIterator[AsyncConnection]:
    """The ledger as its owner, for what the application may not do."""
    engine = create_engine(dsn, poolclass=NullPool)
    async with engine.begin() as conn:
        yield conn
    await engine.dispose()
