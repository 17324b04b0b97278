"""The whole loop by hand: the real bot, clicked through in a real browser from the card to the proven log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from bot.domain.cases import CaseState
from tests.browser.conftest import OpenPage
from tests.browser.test_workspace_page import act_as
from tests.journeys.stage import AGENT, ALERTS, APPROVER, APPROVER_2, OUTSIDER, Stage, a_stage
from tests.journeys.test_bulk import a_ring

pytestmark = pytest.mark.browser


@pytest.fixture
async def stage(
    market_dsn: str, market_reader_dsn: str, ledger_dsn: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    """The world of the journeys with the bot running, and the page's language switch connected as in the demo."""
    async with (
        a_stage(
            market_dsn=market_dsn,
            market_reader_dsn=market_reader_dsn,
            ledger_dsn=ledger_dsn,
            folder=tmp_path,
        ) as stage,
        stage.bot_running() as bot,
    ):
        stage.bot = bot
        stage.workspace.on_channel_locale = bot.set_channel_locale
        yield stage


async def a_case(stage: Stage, order: str, *, amount: int = 12400) -> str:
    """Let the bot find this order; the time stamp of its card."""
    await stage.self_dealing(order, amount=amount)
    await stage.detect_now()
    return (await stage.card_with(order)).ts


async def alerts(stage: Stage, open_page: OpenPage, user: str = AGENT) -> Page:
    return await open_page(f"{stage.workspace.base_url}/#{ALERTS}/{user}")


def card_of(page: Page, ts: str) -> Locator:
    return page.get_by_role("log").locator(f"article[data-ts='{ts}']:not([data-ephemeral])")


def told_alone(page: Page) -> Locator:
    """What the bot said to nobody but the person at the page."""
    return page.get_by_role("log").locator("article[data-ephemeral=true]").last


async def request_cancel(page: Page, card: Locator) -> None:
    await card.get_by_role("button", name="強制キャンセル+利用停止…").click()
    form = page.get_by_role("dialog", name="強制キャンセル")
    await form.get_by_label("理由").select_option(label="盗難カードの使用")
    await form.get_by_role("button", name="承認を申請").click()
    await expect(form).to_have_count(0)
    await expect(card).to_contain_text("承認待ち(あと1名)")


async def test_from_the_card_to_the_cancelled_order_each_as_the_right_and_the_wrong_person(
    stage: Stage, open_page: OpenPage
) -> None:
    page = await alerts(stage, open_page)
    await expect(page.get_by_text("まだメッセージはありません")).to_be_visible()
    ts = await a_case(stage, "O-1")
    card = card_of(page, ts)
    title = card.get_by_role("heading", level=3)
    await expect(title).to_contain_text("【緊急】")
    await expect(title).to_contain_text("¥12,400")

    # The agent asks: without a reason nothing is sent.
    await card.get_by_role("button", name="強制キャンセル+利用停止…").click()
    form = page.get_by_role("dialog", name="強制キャンセル")
    await expect(form).to_contain_text("元に戻せません")
    await expect(form).to_contain_text("¥12,400")
    await form.get_by_role("button", name="承認を申請").click()
    await expect(form.get_by_text("この項目は必須です。")).to_be_visible()
    assert await stage.count("decisions") == 0
    await form.get_by_label("理由").select_option(label="盗難カードの使用")
    await form.get_by_role("button", name="承認を申請").click()
    await expect(form).to_have_count(0)
    await expect(card).to_contain_text("承認待ち(あと1名)")
    await expect(card).to_contain_text("佐藤さん")

    # Who may not approve is told so, alone.
    await card.get_by_role("button", name="承認…").click()
    await expect(told_alone(page)).to_contain_text("承認")
    await act_as(page, OUTSIDER)
    await expect(page.locator("article[data-ephemeral]")).to_have_count(0)
    await card.get_by_role("button", name="承認…").click()
    await expect(told_alone(page)).to_contain_text("「承認者」権限が必要です")
    await expect(told_alone(page)).to_contain_text("あなただけに表示されています")
    await expect(page.get_by_role("dialog")).to_have_count(0)

    # The second person approves, and it is done.
    await act_as(page, APPROVER)
    await expect(page.locator("article[data-ephemeral]")).to_have_count(0)
    assert (await stage.order("O-1"))["canceled_at"] is None
    await card.get_by_role("button", name="承認…").click()
    form = page.get_by_role("dialog", name="承認")
    await expect(form).to_contain_text("佐藤さん")
    await expect(form).to_contain_text("盗難カードの使用")
    await form.get_by_role("button", name="承認", exact=True).click()
    await expect(form).to_have_count(0)
    await expect(card).to_contain_text("完了", timeout=15_000)
    await expect(card).to_contain_text("承認 田中")
    await expect(card).to_contain_text("対象: O-1")
    await expect(card.get_by_role("button", name="強制キャンセル")).to_have_count(0)

    # The story is in the thread.
    await card.get_by_role("button", name="件の返信").click()
    thread = page.get_by_role("complementary", name="スレッド")
    for words in ("佐藤さん", "田中さん", "完了しました"):
        await expect(thread.get_by_role("article").filter(has_text=words).last).to_be_visible()

    # The marketplace's own page says the same, and the log is whole.
    market_url = stage.settings.market_api_url
    back_office = await open_page(f"{market_url}/orders/O-1?lang=ja")
    await expect(back_office.get_by_role("heading", level=1)).to_have_text("O-1")
    await expect(back_office.locator(".history")).to_contain_text("cancel")
    await back_office.goto(f"{market_url}/?lang=ja")
    row = back_office.get_by_role("row").filter(has_text="O-1")
    await expect(row).to_contain_text("キャンセル済み")
    assert (await stage.verified()).ok


