from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from bot.domain.cases import CaseState
from bot.domain.errors import SayableError
from bot.playground.market.faults import Fault
from bot.playground.workspace.faults import FaultKind
from bot.settings import Settings
from tests.journeys.stage import AGENT, ALERTS, APPROVER, QUICK, Stage, buttons_of


@asynccontextmanager
async def a_bot_process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """`mimawari run` as a process of its own, ready; killed at the end if it still runs."""
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
    }
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            environment[name.upper()] = str(plain)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "run", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await ready(settings.port)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready(port: int) -> None:
    async with asyncio.timeout(40), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def cancel(stage: Stage, order: str) -> None:
    card = await stage.card_with(order)
    assert (await stage.press(APPROVER, card, "cancel")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card"})).ok


async def test_killed_between_decision_and_effect_the_effect_happens_once(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    await stage.self_dealing("O-1")
    # The verb is carried out four seconds after it arrives: the bot dies while it waits.
    stage.market.faults.switch_on(Fault.SLOW, verb="cancel", times=1, seconds=4)
    async with a_bot_process(stage.settings) as process:
        await cancel(stage, "O-1")
        async with asyncio.timeout(20):
            while await stage.count("operation_attempts") == 0:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with stage.engine.begin() as conn:
        # The leases of the dead process end; waiting them out would take a minute.
        for table in ("operations", "cards", "posts", "ticks"):
            await conn.execute(text(f"UPDATE ledger.{table} SET lease_until = NULL"))
    async with a_bot_process(stage.settings):
        await stage.card_with("完了", within_s=40)
    assert [e["kind"] for e in await stage.market.effects("O-1")] == ["cancel"]
    assert (await stage.verified()).ok


async def test_killed_before_the_operation_is_sent_it_is_sent_after_the_restart(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    await stage.self_dealing("O-1")
    stage.market.faults.switch_on(Fault.UNAVAILABLE, verb="cancel", times=1, seconds=3)
    async with a_bot_process(stage.settings) as process:
        await cancel(stage, "O-1")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with a_bot_process(stage.settings):
        await stage.card_with("完了", within_s=80)
    assert [e["kind"] for e in await stage.market.effects("O-1")] == ["cancel"]


async def test_sigterm_ends_a_bot_in_good_order(quiet_stage: Stage) -> None:
    async with a_bot_process(quiet_stage.settings) as process:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_while_slack_is_down_nothing_is_lost_and_nothing_posted_twice(stage: Stage) -> None:
    stage.workspace.go_down()
    for n in range(5):
        await stage.self_dealing(f"O-{n}")
    await stage.detect_now()
    async with asyncio.timeout(30):
        while await stage.count("cases") < 5:
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    assert stage.cards() == []
    stage.workspace.faults.clear()
    for n in range(5):
        await stage.card_with(f"O-{n}", within_s=30)
    assert len(stage.cards()) == 5


async def test_a_post_whose_answer_was_lost_is_found_not_repeated(stage: Stage) -> None:
    stage.workspace.fail("chat.postMessage", FaultKind.DROPPED, after=True, times=1)
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    async with asyncio.timeout(30):
        while (await stage.case(card)).message_ts is None:
            await asyncio.sleep(0.05)
    assert len(stage.cards()) == 1


@pytest.mark.parametrize("kind", [FaultKind.RATELIMITED, FaultKind.REFUSED, FaultKind.UNAVAILABLE])
async def test_a_look_that_slack_refuses_does_not_make_a_lost_post_forgotten(
    stage: Stage, kind: FaultKind
) -> None:
    stage.workspace.fail("chat.postMessage", FaultKind.DROPPED, after=True, times=1)
    looks = stage.workspace.fail("conversations.history", kind, times=2)
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    async with asyncio.timeout(40):
        while (await stage.case(card)).message_ts is None:
            await asyncio.sleep(0.05)
    assert looks.struck == 2
    assert len(stage.cards()) == 1


async def test_a_post_that_is_found_later_shows_what_the_case_has_become(stage: Stage) -> None:
    stage.workspace.fail("chat.postMessage", FaultKind.DROPPED, after=True, times=1)
    # Until the case has moved nobody can find out whether the card stands.
    unseen = stage.workspace.fail("conversations.history", FaultKind.SERVER_ERROR)
    await stage.self_dealing("O-1")
    await stage.detect_now()
    first = await stage.card_with("O-1")
    assert (await stage.press(AGENT, first, "hold")).ok
    async with asyncio.timeout(30):
        while (await stage.market.effects("O-1")) == []:
            await asyncio.sleep(0.05)
    stage.workspace.faults.clear(unseen)
    async with stage.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.cards SET due_at = clock_timestamp()"))
    await stage.until(
        lambda: "act:hold" not in buttons_of(stage.cards()[0]), what=lambda: "a card that is held"
    )
    assert len(stage.cards()) == 1


async def test_rate_limits_are_obeyed(stage: Stage) -> None:
    stage.workspace.fail("chat.postMessage", FaultKind.RATELIMITED, times=2, retry_after=1)
    await stage.self_dealing("O-1")
    await stage.detect_now()
    await stage.card_with("O-1")
    assert len(stage.cards()) == 1


async def test_a_deleted_card_is_posted_again(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    stage.workspace.delete_message(ALERTS, card.ts)
    await stage.market.carry_out("hold", "O-1", {"reason": "x", "actor": "y"}, key="by-hand-0001")
    await stage.detect_now()
    again = await stage.card_with("O-1")
    assert again.ts != card.ts


async def test_a_channel_without_the_bot_makes_it_unready_and_loses_nothing(stage: Stage) -> None:
    stage.workspace.remove_bot(ALERTS)
    await stage.self_dealing("O-1")
    await stage.detect_now()
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            async with session.get(f"http://127.0.0.1:{stage.settings.port}/readyz") as answer:
                body = await answer.json()
            if body["problems"]:
                break
            await asyncio.sleep(0.1)
    assert body["problems"] == ["slack: not_in_channel"]
    stage.workspace.add_bot(ALERTS)
    async with stage.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.cards SET due_at = clock_timestamp()"))
    await stage.card_with("O-1")


async def test_a_marketplace_that_is_away_answers_the_press_with_a_sentence(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    stage.market.classes.clear()
    await stage.press(APPROVER, card, "cancel")
    modal = await stage.modal(APPROVER)
    assert "submit" not in modal.fields
    assert await stage.count("decisions") == 0
    assert (await stage.case(card)).state is CaseState.OPEN


async def test_a_limit_on_posts_keeps_the_publisher_within_slacks(stage: Stage) -> None:
    assert QUICK.posts_per_s > 1
    for n in range(8):
        await stage.self_dealing(f"O-{n}")
    await stage.detect_now()
    for n in range(8):
        await stage.card_with(f"O-{n}", within_s=40)
    assert len(stage.cards()) == 8


async def test_a_bot_starts_while_the_marketplace_is_away_and_finds_it_later(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    there = stage.settings
    stage.settings = there.model_copy(
        update={
            "market_database_url": SecretStr("postgresql://u:p@127.0.0.1:9/d"),
            "market_api_url": "http://127.0.0.1:9",
        }
    )
    async with stage.bot_running():
        await stage.detect_now()
    stage.settings = there
    async with stage.bot_running():
        await stage.self_dealing("O-1")
        await stage.detect_now()
        await stage.card_with("O-1")


async def test_a_reader_that_could_write_keeps_the_bot_from_starting(
    quiet_stage: Stage, market_dsn: str
) -> None:
    quiet_stage.settings = quiet_stage.settings.model_copy(
        update={"market_database_url": SecretStr(market_dsn)}
    )
    with pytest.raises(SayableError, match="MARKET_DATABASE_URL"):
        async with quiet_stage.bot_running():
            pass
