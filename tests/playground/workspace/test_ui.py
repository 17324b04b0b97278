"""The page's API: what one person sees, what they do, and who may not drive it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import SayableError
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import (
    ALERTS,
    SEED,
    AppSide,
    actions,
    button,
    modal,
    select_input,
    text_input,
)


class Page:
    """What the page does with its address."""

    def __init__(self, workspace: Workspace, session: aiohttp.ClientSession) -> None:
        self.url = workspace.base_url
        self.session = session

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/ui/{path}", params=query) as answer:
            return {"http": answer.status, **await answer.json()}

    async def post(self, path: str, **body: object) -> dict[str, Any]:
        async with self.session.post(f"{self.url}/ui/{path}", json=body) as answer:
            return {"http": answer.status, **await answer.json()}


@pytest.fixture
def page(workspace: Workspace, session: aiohttp.ClientSession) -> Page:
    return Page(workspace, session)


async def test_a_person_sees_the_workspace_with_what_is_unread(
    workspace: Workspace, client: AsyncWebClient, page: Page
) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="card"))["ts"]
    state = await page.get("state", **{"as": "U0TANAKA"})
    assert state["team"] == {"id": "T0MIMAWARI", "name": "みなと市場"}
    assert (state["me"]["name"], state["me"]["groups"]) == ("田中", ["cs-leads"])
    assert len(state["users"]) == 9
    assert {g["handle"] for g in state["usergroups"]} >= {"cs-agents", "cs-leads"}
    alerts = state["channels"][0]
    assert (alerts["id"], alerts["unread"], alerts["latest_ts"]) == (ALERTS, 1, ts)
    assert state["commands"][0]["command"] == "/cre"
    await page.post("read", **{"as": "U0TANAKA"}, channel=ALERTS, ts=ts)
    assert (await page.get("state", **{"as": "U0TANAKA"}))["channels"][0]["unread"] == 0
    assert (await page.get("state", **{"as": "U0SATO"}))["channels"][0]["unread"] == 1


async def test_messages_and_threads_are_read_as_somebody(
    workspace: Workspace, client: AsyncWebClient, page: Page
) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="card"))["ts"]
    await client.chat_postMessage(channel=ALERTS, text="story", thread_ts=ts)
    await client.chat_postEphemeral(channel=ALERTS, user="U0SATO", text="for you")
    seen = await page.get(f"channels/{ALERTS}/messages", **{"as": "U0SATO"})
    assert [(m["text"], m["ephemeral"], m["reply_count"]) for m in seen["messages"]] == [
        ("card", False, 1),
        ("for you", True, 0),
    ]
    seen = await page.get(f"channels/{ALERTS}/messages", **{"as": "U0ITO"})
    assert [m["text"] for m in seen["messages"]] == ["card"]
    seen = await page.get(f"channels/{ALERTS}/threads/{ts}", **{"as": "U0ITO"})
    assert [m["text"] for m in seen["messages"]] == ["card", "story"]
    assert (await page.get("channels/C404/messages", **{"as": "U0ITO"}))["http"] == 404


async def test_a_press_a_modal_and_its_sending_go_through_the_page(
    workspace: Workspace, client: AsyncWebClient, side: AppSide, page: Page
) -> None:
    posted = await client.chat_postMessage(
        channel=ALERTS, text="card", blocks=[actions(button("act:cancel"), block_id="b")]
    )
    who = {"as": "U0TANAKA"}
    pressed = await page.post(
        "action",
        **who,
        channel=ALERTS,
        message_ts=posted["ts"],
        block_id="b",
        action_id="act:cancel",
        type="button",
        value="forged",
    )
    assert (pressed["ok"], pressed["status"]) == (True, 200)
    payload = side.of("block_actions")[0]
    assert payload["actions"][0]["value"] == "1|1", "from the message, not from the page"
    opened = await client.views_open(
        trigger_id=payload["trigger_id"],
        view=modal(select_input("reason", "a", "b"), text_input("note", optional=True)),
    )
    view_id = opened["view"]["id"]
    values = {"note": {"note": {"type": "plain_text_input", "value": "hi"}}}
    refused = await page.post("view_submit", **who, view_id=view_id, values=values)
    assert (refused["ok"], refused["response_action"]) == (False, "errors")
    assert list(refused["errors"]) == ["reason"]
    values["reason"] = {"reason": {"type": "static_select", "selected_option": {"value": "b"}}}  # type: ignore[dict-item]  # as the page sends it
    sent = await page.post("view_submit", **who, view_id=view_id, values=values)
    assert (sent["ok"], sent["view"]) == (True, None)
    state = side.of("view_submission")[0]["view"]["state"]["values"]
    assert state["reason"]["reason"]["selected_option"]["value"] == "b"
    assert state["note"]["note"]["value"] == "hi"
    assert (await page.post("view_close", **who, view_id=view_id))["ok"] is False


async def test_commands_messages_and_languages_go_through_the_page(
    workspace: Workspace, side: AppSide, page: Page
) -> None:
    chosen: list[str] = []

    async def hook(locale: str) -> None:
        chosen.append(locale)

    workspace.on_channel_locale = hook
    who = {"as": "U0SATO"}
    side.answers = [(200, "help")]
    assert (await page.post("command", **who, channel=ALERTS, command="/cre", text="help"))["ok"]
    assert [m.text for m in workspace.ephemerals("U0SATO")] == ["help"]
    posted = await page.post("message", **who, channel=ALERTS, text="hello")
    assert workspace.messages(ALERTS)[0].ts == posted["ts"]
    assert (await page.post("locale", **who, locale="en"))["ok"]
    assert workspace.state.user("U0SATO").locale == "en-US"
    assert (await page.post("channel_locale", locale="en"))["ok"]
    assert chosen == ["en"]
    assert (await page.get("state"))["channel_locale"] == "en"
    traffic = await page.get("traffic", after="0")
    assert "/cre" in {entry["method"] for entry in traffic["entries"]}


@pytest.mark.parametrize(
    ("path", "body", "http"),
    [
        ("message", {"as": "U404", "channel": ALERTS, "text": "x"}, 404),
        ("message", {"as": "U0SATO", "channel": "C404", "text": "x"}, 404),
        ("message", {"channel": ALERTS, "text": "x"}, 400),
        ("action", {"as": "U0SATO"}, 400),
        ("locale", {"as": "U0SATO", "locale": "fr"}, 400),
        ("fault", {"kind": "earthquake"}, 400),
    ],
)
async def test_a_wrong_request_of_the_page_is_named(
    page: Page, path: str, body: dict[str, object], http: int
) -> None:
    answer = await page.post(path, **body)
    assert (answer["http"], answer["ok"]) == (http, False)
    assert answer["error"]


async def test_faults_can_be_switched_on_from_outside(
    workspace: Workspace, session: aiohttp.ClientSession, page: Page
) -> None:
    assert (await page.post("fault", method="auth.test", kind="503"))["ok"]
    async with session.get(f"{workspace.base_url}/api/auth.test") as answer:
        assert answer.status == 503
    await page.post("faults_clear")
    async with session.get(f"{workspace.base_url}/api/auth.test") as answer:
        assert answer.status == 200


async def read_events(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []
    name = ""
    async with asyncio.timeout(5):
        while len(events) < count:
            line = (await response.content.readline()).decode().strip()
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name != "traffic":
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


async def test_the_page_hears_what_concerns_its_person(
    workspace: Workspace, client: AsyncWebClient, side: AppSide, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{workspace.base_url}/ui/stream", params={"as": "U0SATO"}) as response:
        assert response.content_type == "text/event-stream"
        assert await read_events(response, 1) == [("view", {"view": None})]
        await client.chat_postEphemeral(channel=ALERTS, user="U0ITO", text="not for Sato")
        ts = (await client.chat_postMessage(channel=ALERTS, text="card"))["ts"]
        await client.chat_update(channel=ALERTS, ts=ts, text="new")
        workspace.rename("U0ITO", "いとう")
        told = {"channel": ALERTS, "ts": ts, "thread_ts": None}
        assert await read_events(response, 3) == [
            ("message", {**told, "kind": "posted"}),
            ("message", {**told, "kind": "updated"}),
            ("state", {}),
        ]
        await workspace.command("U0SATO", ALERTS, "/cre")
        trigger_id = side.of("/cre")[0]["trigger_id"]
        opened = await client.views_open(trigger_id=trigger_id, view=modal())
        await workspace.close_view("U0SATO")
        first, second = await read_events(response, 2)
        assert (first[0], first[1]["view"]["id"]) == ("view", opened["view"]["id"])
        assert second == ("view", {"view": None})


async def test_a_page_that_is_open_does_not_hold_up_the_end(session: aiohttp.ClientSession) -> None:
    async with serve_workspace(Workspace(SEED)) as url:
        response = await session.get(f"{url}/ui/stream", params={"as": "U0SATO"})
        await read_events(response, 1)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    response.close()


@pytest.mark.parametrize("path", ["ui/message", "api/chat.postMessage", "actions/T/x"])
async def test_a_foreign_page_cannot_drive_the_workspace(
    workspace: Workspace, session: aiohttp.ClientSession, path: str
) -> None:
    body = {"as": "U0SATO", "channel": ALERTS, "text": "x", "token": SEED.bot_token}
    url = f"{workspace.base_url}/{path}"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": f"127.0.0.1.evil.example:{workspace.base_url.rsplit(':', 1)[1]}"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        async with session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 403
    assert workspace.messages(ALERTS) == []


async def test_the_page_itself_may_and_a_form_may_not(
    workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    body = {"as": "U0SATO", "channel": ALERTS, "text": "x"}
    url = f"{workspace.base_url}/ui/message"
    async with session.post(url, json=body, headers={"Origin": workspace.base_url}) as answer:
        assert answer.status == 200
    async with session.post(
        url, data=json.dumps(body), headers={"Content-Type": "text/plain"}
    ) as answer:
        assert answer.status == 415
    assert len(workspace.messages(ALERTS)) == 1


async def test_the_page_and_its_files_are_served(
    workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{workspace.base_url}/") as answer:
        assert answer.status == 200
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "/static/js/app.js" in await answer.text()
    async with session.get(f"{workspace.base_url}/static/js/app.js") as answer:
        assert answer.status == 200
    async with session.get(f"{workspace.base_url}/static/../server.py") as answer:
        assert answer.status == 404


async def test_a_workspace_without_passwords_is_not_served_to_others() -> None:
    with pytest.raises(SayableError, match=r"127\.0\.0\.1"):
        async with serve_workspace(Workspace(SEED), "0.0.0.0"):
            pytest.fail("it must not be served")


async def test_a_taken_port_is_named(workspace: Workspace) -> None:
    port = int(workspace.base_url.rsplit(":", 1)[1])
    with pytest.raises(SayableError, match=str(port)):
        async with serve_workspace(Workspace(SEED), "127.0.0.1", port):
            pytest.fail("it must not be served")