async def test_nobody_approves_their_own_request_by_hand_either(
    stage: Stage, open_page: OpenPage
) -> None:
    # Above the limit an approver needs another one.
    ts = await a_case(stage, "O-1", amount=60000)
    page = await alerts(stage, open_page, APPROVER)
    card = card_of(page, ts)
    await request_cancel(page, card)
    await card.get_by_role("button", name="承認…").click()
    await expect(told_alone(page)).to_contain_text("ご自身が申請")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    view = await stage.case(stage.cards()[0])
    assert view.state is CaseState.AWAITING_APPROVAL
    assert view.decision is not None
    assert view.decision.approvals == ()


async def test_a_request_is_rejected_and_the_case_is_open_again(
    stage: Stage, open_page: OpenPage
) -> None:
    ts = await a_case(stage, "O-1")
    page = await alerts(stage, open_page)
    card = card_of(page, ts)
    await request_cancel(page, card)
    await act_as(page, APPROVER)
    await card.get_by_role("button", name="却下…").click()
    form = page.get_by_role("dialog", name="却下")
    await form.get_by_label("理由").select_option(index=1)
    await form.get_by_role("button", name="却下", exact=True).click()
    await expect(form).to_have_count(0)
    await expect(card).to_contain_text("田中さんが")
    await expect(card).to_contain_text("却下")
    await expect(card.get_by_role("button", name="強制キャンセル+利用停止…")).to_be_visible()
    assert (await stage.order("O-1"))["canceled_at"] is None


async def test_modals_speak_the_language_of_the_person_and_cards_that_of_the_channel(
    stage: Stage, open_page: OpenPage
) -> None:
    ts = await a_case(stage, "O-1")
    page = await alerts(stage, open_page, APPROVER_2)
    card = card_of(page, ts)
    await card.get_by_role("button", name="強制キャンセル+利用停止…").click()
    form = page.get_by_role("dialog", name="Force-cancel")
    await expect(form.get_by_label("Reason")).to_contain_text("Stolen card")
    await expect(form).to_contain_text("A forced cancel cannot be undone.")
    await page.keyboard.press("Escape")
    await expect(form).to_have_count(0)

    await page.locator("#act-as").click()
    await page.locator("[data-channel-locale=en]").click()
    await expect(card.get_by_role("heading", level=3)).to_contain_text("[Urgent]")
    await expect(card.get_by_role("button", name="Not fraud…")).to_be_visible()
    await expect(card).not_to_contain_text("疑い")


async def test_what_a_colleague_does_by_hand_in_the_back_office_shows_on_the_card(
    stage: Stage, open_page: OpenPage
) -> None:
    ts = await a_case(stage, "O-1")
    back_office = await open_page(f"{stage.settings.market_api_url}/orders/O-1?lang=ja")
    await back_office.get_by_role("button", name="キャンセル").click()
    await expect(back_office.locator(".history")).to_contain_text("back office")
    assert (await stage.order("O-1"))["status"] == "canceled"
    await stage.detect_now()
    page = await alerts(stage, open_page)
    card = card_of(page, ts)
    await expect(card.get_by_role("row").filter(has_text="O-1")).to_contain_text("キャンセル済み")
    await expect(card.get_by_role("button", name="強制キャンセル")).to_have_count(0)


async def test_a_ring_of_sixty_is_cancelled_by_forty_from_the_page(
    stage: Stage, open_page: OpenPage
) -> None:
    page = await alerts(stage, open_page)
    ring = await a_ring(stage, 60, amounts=(5000, 5000, 1000))
    card = card_of(page, ring.ts)
    await card.get_by_role("button", name="強制キャンセル").click()
    form = page.get_by_role("dialog", name="強制キャンセル")
    await expect(form).to_contain_text("60件中60件を選択中")
    await expect(form.get_by_role("checkbox")).to_have_count(50)

    # Below an amount; then the other page, where nothing is ticked any more.
    await form.get_by_label("この金額未満の注文を選択から外す").fill("5000")
    await form.get_by_role("button", name="金額未満を外す").click()
    await expect(form).to_contain_text("60件中40件を選択中")
    await expect(form).to_contain_text("¥200,000")
    await form.get_by_role("button", name="次のページ").click()
    await expect(form).to_contain_text("2ページ目")
    await expect(form.get_by_role("checkbox")).to_have_count(10)
    await expect(form.get_by_role("checkbox", checked=True)).to_have_count(0)

    # The confirmation shows the sum; it is the top one of two modals.
    await form.get_by_role("button", name="次へ").click()
    confirm = page.get_by_role("dialog").last
    await expect(confirm).to_contain_text("¥200,000")
    await confirm.get_by_label("理由").select_option(label="盗難カードの使用")
    await confirm.get_by_role("button", name="承認を申請").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(card).to_contain_text("承認待ち")

    for approver in (APPROVER, APPROVER_2):
        if (await stage.case(ring)).state is not CaseState.AWAITING_APPROVAL:
            break
        await act_as(page, approver)
        await card.get_by_role("button", name="承認…").click()
        form = page.get_by_role("dialog", name="承認")
        await form.get_by_role("button", name="承認", exact=True).click()
        await expect(form).to_have_count(0)
    # Twenty are left, and the card says what became of the forty.
    await expect(card).to_contain_text("注文40件を強制キャンセル", timeout=60_000)
    await expect(card).to_contain_text("強制キャンセル(20件)")
    canceled = await stage.market.pool.fetchval(
        "SELECT count(*) FROM market.orders WHERE canceled_at IS NOT NULL AND total_amount = 5000"
    )
    assert canceled == 40
    assert (await stage.verified()).ok
