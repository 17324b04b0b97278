from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from bot.app import Bot, running_parts
from bot.doctor import examine
from bot.domain.audit import AuditTag
from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    ALERTS,
    APPROVER_2,
    OUTSIDER,
    QUICK,
    Stage,
    free_port,
    text_of,
)

DIGEST = "C0DIGEST"
ONE_DAY = timedelta(days=1)


def a_noon_zone() -> ZoneInfo:
    """A zone in which it is about noon now, so that a test never runs over midnight."""
    shift = 12 - datetime.now(UTC).hour
    return ZoneInfo(f"Etc/GMT{-shift:+d}" if shift else "Etc/GMT")


@dataclass
class MovedClock:
    """The market's clock: ours, moved as far as a test says."""

    ahead: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class Days:
    """A stage whose days pass when a test says so."""

    stage: Stage
    clock: MovedClock
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.clock.now().astimezone(self.zone).date()

    @asynccontextmanager
    async def bot(self, *, answers: bool = False) -> AsyncIterator[Bot]:
        """One more process's worth of bot on the same ledger; one that `answers` is the one that Slack calls."""
        port = self.stage.settings.port if answers else free_port()
        settings = self.stage.settings.model_copy(update={"port": port})
        async with running_parts(settings, clock=self.clock, limits=QUICK) as bot:
            stop = asyncio.Event()
            task = asyncio.create_task(bot.run(stop))
            try:
                await self.ticked()
                yield bot
            finally:
                stop.set()
                bot.room.bell.ring("operations", "cards", "posts")
                await task

    async def ticked(self) -> None:
        """Make the digest's tick due, and wait until it has run."""
        async with self.stage.engine.begin() as conn:
            before = await conn.scalar(
                text("SELECT last_run_at FROM ledger.ticks WHERE name = 'job:digest'")
            )
            await conn.execute(
                text("UPDATE ledger.ticks SET due_at = clock_timestamp() WHERE name = 'job:digest'")
            )
        async with asyncio.timeout(20):
            while True:
                async with self.stage.engine.connect() as conn:
                    after = await conn.scalar(
                        text("SELECT last_run_at FROM ledger.ticks WHERE name = 'job:digest'")
                    )
                if after is not None and after != before:
                    return
                await asyncio.sleep(0.03)

    def digests(self) -> list[Message]:
        return [
            message
            for message in self.stage.workspace.messages(DIGEST)
            if (message.metadata or {}).get("event_type") == "mimawari_digest"
        ]

    async def posted(self, count: int = 1) -> list[Message]:
        """All digests, once there are so many and Slack's answers are in the ledger."""
        found = await self.stage.until(
            lambda: self.digests() if len(self.digests()) >= count else None, what=lambda: "digests"
        )
        async with asyncio.timeout(20):
            while await self.unsent():
                await asyncio.sleep(0.03)
        return found

    async def unsent(self) -> int:
        async with self.stage.engine.connect() as conn:
            number: int = (
                await conn.execute(
                    text("SELECT count(*) FROM ledger.digests WHERE state <> 'sent'")
                )
            ).scalar_one()
        return number


@pytest.fixture
async def days(quiet_stage: Stage) -> Days:
    zone = a_noon_zone()
    quiet_stage.settings = quiet_stage.settings.model_copy(
        update={"digest_channel": DIGEST, "timezone": zone.key}
    )
    return Days(quiet_stage, MovedClock(), zone)


async def test_each_day_is_told_once_however_many_processes_run(days: Days) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(days.bot())
        assert days.digests() == []
        for number in (1, 2):
            days.clock.ahead += ONE_DAY
            await days.ticked()
            await days.ticked()
            assert len(await days.posted(number)) == number
    payloads = [(message.metadata or {})["event_payload"] for message in days.digests()]
    assert len({json.dumps(payload) for payload in payloads}) == 2
    async with days.stage.engine.connect() as conn:
        entries = await conn.execute(
            text("SELECT details ->> 'day' AS day FROM ledger.audit_entries WHERE tag = :tag"),
            {"tag": AuditTag.DIGEST_POSTED.value},
        )
        told = [entry.day for entry in entries]
    assert told == [str(days.today - 2 * ONE_DAY), str(days.today - ONE_DAY)]
    assert (await days.stage.verified()).ok


async def test_after_a_night_s_stop_the_day_before_is_told_once(days: Days) -> None:
    async with days.bot():
        pass
    days.clock.ahead += ONE_DAY
    for _ in range(2):
        async with days.bot():
            await days.posted()
            await days.ticked()
    (digest,) = days.digests()
    assert digest.text.startswith("昨日は")
    assert "まで" not in digest.text.splitlines()[1]


