"""A team that uses Redash Alerts today: its alert becomes a card, also when its webhook was lost or came twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from bot.jobs.redash_intake import POLL_JOB
from bot.playground.redash import Redash, Webhook, serve_redash
from tests.journeys.stage import AGENT, Stage, buttons_of
from tests.redash_stage import (
    USER_KEY,
    WEBHOOK_PASSWORD,
    WEBHOOK_SECRET,
    WEBHOOK_USER,
    a_row,
    write_map,
)

TITLE = "自己取引の疑い（Redash）"


@asynccontextmanager
async def redash_beside(stage: Stage, folder: Path) -> AsyncIterator[Redash]:
    """A Redash with one alert on a query of offending orders, and a running bot that both know of each other."""
    redash = Redash(
        user_key=USER_KEY,
        webhook=Webhook(
            url=f"http://127.0.0.1:{stage.settings.port}/webhooks/redash/{WEBHOOK_SECRET}",
            username=WEBHOOK_USER,
            password=WEBHOOK_PASSWORD,
        ),
    )
    redash.add_query(318, [], name="self-dealing orders", columns=("order_id", "cnt"))
    redash.add_alert(42, 318, column="cnt", op=">", value=0)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve_redash(redash))
        stage.settings = stage.settings.model_copy(
            update={
                "redash_url": url,
                "redash_api_key": SecretStr(USER_KEY),
                "redash_map": write_map(folder),
                "redash_webhook_user": WEBHOOK_USER,
                "redash_webhook_password": SecretStr(WEBHOOK_PASSWORD),
                "redash_webhook_secret": SecretStr(WEBHOOK_SECRET),
                # Only when a test says so.
                "redash_poll_seconds": 3600,
            }
        )
        stage.bot = await stack.enter_async_context(stage.bot_running())
        yield redash


async def poll_now(stage: Stage) -> None:
    """Have Redash asked once more: a run that is under way may have begun before what it shall find."""
    async with asyncio.timeout(30):
        while True:
            async with stage.engine.begin() as conn:
                made_due = await conn.execute(
                    text(
                        """UPDATE ledger.ticks SET due_at = clock_timestamp()
                            WHERE name = :name AND lease_owner IS NULL"""
                    ),
                    {"name": POLL_JOB},
                )
            if made_due.rowcount == 1:
                return
            await asyncio.sleep(0.05)


async def scalar(stage: Stage, query: str) -> object:
    async with stage.engine.connect() as conn:
        found: object = await conn.scalar(text(query))
        return found


async def until_scalar(stage: Stage, query: str, wanted: object) -> None:
    async with asyncio.timeout(30):
        while await scalar(stage, query) != wanted:
            await asyncio.sleep(0.05)


async def test_an_alert_of_redash_becomes_a_card_that_people_decide_on(
    quiet_stage: Stage, tmp_path: Path
) -> None:
    await quiet_stage.self_dealing("O-1")
    async with redash_beside(quiet_stage, tmp_path) as redash:
        redash.queries[318].run = lambda _: [a_row("O-1")]
        assert await redash.refresh(318)
        assert [one.status for one in redash.sent] == [200]
        card = await quiet_stage.card_with(TITLE)
        assert "山田" not in card.text
        assert "O-1" in card.text + str(card.blocks)
        case = await quiet_stage.case(card)
        assert {member.subject.id for member in case.members} == {
            "O-1",
            "buyer-O-1",
            "seller-O-1",
        }
        await quiet_stage.until(lambda: any("hold" in one for one in buttons_of(card)))
        await quiet_stage.press(AGENT, card, "hold")
        await until_scalar(
            quiet_stage, "SELECT count(*) FROM ledger.operations WHERE state = 'succeeded'", 1
        )
        assert (await quiet_stage.order("O-1"))["held_at"] is not None
        assert (await quiet_stage.verified()).ok


FINDINGS = "SELECT count(*) FROM ledger.findings WHERE detection = 'redash_self_dealing'"


async def test_a_lost_webhook_is_found_by_asking(quiet_stage: Stage, tmp_path: Path) -> None:
    await quiet_stage.self_dealing("O-2")
    async with redash_beside(quiet_stage, tmp_path) as redash:
        assert redash.webhook is not None
        redash.webhook.url = "http://127.0.0.1:9/nobody/is/there"
        redash.queries[318].run = lambda _: [a_row("O-2")]
        await redash.refresh(318)
        assert [one.status for one in redash.sent] == [None]
        # Redash thinks that it has told us: it says nothing more, however often it looks.
        await redash.refresh(318)
        assert len(redash.sent) == 1
        assert await scalar(quiet_stage, FINDINGS) == 0
        await poll_now(quiet_stage)
        await quiet_stage.card_with(TITLE)
        assert await scalar(quiet_stage, "SELECT via FROM ledger.redash_events") == "poll"
        assert await scalar(quiet_stage, FINDINGS) == 1


async def test_a_webhook_that_comes_twice_is_one_finding(
    quiet_stage: Stage, tmp_path: Path
) -> None:
    await quiet_stage.self_dealing("O-3")
    async with redash_beside(quiet_stage, tmp_path) as redash:
        redash.queries[318].run = lambda _: [a_row("O-3")]
        await redash.refresh(318)
        # Whoever presses "evaluate" in Redash makes it tell the same again, without metadata.
        await redash.evaluate(42)
        assert [one.status for one in redash.sent] == [200, 200]
        assert redash.sent[1].payload["metadata"] == {}
        await quiet_stage.card_with(TITLE)
        await poll_now(quiet_stage)
        await until_scalar(
            quiet_stage, "SELECT count(*) FROM ledger.redash_events WHERE state <> 'done'", 0
        )
        assert await scalar(quiet_stage, "SELECT count(*) FROM ledger.redash_events") == 1
        assert await scalar(quiet_stage, FINDINGS) == 1


async def test_what_comes_while_an_alert_stays_triggered_is_found_though_redash_is_silent(
    quiet_stage: Stage, tmp_path: Path
) -> None:
    for order in ("O-4", "O-5"):
        await quiet_stage.self_dealing(order)
    async with redash_beside(quiet_stage, tmp_path) as redash:
        redash.queries[318].run = lambda _: [a_row("O-4")]
        await redash.refresh(318)
        await until_scalar(quiet_stage, FINDINGS, 1)
        redash.queries[318].run = lambda _: [a_row("O-4"), a_row("O-5")]
        await redash.refresh(318)
        assert len(redash.sent) == 1
        await poll_now(quiet_stage)
        await until_scalar(
            quiet_stage,
            "SELECT count(DISTINCT subject_id) FROM ledger.findings WHERE detection = 'redash_self_dealing'",
            2,
        )
