from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.stage import Stage, a_stage


@pytest.fixture
def policy() -> dict[str, object]:
    """What a test file wants in place of the policy's own entries."""
    return {}


@pytest.fixture
async def quiet_stage(
    market_dsn: str,
    market_reader_dsn: str,
    ledger_dsn: str,
    tmp_path: Path,
    policy: dict[str, object],
) -> AsyncIterator[Stage]:
    """A workspace and a marketplace without a bot."""
    async with a_stage(
        market_dsn=market_dsn,
        market_reader_dsn=market_reader_dsn,
        ledger_dsn=ledger_dsn,
        folder=tmp_path,
        policy=policy,
    ) as stage:
        yield stage


@pytest.fixture
async def stage(quiet_stage: Stage) -> AsyncIterator[Stage]:
    """The same with the bot running."""
    async with quiet_stage.bot_running() as bot:
        quiet_stage.bot = bot
        yield quiet_stage
