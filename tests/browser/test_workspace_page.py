"""The local workspace's page in a real browser, against the real server and a small bot of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from playwright.async_api import Page, Route, expect
from playwright.async_api import TimeoutError as PlaywrightTimeoutError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.seed import demo_seed
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from tests.browser.conftest import OpenPage
from tests.browser.small_bot import CARD, SmallBot, pressed_action

pytestmark = pytest.mark.browser


@dataclass(frozen=True, slots=True, kw_only=True)
class Playground:
    """A workspace that is being served, and the bot that is installed in it."""

    workspace: Workspace
    bot: SmallBot
    client: AsyncWebClient
    base_url: str

    async def post_card(self, channel: str = "C0ALERTS") -> str:
        answer = await self.client.chat_postMessage(
            channel=channel, text="自作自演による不正注文の疑い", blocks=CARD
        )
        return str(answer["ts"])

    def address(self, *, user: str = "U0SATO", channel: str = "C0ALERTS") -> str:
        return f"{self.base_url}/#{channel}/{user}"


@pytest.fixture
async def playground() -> AsyncIterator[Playground]:
    bot = SmallBot()
    runner = web.AppRunner(bot.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    workspace = Workspace(
        demo_seed(market_url="http://127.0.0.1:8900/"),
        request_url=f"http://127.0.0.1:{port}/slack/events",
        rate_scale=1000,
        ack_timeout_s=1.0,
    )
    async with serve_workspace(workspace, port=0):
        client = AsyncWebClient(
            token=workspace.seed.bot_token, base_url=f"{workspace.base_url}/api/"
        )
        bot.client = client
        yield Playground(workspace=workspace, bot=bot, client=client, base_url=workspace.base_url)
    await runner.cleanup()


async def act_as(page: Page, user_id: str) -> None:
    person = page.locator(f"[role=menuitemradio][data-user-id={user_id}]")
    for last in (False, False, True):
        await page.locator("#act-as").click()
        try:
            await person.click(timeout=10_000 if last else 3_000)
        except PlaywrightTimeoutError:
            # News that redraws the bar closes its menu: a person opens it once more.
            if last:
                raise
            await page.keyboard.press("Escape")
        else:
            break
    await expect(page.locator(f"#app[data-as={user_id}]")).to_be_visible()


async def test_channels_are_listed_with_what_is_unread(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card("C0DIGEST")
    page = await open_page(playground.address())
    channels = page.get_by_role("navigation", name="チャンネル")
    await expect(channels.get_by_role("link", name="fraud-alerts")).to_have_attribute(
        "aria-current", "page"
    )
    digest = channels.locator("[data-channel-id=C0DIGEST]")
    await expect(digest.get_by_label("未読 1 件")).to_be_visible()
    await expect(channels.get_by_role("link", name="デモ")).to_have_attribute(
        "href", "http://127.0.0.1:8900/"
    )
    await digest.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("#fraud-digest")
    await page.locator("[data-channel-id=C0ALERTS]").click()
    await expect(digest).to_have_attribute("data-unread", "0")


async def test_a_posted_card_appears_by_itself_with_everything_on_it(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page(playground.address())
    await expect(page.get_by_text("まだメッセージはありません")).to_be_visible()
    ts = await playground.post_card()
    card = page.locator(f"[data-ts='{ts}']")
    await expect(card.get_by_role("heading", level=3)).to_have_text(
        "🔴【緊急】自作自演による不正注文の疑い"
    )
    await expect(card.locator("strong")).to_have_text("4アカウント")
    await expect(card).to_contain_text("<b>")
    await expect(card.get_by_text("@田中")).to_be_visible()
    await expect(card.get_by_role("link", name="注文")).to_have_attribute(
        "href", "https://example.com/a"
    )
    await expect(card.get_by_role("cell", name="¥12,400")).to_be_visible()
    await expect(card.get_by_text("アプリ", exact=True)).to_be_visible()


async def test_an_updated_message_changes_in_place_and_plain_text_is_marked_as_edited(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page(playground.address())
    ts = await playground.post_card()
    card = page.locator(f"[data-ts='{ts}']")
    await expect(card.get_by_role("button", name="保留")).to_be_visible()
    await playground.client.chat_update(channel="C0ALERTS", ts=ts, text="完了しました", blocks=[])
    await expect(card.get_by_role("button", name="保留")).to_have_count(0)
    await expect(card).to_contain_text("完了しました (編集済み)")


async def test_what_is_posted_while_the_page_is_still_connecting_is_shown(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page("about:blank")
    posted = asyncio.Event()

    async def late(route: Route) -> None:
        await posted.wait()
        await route.continue_()

    await page.route("**/ui/stream*", late)
    await page.goto(playground.address())
    await expect(page.get_by_text("まだメッセージはありません。")).to_be_visible()
    ts = await playground.post_card()
    posted.set()
    await expect(page.locator(f"[data-ts='{ts}']")).to_be_visible()


async def test_a_button_opens_a_form_that_is_checked_sent_and_closed(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address())
    await page.get_by_role("button", name="強制キャンセル…").click()
    form = page.get_by_role("dialog", name="強制キャンセル")
    await expect(form).to_be_visible()
    submit = form.get_by_role("button", name="申請する")

    await submit.click()
    await expect(form.get_by_text("この項目は必須です。")).to_be_visible()
    await expect(form.get_by_label("理由")).to_have_attribute("aria-invalid", "true")
    assert [one["type"] for one in playground.bot.heard] == ["block_actions"]

    await form.get_by_label("理由").select_option(label="自作自演")
    await form.get_by_label("メモ").fill("あ" * 21)
    await submit.click()
    await expect(form.get_by_text("20 文字以内で入力してください。")).to_be_visible()

    await form.get_by_label("メモ").fill("だめ")
    await submit.click()
    await expect(form.get_by_text("このメモは使えません。")).to_be_visible()
    await expect(form.get_by_text("この項目は必須です。")).to_have_count(0)

    playground.bot.heard.clear()
    await form.get_by_label("メモ").fill("同じ端末でした")
    await submit.click()
    await expect(form).to_be_hidden()
    values = playground.bot.submitted()
    assert values["note"] == {"note": {"type": "plain_text_input", "value": "同じ端末でした"}}
    assert values["reason"]["reason"]["selected_option"]["value"] == "self_dealing"  # type: ignore[index]


async def test_escape_closes_a_form_and_the_app_hears_of_it(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address())
    await page.get_by_role("button", name="強制キャンセル…").click()
    form = page.get_by_role("dialog", name="強制キャンセル")
    await expect(form.get_by_label("理由")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(form).to_be_hidden()
    heard = playground.bot.heard
    assert await playground.workspace.until(lambda: heard[-1]["type"] == "view_closed")


async def test_an_open_form_is_there_again_after_a_reload_of_the_page(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address())
    await page.get_by_role("button", name="強制キャンセル…").click()
    form = page.get_by_role("dialog", name="強制キャンセル")
    await expect(form).to_be_visible()
    await page.reload()
    await expect(form).to_be_visible()


async def test_a_confirm_dialog_asks_before_anything_is_sent(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address())
    press = page.get_by_role("button", name="却下…")
    question = page.get_by_role("alertdialog", name="本当に却下しますか")
    await press.click()
    await question.get_by_role("button", name="戻る").click()
    await expect(question).to_have_count(0)
    assert playground.bot.heard == []
    await press.click()
    await question.get_by_role("button", name="却下する").click()
    assert await playground.workspace.until(lambda: len(playground.bot.heard) == 1)


async def test_an_overflow_menu_is_walked_with_the_keyboard(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address())
    more = page.get_by_role("button", name="その他の操作")
    await more.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitem", name="担当する")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menu")).to_have_count(0)
    heard = playground.bot.heard
    assert await playground.workspace.until(lambda: len(heard) == 1)
    assert pressed_action(heard[0])["selected_option"]["value"] == "details"


async def test_a_press_that_the_app_fails_is_explained_beside_the_message(
    playground: Playground, open_page: OpenPage
) -> None:
    ts = await playground.post_card()
    page = await open_page(playground.address())
    card = page.locator(f"[data-ts='{ts}']")
    await card.get_by_role("button", name="壊れたボタン").click()
    await expect(card.get_by_role("alert")).to_contain_text("うまくいきませんでした")
    await expect(card.get_by_role("alert")).to_contain_text("HTTP 500")
    await card.get_by_role("button", name="表示を消す").click()
    await expect(card.get_by_role("alert")).to_have_count(0)


async def test_an_ephemeral_answer_is_shown_to_its_reader_only(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address(user="U0SATO"))
    await page.get_by_role("button", name="保留").click()
    answer = page.get_by_text("保留には権限が必要です。")
    await expect(answer).to_be_visible()
    await expect(page.get_by_text("あなただけに表示されています")).to_be_visible()
    await act_as(page, "U0TANAKA")
    await expect(page.get_by_role("button", name="保留")).to_be_visible()
    await expect(answer).to_have_count(0)


async def test_another_person_acts_in_the_same_channel_and_in_their_own_language(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card("C0DIGEST")
    page = await open_page(playground.address(channel="C0DIGEST"))
    await expect(page.locator("html")).to_have_attribute("lang", "ja")
    await act_as(page, "U0SMITH")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.get_by_role("heading", level=1)).to_have_text("#fraud-digest")
    await expect(page.get_by_role("button", name="Acting as Smith (Approver)")).to_be_visible()
    await page.reload()
    await expect(page.locator("#app[data-as=U0SMITH]")).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text("#fraud-digest")


async def test_a_person_changes_their_language(playground: Playground, open_page: OpenPage) -> None:
    page = await open_page(playground.address())
    await page.locator("#act-as").click()
    await page.locator("[data-locale=en]").click()
    await expect(page.get_by_role("navigation", name="Channels")).to_be_visible()
    info = await playground.client.users_info(user="U0SATO", include_locale=True)
    assert info["user"]["locale"] == "en-US"


async def test_a_slash_command_is_suggested_completed_and_sent(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page(playground.address())
    field = page.get_by_label("#fraud-alerts へのメッセージ")
    await field.press_sequentially("/")
    suggestion = page.get_by_role("option")
    await expect(suggestion).to_contain_text("/cre")
    await expect(suggestion).to_contain_text("cancel ORDER")
    await page.keyboard.press("Enter")
    await expect(field).to_have_value("/cre ")
    await expect(page.locator("#composer-hint")).to_contain_text("suspend ACCOUNT")
    await field.press_sequentially("case 12")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("受け付けました: case 12")).to_be_visible()
    await expect(field).to_have_value("")
    await field.fill("/nope")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("/nope というコマンドはありません")).to_be_visible()
    assert [one["text"] for one in playground.bot.commands] == ["case 12"]


async def test_shift_enter_starts_a_line_and_signs_are_shown_as_they_were_typed(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page(playground.address())
    field = page.get_by_label("#fraud-alerts へのメッセージ")
    await field.press_sequentially("一行目 <script>")
    await page.keyboard.press("Shift+Enter")
    await field.press_sequentially("*二行目* & <!channel>")
    await page.keyboard.press("Enter")
    article = page.get_by_role("article")
    await expect(article).to_contain_text("一行目 <script>")
    await expect(article.locator("strong")).to_have_text("二行目")
    await expect(article.locator("br")).to_have_count(1)
    await expect(article.locator(".mention")).to_have_count(0)


async def test_a_thread_opens_beside_its_parent_and_takes_replies(
    playground: Playground, open_page: OpenPage
) -> None:
    ts = await playground.post_card()
    for text in ("検知しました", "保留しました"):
        await playground.client.chat_postMessage(channel="C0ALERTS", thread_ts=ts, text=text)
    page = await open_page(playground.address())
    await expect(page.get_by_text("検知しました")).to_have_count(0)
    await page.get_by_role("button", name="2 件の返信").click()
    thread = page.get_by_role("complementary", name="スレッド")
    await expect(thread.get_by_role("article")).to_have_count(3)
    await thread.get_by_label("返信する").fill("確認します")
    await page.keyboard.press("Enter")
    await expect(thread.get_by_role("article")).to_have_count(4)
    await expect(page.get_by_role("button", name="3 件の返信")).to_be_visible()
    await thread.get_by_label("返信する").fill("/cre queue")
    await page.keyboard.press("Enter")
    await expect(thread.get_by_role("alert")).to_contain_text("スレッドでは使えません")
    await page.reload()
    await expect(thread.get_by_role("article")).to_have_count(4)
    await thread.get_by_role("button", name="スレッドを閉じる").click()
    await expect(thread).to_be_hidden()


async def test_the_inspector_lists_what_was_said_and_shows_it(
    playground: Playground, open_page: OpenPage
) -> None:
    await playground.post_card()
    page = await open_page(playground.address())
    await page.get_by_role("button", name="壊れたボタン").click()
    await page.get_by_role("button", name="通信の記録").click()
    inspector = page.get_by_role("region", name="通信の記録")
    posted = inspector.locator("tr[data-method='chat.postMessage']")
    await expect(posted).to_contain_text("ボット → Slack")
    failed = inspector.locator("tr[data-method=block_actions]")
    await expect(failed).to_contain_text("500")
    await failed.get_by_role("button").click()
    await expect(inspector.locator(".traffic-detail")).to_contain_text("act:broken")
    await inspector.get_by_label("エラーのみ").check()
    await expect(posted).to_have_count(0)
    await expect(failed).to_have_count(1)


async def test_at_phone_width_everything_fits_and_drawers_open(
    playground: Playground, open_page: OpenPage
) -> None:
    ts = await playground.post_card()
    await playground.client.chat_postMessage(channel="C0ALERTS", thread_ts=ts, text="検知しました")
    page = await open_page(playground.address(), width=360, height=740, touch=True)
    await expect(page.locator(f"[data-ts='{ts}']")).to_be_visible()

    async def fits() -> bool:
        return bool(
            await page.evaluate("document.scrollingElement.scrollWidth <= window.innerWidth")
        )

    assert await fits()
    table = page.locator(".table-box")
    assert await table.evaluate("box => { box.scrollLeft = 40; return box.scrollLeft; }") == 40
    log = page.get_by_role("log", name="#fraud-alerts のメッセージ")
    assert await log.evaluate("log => log.scrollWidth <= log.clientWidth")
    channels = page.get_by_role("navigation", name="チャンネル")
    await expect(channels).to_be_hidden()
    await page.get_by_role("button", name="メニューを開く").click()
    await expect(channels).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(channels).to_be_hidden()
    await page.get_by_role("button", name="1 件の返信").click()
    thread = page.get_by_role("complementary", name="スレッド")
    box = await thread.bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 360)
    assert await fits()
    await thread.get_by_role("button", name="スレッドを閉じる").click()
    await page.locator("#act-as").click()
    assert await fits()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="強制キャンセル…").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await fits()


async def test_dark_mode_follows_the_system_and_the_switch(
    playground: Playground, open_page: OpenPage
) -> None:
    white, black = "rgb(255, 255, 255)", "rgb(27, 28, 32)"
    light = await open_page(playground.address())
    dark = await open_page(playground.address(), dark=True)
    await expect(light.locator("body")).to_have_css("background-color", white)
    await expect(dark.locator("body")).to_have_css("background-color", black)
    await light.get_by_role("button", name="ダークモードに切り替え").click()
    await expect(light.locator("body")).to_have_css("background-color", black)
    await light.reload()
    await expect(light.locator("body")).to_have_css("background-color", black)


async def test_a_reader_of_old_messages_is_not_pulled_away_by_new_ones(
    playground: Playground, open_page: OpenPage
) -> None:
    for _ in range(4):
        await playground.post_card()
    page = await open_page(playground.address(), height=600)
    log = page.get_by_role("log", name="#fraud-alerts のメッセージ")
    await expect(page.get_by_role("article")).to_have_count(4)
    bottom = "log => log.scrollHeight - log.scrollTop - log.clientHeight < 2"
    assert await log.evaluate(bottom)
    await playground.post_card()
    await expect(page.get_by_role("article")).to_have_count(5)
    assert await log.evaluate(bottom)
    await log.evaluate("log => { log.scrollTop = 0; }")
    await playground.post_card()
    await expect(page.get_by_role("article")).to_have_count(6)
    assert await log.evaluate("log => log.scrollTop") == 0
    await page.get_by_role("button", name="新着メッセージへ").click()
    assert await log.evaluate(bottom)


async def test_the_page_comes_back_by_itself_when_the_workspace_does(
    open_page: OpenPage, page_errors: list[str]
) -> None:
    async with serve_workspace(Workspace(demo_seed())) as address:
        page = await open_page(f"{address}/#C0ALERTS/U0SATO")
        await expect(page.get_by_text("まだメッセージはありません")).to_be_visible()
    lost = page.get_by_role("alert").filter(has_text="再接続しています")
    await expect(lost).to_be_visible()
    returned = Workspace(demo_seed())
    async with serve_workspace(returned, port=int(address.rsplit(":", 1)[1])):
        await returned.post("U0TANAKA", "C0ALERTS", "戻りました")
        await expect(page.get_by_text("戻りました")).to_be_visible(timeout=15_000)
        await expect(lost).to_have_count(0)
        await returned.post("U0TANAKA", "C0ALERTS", "続きです")
        await expect(page.get_by_text("続きです")).to_be_visible()
        await page.close()
    # A browser writes every refused connection to its console.
    assert all("ERR_CONNECTION_REFUSED" in error for error in page_errors)
    page_errors.clear()


async def test_a_long_channel_shows_its_newest_messages_first_and_the_older_ones_when_asked(
    playground: Playground, open_page: OpenPage
) -> None:
    for number in range(130):
        await playground.workspace.post("U0TANAKA", "C0ALERTS", f"メッセージ {number}")
    page = await open_page(playground.address())
    await expect(page.get_by_role("article")).to_have_count(100)
    await expect(page.get_by_text("メッセージ 129")).to_be_in_viewport()
    await page.get_by_role("button", name="以前のメッセージを表示").click()
    await expect(page.get_by_role("article")).to_have_count(130)
    await expect(page.get_by_role("button", name="以前のメッセージを表示")).to_have_count(0)
    await expect(page.get_by_text("メッセージ 30", exact=True)).to_be_in_viewport()


async def test_both_languages_of_the_page_have_the_same_words(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page(playground.address())
    words = await page.evaluate("import('/static/js/words.js').then((module) => module.WORDS)")
    plural_only_in_english = {"replies_one"}
    assert set(words["ja"]) == set(words["en"]) - plural_only_in_english


MRKDWN = [
    (
        "*太字* _斜体_ ~消し~ `コ*ー*ド`",
        "[b]太字[/b] [i]斜体[/i] [s]消し[/s] [code]コ*ー*ド[/code]",
    ),
    ("語*ではない*語 2*3*4 **x**", "語*ではない*語 2*3*4 **x**"),
    ("&lt;!channel&gt; &amp;lt;", "<!channel> &lt;"),
    ("<!channel> <!subteam^S0LEADS> <@U0SATO> <@U0NOBODY|誰か>", "@channel @cs-leads @佐藤 @誰か"),
    ("<javascript:alert(1)|押す>", "<javascript:alert(1)|押す>"),
    ("<https://example.com/?a=1&amp;b=2|*店*>", "[a https://example.com/?a=1&b=2]*店*[/a]"),
    ("&gt; 引用 *太字*\n本文", "[q]引用 [b]太字[/b][/q]本文"),
    ("<!date^0^{date_num} {time}|予備>", "1970-01-01 09:00"),
    ("<!date^いつ^{date}|予備>", "予備"),
    (":warning: :知らない: :nope:", "⚠️ :知らない: :nope:"),
]
TO_TEXT = """async (texts) => {
  const { mrkdwn } = await import("/static/js/mrkdwn.js");
  const { peopleOf } = await import("/static/js/people.js");
  const state = await (await fetch("/ui/state?as=U0SATO")).json();
  const names = { STRONG: "b", EM: "i", S: "s", CODE: "code", BLOCKQUOTE: "q", A: "a" };
  const told = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    const inner = [...node.childNodes].map(told).join("");
    const name = node.dataset.channelId ? undefined : names[node.tagName];
    if (!name) return inner;
    return `[${name}${name === "a" ? ` ${node.href}` : ""}]${inner}[/${name}]`;
  };
  return texts.map((text) => {
    const box = document.createElement("div");
    box.append(...mrkdwn(text, peopleOf(state)));
    return told(box);
  });
}"""


async def test_mrkdwn_is_read_as_slack_reads_it(
    playground: Playground, open_page: OpenPage
) -> None:
    page = await open_page(playground.address())
    shown = await page.evaluate(TO_TEXT, [text for text, _ in MRKDWN])
    assert shown == [expected for _, expected in MRKDWN]
