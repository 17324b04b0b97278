"""Messages: what is kept of them, edits, threads, ephemerals, history and metadata."""

from __future__ import annotations

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.mentions import active_in, links_in
from bot.playground.workspace.state import KEPT_MESSAGES, Message
from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import (
    ALERTS,
    AppSide,
    actions,
    button,
    mrkdwn,
    plain,
    section,
)

EVENT = {"event_type": "mimawari_case", "event_payload": {"case_id": 1}}


async def test_a_post_is_read_back_as_it_was(workspace: Workspace, client: AsyncWebClient) -> None:
    answer = await client.chat_postMessage(
        channel=ALERTS, text="x", blocks=[actions(button("a"))], metadata=EVENT
    )
    (message,) = workspace.messages(ALERTS)
    assert answer["ts"] == message.ts
    assert answer["message"]["bot_id"] == "B0MIMAWARI"
    assert answer["message"]["blocks"][0]["block_id"], "Slack names blocks that have no name"
    read = await client.conversations_history(channel=ALERTS, include_all_metadata=True)
    assert read["messages"][0]["metadata"] == EVENT
    read = await client.conversations_history(channel=ALERTS)
    assert "metadata" not in read["messages"][0]


async def test_a_channel_is_also_found_by_name(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    assert (await client.chat_postMessage(channel="#fraud-alerts", text="x"))["channel"] == ALERTS


async def test_every_message_has_a_ts_of_its_own(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    seen = [(await client.chat_postMessage(channel=ALERTS, text="x"))["ts"] for _ in range(20)]
    assert len(set(seen)) == 20
    assert seen == sorted(seen)


async def test_an_edit_without_blocks_takes_them_away_and_keeps_the_metadata(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(
        channel=ALERTS, text="x", blocks=[section("x")], metadata=EVENT
    )
    await client.chat_update(channel=ALERTS, ts=posted["ts"], text="y")
    (message,) = workspace.messages(ALERTS)
    assert (message.text, message.blocks, message.metadata) == ("y", [], EVENT)
    assert message.edited_ts is not None
    await client.chat_update(
        channel=ALERTS, ts=posted["ts"], blocks=[section("z")], text="z", metadata={}
    )
    assert message.metadata is None
    assert message.edited_ts is None, "Slack shows no edit where there are blocks"


async def test_an_edit_of_more_than_4000_characters_is_too_long(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel=ALERTS, text="x" * 5000)
    await client.chat_update(channel=ALERTS, ts=posted["ts"], text="y" * 4000)
    with pytest.raises(SlackApiError, match="msg_too_long"):
        await client.chat_update(channel=ALERTS, ts=posted["ts"], text="y" * 4001)


async def test_a_post_is_cut_at_40000_characters(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    await client.chat_postMessage(channel=ALERTS, text="x" * 40_001)
    assert len(workspace.messages(ALERTS)[0].text) == 40_000


async def test_only_its_own_messages_may_be_edited(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    posted = await workspace.post("U0SATO", ALERTS, "mine")
    with pytest.raises(SlackApiError, match="cant_update_message"):
        await client.chat_update(channel=ALERTS, ts=posted.ts, text="yours")


async def test_an_ephemeral_is_in_no_history_and_cannot_be_edited(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    posted = await client.chat_postEphemeral(channel=ALERTS, user="U0SATO", text="for you")
    assert [m.text for m in workspace.ephemerals("U0SATO")] == ["for you"]
    assert workspace.ephemerals("U0TANAKA") == []
    assert (await client.conversations_history(channel=ALERTS))["messages"] == []
    with pytest.raises(SlackApiError, match="message_not_found"):
        await client.chat_update(channel=ALERTS, ts=posted["message_ts"], text="x")


async def test_a_deactivated_person_gets_no_ephemeral(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    workspace.deactivate("U0SATO")
    with pytest.raises(SlackApiError, match="user_not_in_channel"):
        await client.chat_postEphemeral(channel=ALERTS, user="U0SATO", text="x")


async def test_replies_stand_in_the_thread_and_not_in_the_channel(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    parent = (await client.chat_postMessage(channel=ALERTS, text="card"))["ts"]
    first = await client.chat_postMessage(
        channel=ALERTS, text="one", thread_ts=parent, metadata=EVENT
    )
    await workspace.post("U0SATO", ALERTS, "two", thread_ts=parent)
    read = await client.conversations_replies(channel=ALERTS, ts=parent, include_all_metadata=True)
    assert [m["text"] for m in read["messages"]] == ["card", "one", "two"]
    assert read["messages"][0]["reply_count"] == 2
    assert read["messages"][1]["metadata"] == EVENT
    assert [
        m["text"] for m in (await client.conversations_history(channel=ALERTS))["messages"]
    ] == ["card"]
    assert [m.text for m in workspace.thread(ALERTS, parent)] == ["one", "two"]
    with pytest.raises(SlackApiError, match="cannot_reply_to_message"):
        await client.chat_postMessage(channel=ALERTS, text="x", thread_ts=first["ts"])


async def test_history_is_read_page_by_page_newest_first(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    stamps = [(await client.chat_postMessage(channel=ALERTS, text=str(n)))["ts"] for n in range(5)]
    first = await client.conversations_history(channel=ALERTS, limit=2)
    assert [m["text"] for m in first["messages"]] == ["4", "3"]
    assert first["has_more"] is True
    rest = await client.conversations_history(
        channel=ALERTS, limit=9, cursor=first["response_metadata"]["next_cursor"]
    )
    assert [m["text"] for m in rest["messages"]] == ["2", "1", "0"]
    assert rest["has_more"] is False
    since = await client.conversations_history(channel=ALERTS, oldest=stamps[3])
    assert [m["text"] for m in since["messages"]] == ["4"]
    since = await client.conversations_history(channel=ALERTS, oldest=stamps[3], inclusive=True)
    assert [m["text"] for m in since["messages"]] == ["4", "3"]


async def test_a_deleted_message_can_no_longer_be_edited(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel=ALERTS, text="x")
    workspace.delete_message(ALERTS, posted["ts"])
    with pytest.raises(SlackApiError, match="message_not_found"):
        await client.chat_update(channel=ALERTS, ts=posted["ts"], text="y")


async def test_the_app_hears_posts_edits_and_deletions_where_it_is_a_member(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    posted = await workspace.post("U0SATO", ALERTS, "<!channel> & co")
    await workspace.post("U0SATO", "C0GENERAL", "not for the app")
    card = await client.chat_postMessage(channel=ALERTS, text="card")
    await client.chat_update(channel=ALERTS, ts=card["ts"], text="new")
    workspace.delete_message(ALERTS, posted.ts)
    await workspace.delivery.settle()
    events = sorted(side.events("message"), key=lambda event: event["event_ts"])
    assert [e.get("subtype") for e in events] == [None, None, "message_changed", "message_deleted"]
    assert events[0]["text"] == "&lt;!channel&gt; &amp; co", "as Slack escapes what people type"
    assert (events[0]["channel"], events[0]["channel_type"]) == (ALERTS, "channel")
    assert events[1]["bot_id"] == "B0MIMAWARI"


async def test_a_permalink_leads_to_the_channel_on_the_page(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="x"))["ts"]
    link = (await client.chat_getPermalink(channel=ALERTS, message_ts=ts))["permalink"]
    assert link == f"{workspace.base_url}/archives/{ALERTS}/p{ts.replace('.', '')}"


def test_a_channel_keeps_its_newest_messages_only(
    client: AsyncWebClient, workspace: Workspace
) -> None:
    channel = workspace.state.channel(ALERTS)
    for n in range(KEPT_MESSAGES + 3):
        channel.keep(
            Message(channel=ALERTS, ts=f"{n}.000000", user="U0BOT", text=str(n), blocks=[])
        )
    assert len(channel.messages) == KEPT_MESSAGES
    assert next(iter(channel.messages.values())).text == "3"


MENTIONS = [
    ("<!channel>", ("<!channel>",)),
    ("<!here|here> <!everyone>", ("<!here>", "<!everyone>")),
    ("<@U0SATO> and <@U0ITO|ito>", ("<@U0SATO>", "<@U0ITO>")),
    ("<!subteam^S0LEADS>", ("<!subteam^S0LEADS>",)),
    ("<#C0ALERTS|x>", ("<#C0ALERTS>",)),
    ("&lt;!channel&gt; &lt;@U0SATO&gt;", ()),
    ("<!date^1^{date}|x>", ()),
    ("@channel", ()),
]


@pytest.mark.parametrize(("text", "mentions"), MENTIONS)
def test_mentions_in_markup_are_active_and_escaped_ones_are_not(
    text: str, mentions: tuple[str, ...]
) -> None:
    assert active_in(text, []) == mentions
    assert active_in("", [section(text)]) == mentions
    assert active_in("", [{"type": "section", "fields": [mrkdwn(text)]}]) == mentions
    assert active_in("", [{"type": "markdown", "text": text}]) == mentions
    assert active_in("", [{"type": "header", "text": plain(text)}]) == (), (
        "plain text mentions nobody"
    )


def test_rich_text_mentions_by_element_and_never_by_text() -> None:
    def rich(*elements: dict[str, object]) -> list[dict[str, object]]:
        inner = {"type": "rich_text_section", "elements": list(elements)}
        return [{"type": "rich_text", "elements": [inner]}]

    assert active_in("", rich({"type": "text", "text": "<!channel> <@U0SATO>"})) == ()
    assert active_in("", rich({"type": "user", "user_id": "U0SATO"})) == ("<@U0SATO>",)
    assert active_in("", rich({"type": "broadcast", "range": "here"})) == ("<!here>",)
    assert links_in("", rich({"type": "link", "url": "https://x.example"})) == (
        "https://x.example",
    )


def test_parse_full_makes_bare_names_active() -> None:
    assert active_in("@channel", [], parse_full=True) == ("<!channel>",)


def test_links_in_markup_are_found() -> None:
    assert links_in("<https://evil.example|O-1> &lt;https://a.example&gt;", []) == (
        "https://evil.example",
    )


async def test_a_message_tells_what_it_made_active(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    await client.chat_postMessage(channel=ALERTS, text="<!here> <https://x.example|x>")
    (message,) = workspace.messages(ALERTS)
    assert message.mentions == ("<!here>",)
    assert message.links == ("https://x.example",)