async def test_after_several_days_one_digest_tells_the_last_and_names_the_others(
    days: Days,
) -> None:
    async with days.bot():
        days.clock.ahead += ONE_DAY
        await days.ticked()
        await days.posted()
    days.clock.ahead += 4 * ONE_DAY
    async with days.bot():
        _, late = await days.posted(2)
        await days.ticked()
    assert len(days.digests()) == 2
    about = late.text.splitlines()[1]
    first, last = days.today - 4 * ONE_DAY, days.today - 2 * ONE_DAY
    assert f"{first.month}月{first.day}日" in about
    assert f"{last.month}月{last.day}日" in about
    assert "投稿されていません" in about


async def test_a_first_start_tells_nothing_of_the_days_before_it(days: Days) -> None:
    async with days.bot():
        await days.ticked()
        await asyncio.sleep(0.5)
    assert days.digests() == []
    assert await days.stage.count("digests") == 0


async def test_before_the_set_time_the_day_before_is_not_told_yet(days: Days) -> None:
    days.stage.settings = days.stage.settings.model_copy(update={"digest_at": time(23, 59)})
    async with days.bot():
        days.clock.ahead += ONE_DAY
        await days.ticked()
        await asyncio.sleep(0.5)
        assert days.digests() == []


async def test_a_digest_whose_answer_was_lost_is_found_not_repeated(days: Days) -> None:
    async with days.bot():
        days.clock.ahead += ONE_DAY
        days.stage.workspace.fail("chat.postMessage", FaultKind.DROPPED, after=True, times=1)
        await days.ticked()
        (digest,) = await days.posted()
    assert len(days.digests()) == 1
    async with days.stage.engine.connect() as conn:
        row = (await conn.execute(text("SELECT message_ts, attempts FROM ledger.digests"))).one()
    assert row.message_ts == digest.ts
    assert row.attempts == 2


async def test_while_slack_is_down_a_digest_waits_and_says_what_was_so_when_it_was_made(
    days: Days,
) -> None:
    async with days.bot():
        days.clock.ahead += ONE_DAY
        days.stage.workspace.go_down()
        await days.ticked()
        async with asyncio.timeout(20):
            while await days.stage.count("digests") == 0:
                await asyncio.sleep(0.03)
        async with days.stage.engine.connect() as conn:
            head = await conn.scalar(text("SELECT audit_hash FROM ledger.digests"))
        await days.stage.self_dealing("O-1")
        await days.stage.detect_now()
        async with asyncio.timeout(20):
            while await days.stage.count("cases") == 0:
                await asyncio.sleep(0.03)
        days.stage.workspace.faults.clear()
        (digest,) = await days.posted()
    assert head in digest.text
    assert "O-1" not in digest.text


async def test_a_digest_channel_without_the_bot_keeps_nobody_from_deciding(days: Days) -> None:
    days.stage.workspace.remove_bot(DIGEST)
    async with days.bot() as bot:
        days.clock.ahead += ONE_DAY
        await days.ticked()
        async with asyncio.timeout(20):
            while not await refused(days.stage):
                await asyncio.sleep(0.03)
        assert bot._publisher.stuck is None
        days.stage.workspace.add_bot(DIGEST)
        async with days.stage.engine.begin() as conn:
            await conn.execute(text("UPDATE ledger.digests SET due_at = clock_timestamp()"))
        await days.posted()


async def refused(stage: Stage) -> bool:
    async with stage.engine.connect() as conn:
        error = await conn.scalar(text("SELECT last_error FROM ledger.digests"))
    return bool(error == "not_in_channel")


async def test_without_a_channel_of_its_own_the_digest_goes_to_the_cards(days: Days) -> None:
    days.stage.settings = days.stage.settings.model_copy(update={"digest_channel": None})
    async with days.bot():
        days.clock.ahead += ONE_DAY
        await days.ticked()
        message = await days.stage.until(
            lambda: next(
                (
                    message
                    for message in days.stage.workspace.messages(ALERTS)
                    if (message.metadata or {}).get("event_type") == "mimawari_digest"
                ),
                None,
            )
        )
    assert "日次まとめ" in message.text


async def test_while_the_marketplace_is_away_the_digest_says_so_and_is_posted_without_it(
    days: Days,
) -> None:
    async with days.bot():
        pass
    days.stage.settings = days.stage.settings.model_copy(
        update={"market_database_url": SecretStr("postgresql://u:p@127.0.0.1:9/d")}
    )
    days.clock.ahead += ONE_DAY
    async with days.bot():
        (digest,) = await days.posted()
    assert digest.text.splitlines()[0] == "昨日は強制キャンセルした注文がありませんでした。"
    assert "早期強制キャンセル率は算出していません" in digest.text
    assert "マーケットのデータを読み取れません" in digest.text
    assert "新規ケース" in digest.text


