"""A dry run: everything is shown, decided and recorded, and no call that could change anything is made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from bot.domain.cases import CaseState, OperationState
from tests.journeys.stage import AGENT, APPROVER, Stage

REQUEST_LINE = re.compile(r"^([A-Z]+ \S+) HTTP/1\.1\r?$", re.MULTILINE)


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[tuple[str, list[str]]]:
    """The same address through a wire that writes down every request line on it."""
    target = urlsplit(url)
    lines: list[str] = []
    wires: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = asyncio.current_task()
        assert wire is not None
        wires.add(wire)
        there, back = await asyncio.open_connection(target.hostname, target.port)

        async def copy(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, listen: bool
        ) -> None:
            while chunk := await source.read(65536):
                if listen:
                    lines.extend(REQUEST_LINE.findall(chunk.decode("latin-1")))
                sink.write(chunk)
                await sink.drain()
            sink.close()

        try:
            await asyncio.gather(
                copy(reader, back, listen=True),
                copy(there, writer, listen=False),
                return_exceptions=True,
            )
        finally:
            for end in (writer, back):
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}{target.path}", lines
    server.close()
    # What is still open when the bot has gone would be found by the collector, in somebody else's test.
    await asyncio.wait_for(asyncio.gather(*wires, return_exceptions=True), 30)
    await server.wait_closed()


@dataclass(frozen=True, slots=True)
class DryStage:
    """A stage whose bot runs dry, and what it asked of the marketplace."""

    stage: Stage
    requests: list[str]


@pytest.fixture
async def dry(quiet_stage: Stage) -> AsyncIterator[DryStage]:
    async with tapped(quiet_stage.settings.market_api_url or "") as (url, requests):
        quiet_stage.settings = quiet_stage.settings.model_copy(
            update={"dry_run": True, "market_api_url": url}
        )
        async with quiet_stage.bot_running() as bot:
            quiet_stage.bot = bot
            yield DryStage(quiet_stage, requests)


async def test_a_whole_journey_reaches_its_end_and_the_marketplace_is_as_it_was(
    dry: DryStage,
) -> None:
    stage = dry.stage
    await stage.self_dealing("O-1", amount=80000)  # above what one person may decide
    before = await stage.order("O-1"), await stage.account("buyer-O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    assert "試行モード: 判断は記録されますが" in card.text

    assert (await stage.press(AGENT, card, "hold")).ok
    card = await stage.card_with("試行モード: 完了と表示されている操作は記録のみです")
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    card = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, card, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {})).ok

    card = await stage.card_with("✅ 完了")
    assert "試行モード: 完了と表示されている操作は記録のみです" in card.text
    view = await stage.case(card)
    assert view.state is CaseState.DONE
    assert {o.state for o in view.operations} == {OperationState.SUCCEEDED}
    assert {o.resolved_by for o in view.operations} == {"dry_run"}
    # What the card shows of the order is still what the marketplace says.
    assert all(m.facts.canceled_at is None and m.facts.held_at is None for m in view.members)

    assert await stage.market.effects() == []
    assert any("/plan" in line for line in dry.requests), "plans are asked for"
    assert [line for line in dry.requests if not line.startswith("GET ")] == []
    assert (await stage.order("O-1"), await stage.account("buyer-O-1")) == before
    thread = [m.text for m in stage.workspace.thread("C0ALERTS", card.ts)]
    assert any("🧪 試行モード: " in words for words in thread), thread
    async with stage.engine.connect() as conn:
        ends = (
            await conn.execute(
                text(
                    """SELECT DISTINCT details ->> 'resolved_by' FROM ledger.audit_entries
                        WHERE tag = 'executor:operation:ended'"""
                )
            )
        ).scalars()
        assert set(ends) == {"dry_run"}
    assert (await stage.verified()).ok


async def test_what_is_done_in_earnest_later_says_nothing_of_a_dry_run(quiet_stage: Stage) -> None:
    stage = quiet_stage
    async with stage.bot_running() as bot:
        stage.bot = bot
        await stage.self_dealing("O-1")
        await stage.detect_now()
        card = await stage.card_with("O-1")
        assert "試行モード" not in card.text
        assert (await stage.press(AGENT, card, "hold")).ok
        await stage.card_with("保留")
        await stage.until(lambda: None if "試行" in stage.cards()[0].text else True)
    assert len(await stage.market.effects("O-1")) == 1
