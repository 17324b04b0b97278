from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journeys.stage import Stage, a_stage


@pytest.fixture
async def quiet_stage(
    market_dsn: str, market_reader_dsn: str, ledger_dsn: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    """A workspace and a marketplace without a bot; no case has a card, so that clicks are all there is."""
    async with a_stage(
        market_dsn=market_dsn,
        market_reader_dsn=market_reader_dsn,
        ledger_dsn=ledger_dsn,
        folder=tmp_path,
        policy={"cards_for": []},
    ) as stage:
        yield stage