async def test_its_buttons_open_the_case_as_it_stands_now(days: Days) -> None:
    stage = days.stage
    async with days.bot(answers=True):
        await stage.self_dealing("O-1")
        await stage.detect_now()
        card = await stage.card_with("O-1")
        days.clock.ahead += ONE_DAY
        await days.ticked()
        (digest,) = await days.posted()
        (row,) = [
            block
            for block in digest.blocks
            if str(block.get("block_id", "")).startswith("digest:overdue:")
        ]
        # The case has moved since: a card's button would be refused as out of date.
        async with stage.engine.begin() as conn:
            await conn.execute(text("UPDATE ledger.cases SET version = version + 1"))
        pressed = await stage.workspace.click(
            AGENT, DIGEST, digest.ts, "act:details", block_id=str(row["block_id"])
        )
        assert pressed.ok
        assert "O-1" in text_of(await stage.modal(AGENT))
    told: Any = row["text"]
    link = re.search(r"<(http[^|]+)\|C-2001>", told["text"])
    assert link is not None
    assert link[1].endswith(f"/{ALERTS}/p{card.ts.replace('.', '')}")


async def ask(stage: Stage, user: str, words: str) -> Message:
    before = len(stage.workspace.ephemerals(user))
    assert (await stage.workspace.command(user, ALERTS, "/cre", words)).ok
    answers = await stage.until(lambda: stage.workspace.ephemerals(user)[before:] or None)
    return answers[-1]


async def test_anybody_who_sees_cases_can_ask_for_today_so_far_in_their_language(
    stage: Stage,
) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    await stage.card_with("O-1")
    told = (await ask(stage, APPROVER_2, "digest")).text
    assert told.startswith("So far today")
    assert "Cases opened · 1" in told
    assert (await ask(stage, AGENT, "digest")).text.startswith("本日はこれまでに")
    refused_to = (await ask(stage, OUTSIDER, "digest")).text
    assert "権限" in refused_to
    assert "新規ケース" not in refused_to


async def test_a_digest_that_takes_longer_than_slack_waits_follows_after_the_answer(
    stage: Stage,
) -> None:
    await stage.self_dealing("O-1")
    async with stage.market.pool.acquire() as conn, conn.transaction():
        # Who reads chargebacks waits while this lock is held.
        await conn.execute("LOCK TABLE market.chargebacks IN ACCESS EXCLUSIVE MODE")
        assert "作成しています" in (await ask(stage, AGENT, "digest")).text
    assert "早期強制キャンセル率" in (await stage.told(AGENT, "本日はこれまでに")).text


async def test_a_past_day_is_told_as_it_was_posted_and_another_as_it_can_be_told_now(
    days: Days,
) -> None:
    async with days.bot(answers=True):
        days.clock.ahead += ONE_DAY
        await days.ticked()
        (digest,) = await days.posted()
        day = days.today - ONE_DAY
        days.clock.ahead += timedelta(minutes=1)
        posted = (await ask(days.stage, AGENT, f"digest {day.isoformat()}")).text
        before = (await ask(days.stage, AGENT, f"digest {(day - ONE_DAY).isoformat()}")).text
    assert posted == digest.text
    assert "異常はありません" in posted
    # How things stood on a day without a digest nobody knows any more.
    assert "日次まとめ" in before
    assert "異常はありません" not in before


@pytest.mark.parametrize("words", ["2026-02-30", "soon", "2999-01-01", "<!channel>"])
async def test_a_day_that_is_none_is_said_to_be_none(stage: Stage, words: str) -> None:
    told = (await ask(stage, AGENT, f"digest {words}")).text
    assert "過去の日付ではありません" in told
    assert "<!channel>" not in told


async def test_the_command_line_tells_the_same_without_slack(days: Days) -> None:
    async with days.bot():
        days.clock.ahead += ONE_DAY
        await days.ticked()
        (digest,) = await days.posted()
    settings = days.stage.settings
    reader, ledger = settings.market_database_url, settings.database_url
    assert reader is not None
    assert ledger is not None
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": ledger.get_secret_value(),
        "MARKET_DATABASE_URL": reader.get_secret_value(),
        "TIMEZONE": settings.timezone,
    }
    day = (days.today - ONE_DAY).isoformat()

    async def mimawari(*arguments: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            "digest",
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    code, out, _ = await mimawari("--day", day, "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["day"], told["so_far"]) == (day, False)
    assert told["audit_hash"] in digest.text
    code, out, _ = await mimawari()
    assert code == 0
    assert out.startswith("So far today no order was confirmed as fraud")
    code, _, err = await mimawari("--day", "2999-01-01")
    assert code == 2
    assert "--day" in err
    assert await days.stage.count("digests") == 1


async def test_the_doctor_looks_at_the_digest_s_channel_too(quiet_stage: Stage) -> None:
    quiet_stage.settings = quiet_stage.settings.model_copy(update={"digest_channel": "C0NOWHERE"})
    found = {one.what: one.problem async for one in examine(quiet_stage.settings)}
    assert found["alert channel"] is None
    assert "DIGEST_CHANNEL" in (found["digest channel"] or "")
