"""Canary secrets and canary people: in no log at DEBUG, and, of people, in no table of the ledger."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import aiohttp
import asyncpg
import pytest

from bot.playground.market.faults import Fault
from bot.playground.postgres import Server
from bot.playground.workspace.faults import FaultKind
from tests.fuzz.inputs import signature
from tests.fuzz.running import a_bot
from tests.journeys.stage import AGENT, ALERTS, APPROVER, MARKET_TOKEN, OUTSIDER, Stage

PEOPLE = {
    "full_name": "叶加那里 鳴太郎",
    "full_name_kana": "カナリヤ ナキタロウ",
    "email": "canary.person@canary-mail.example",
    "phone": "09099887766",
    "address": "東京都千代田区加那里町九丁目8-7 カナリヤ荘606",
}
SHIPPED = {"ship_name": "届先 加那里", "ship_address": "大阪府大阪市北区鳴鳥町4-5-6"}
NETWORK = "203.0.113.77"
TYPED = "canary-words-of-a-modal"
WRITTEN = "canary-words-of-a-thread"


async def in_the_shop(stage: Stage) -> None:
    """A finding about people whose every particular is a canary."""
    await stage.self_dealing("O-1")
    async with stage.market.pool.acquire() as conn:
        for account in ("seller-O-1", "buyer-O-1"):
            await conn.execute(
                """UPDATE market.accounts SET full_name = $2, full_name_kana = $3, email = $4,
                          phone = $5, address = $6, signup_ip = $7 WHERE account_id = $1""",
                *(account, *PEOPLE.values(), NETWORK),
            )
        await conn.execute(
            "UPDATE market.orders SET ship_name = $1, ship_address = $2, ip = $3",
            *(*SHIPPED.values(), NETWORK),
        )


async def everything_happens(stage: Stage, server: Server, dsn: str) -> None:
    """Decisions, refusals, forged requests, faults of all sides, and a ledger that goes away."""
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(AGENT, card, "details")
    await stage.modal(AGENT)
    await stage.workspace.close_view(AGENT)
    assert (await stage.press(OUTSIDER, card, "hold")).ok
    await stage.workspace.post(AGENT, ALERTS, WRITTEN, thread_ts=card.ts)
    await stage.card_with("メモ1件")
    stage.market.faults.switch_on(Fault.UNAVAILABLE, verb="cancel", times=1)
    stage.workspace.fail("chat.update", FaultKind.SERVER_ERROR, times=1)
    stage.workspace.fail("views.update", FaultKind.DROPPED, times=1)
    await stage.press(AGENT, stage.cards()[0], "dismiss")
    await stage.workspace.close_view(AGENT)
    await stage.press(AGENT, stage.cards()[0], "cancel")
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card", "note": TYPED})).ok
    waiting = await stage.card_with("承認待ち")
    await forge(stage.settings.port)
    name = urlsplit(dsn).path.removeprefix("/")
    async with server.superuser() as conn:
        # The ledger goes away in the middle of a press.
        await conn.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        await conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
        )
        assert (await stage.press(APPROVER, waiting, "approve")).status == 503
        await conn.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    async with asyncio.timeout(40):
        while not (await stage.press(APPROVER, stage.cards()[0], "approve")).ok:
            await asyncio.sleep(0.2)
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok
    await stage.card_with("完了", within_s=60)


async def forge(port: int) -> None:
    body = urlencode({"payload": json.dumps({"type": "block_actions", "token": TYPED})}).encode()
    stamp = str(int(time.time()))
    async with aiohttp.ClientSession() as session:
        for signed in ("v0=" + "0" * 64, signature(body, stamp), signature(body, stamp, "another")):
            async with session.post(
                f"http://127.0.0.1:{port}/slack/events",
                data=body,
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "X-Slack-Request-Timestamp": stamp,
                    "X-Slack-Signature": signed,
                },
            ) as answer:
                assert answer.status in {401, 404}


@pytest.mark.timeout(300)
async def test_no_secret_and_no_person_is_in_the_log_or_raw_in_the_ledger(
    quiet_stage: Stage,
    database_server: Server,
    ledger_dsn: str,
    ledger_owner_dsn: str,
    market_reader_dsn: str,
    tmp_path: Path,
) -> None:
    stage = quiet_stage
    secrets = {
        "the bot's token": "xoxb-demo-token",
        "the signing secret": "demo-signing-secret",
        "the admin API's token": MARKET_TOKEN,
        "the ledger's password": str(urlsplit(ledger_dsn).password),
        "the reader's password": str(urlsplit(market_reader_dsn).password),
        "the verification token": stage.workspace.seed.verification_token,
    }
    assert all(len(secret) > 8 for secret in secrets.values())
    await in_the_shop(stage)
    log = tmp_path / "log"
    async with a_bot(stage.settings, log):
        await everything_happens(stage, database_server, ledger_dsn)
    written = log.read_text(encoding="utf-8", errors="replace")
    # It did log, at DEBUG, and what went wrong as well.
    assert " DEBUG " in written or " INFO " in written
    assert "refused: signature" in written
    assert "a handler failed" in written
    people = PEOPLE | SHIPPED | {"network": NETWORK}
    for what, canary in (secrets | people | {"typed": TYPED, "thread": WRITTEN}).items():
        assert canary not in written, what
    held = await ledger_as_text(ledger_owner_dsn)
    # What people wrote themselves is kept; the market's people only masked, and no secret at all.
    assert TYPED in held
    assert WRITTEN in held
    for what, canary in (secrets | people).items():
        assert canary not in held, what


async def ledger_as_text(owner_dsn: str) -> str:
    """Every row of every table, as text."""
    conn = await asyncpg.connect(owner_dsn)
    try:
        tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'")
        rows = [
            row["line"]
            for (table,) in tables
            for row in await conn.fetch(f'SELECT t::text AS line FROM ledger."{table}" t')
        ]
    finally:
        await conn.close()
    assert len(rows) > 20
    return "\n".join(rows)
