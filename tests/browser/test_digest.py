"""The digest as a person reads it: sentence, figures, and the way from an overdue case to its details."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenPage
from tests.journeys.stage import AGENT, a_stage
from tests.journeys.test_digest import DIGEST, Days, MovedClock, a_noon_zone

pytestmark = pytest.mark.browser


async def test_from_the_digest_to_an_overdue_case(
    market_dsn: str, market_reader_dsn: str, ledger_dsn: str, tmp_path: Path, open_page: OpenPage
) -> None:
    async with a_stage(
        market_dsn=market_dsn,
        market_reader_dsn=market_reader_dsn,
        ledger_dsn=ledger_dsn,
        folder=tmp_path,
    ) as stage:
        zone = a_noon_zone()
        stage.settings = stage.settings.model_copy(
            update={"digest_channel": DIGEST, "timezone": zone.key}
        )
        days = Days(stage, MovedClock(), zone)
        async with days.bot(answers=True):
            await stage.self_dealing("O-1")
            await stage.detect_now()
            await stage.card_with("O-1")
            days.clock.ahead += timedelta(days=1)
            await days.ticked()
            await days.posted()
            page = await open_page(f"{stage.workspace.base_url}/#{DIGEST}/{AGENT}")
            digest = page.get_by_role("log").locator("article").last
            await expect(digest.get_by_role("heading", level=3)).to_contain_text("昨日は")
            row = digest.get_by_role("row").filter(has_text="新規ケース")
            await expect(row).to_contain_text("1")
            await expect(digest).to_contain_text("期限を過ぎたケース")
            await expect(digest.get_by_role("link", name="C-2001")).to_be_visible()
            await digest.get_by_role("button", name="ケースの詳細").click()
            await expect(page.get_by_role("dialog", name="ケースの詳細")).to_contain_text("O-1")
