"""What every method has in common: tokens, scopes, arguments, limits."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.rate_limits import RateLimits, Tier
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.web_api import METHODS
from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import ALERTS, GENERAL, SEED, modal, section, text_input

BEARER = {"Authorization": f"Bearer {SEED.bot_token}"}


async def refusal(client: AsyncWebClient, method: str, **args: Any) -> dict[str, Any]:
    with pytest.raises(SlackApiError) as refused:
        await client.api_call(method, json=args)
    assert refused.value.response["ok"] is False
    return dict(refused.value.response.data)


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_every_method_wants_a_known_token(
    workspace: Workspace, session: aiohttp.ClientSession, method: str
) -> None:
    url = f"{workspace.base_url}/api/{method}"
    async with session.post(url) as answer:
        assert await answer.json() == {"ok": False, "error": "not_authed"}
    async with session.get(url, params={"token": "xoxb-somebody-else"}) as answer:
        assert await answer.json() == {"ok": False, "error": "invalid_auth"}
    other = SEED.bot_token if METHODS[method].by_app else SEED.app_token
    if method != "auth.test":
        async with session.get(url, params={"token": other}) as answer:
            assert (await answer.json())["error"] == "not_allowed_token_type"


async def test_arguments_come_by_query_form_and_json(
    workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    url = f"{workspace.base_url}/api/chat.postMessage"
    said = {"channel": ALERTS, "text": "x"}
    token = {"token": SEED.bot_token}
    for sending in (
        session.get(url, params={**said, **token}),
        session.post(url, params=said, headers=BEARER),
        session.post(url, data={**said, **token}),
        session.post(url, params={"channel": ALERTS}, data={"text": "x"}, headers=BEARER),
        session.post(url, json=said, headers=BEARER),
    ):
        async with sending as answer:
            assert (await answer.json())["ok"] is True
    assert len(workspace.messages(ALERTS)) == 5


async def test_a_token_in_json_is_no_token(
    workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    body = {"channel": ALERTS, "text": "x", "token": SEED.bot_token}
    async with session.post(f"{workspace.base_url}/api/chat.postMessage", json=body) as answer:
        assert (await answer.json())["error"] == "not_authed"


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("application/json", "{", "invalid_json"),
        ("application/json", "[" * 5000, "invalid_json"),
        ("application/json", "[1]", "json_not_object"),
        ("application/xml", "<a/>", "invalid_post_type"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(
    workspace: Workspace,
    session: aiohttp.ClientSession,
    content_type: str,
    body: str,
    error: str,
) -> None:
    async with session.post(
        f"{workspace.base_url}/api/auth.test",
        data=body,
        headers={**BEARER, "Content-Type": content_type},
    ) as answer:
        assert (await answer.json())["error"] == error


async def test_an_unknown_method_is_refused(client: AsyncWebClient) -> None:
    assert (await refusal(client, "chat.shout"))["error"] == "unknown_method"


# Which scope each method cannot do without, in the granted set.
NEEDED = [
    ("chat.postMessage", {"channel": ALERTS, "text": "x"}, {"chat:write"}),
    ("users.list", {}, {"users:read"}),
    ("usergroups.list", {}, {"usergroups:read"}),
    ("conversations.info", {"channel": ALERTS}, {"channels:read", "groups:read"}),
    ("conversations.info", {"channel": ALERTS}, {"channels:read"}),
    ("conversations.history", {"channel": ALERTS}, {"channels:history"}),
]


@pytest.mark.parametrize(("method", "args", "taken"), NEEDED)
async def test_a_scope_that_was_not_granted_is_missed(
    workspace: Workspace,
    client: AsyncWebClient,
    method: str,
    args: dict[str, str],
    taken: set[str],
) -> None:
    workspace.scopes -= taken
    answer = await refusal(client, method, **args)
    assert answer["error"] == "missing_scope"
    assert answer["needed"] in taken
    assert answer["needed"] not in answer["provided"].split(",")


async def test_an_uninstalled_app_is_inactive(workspace: Workspace, client: AsyncWebClient) -> None:
    workspace.revoked = True
    assert (await refusal(client, "auth.test"))["error"] == "account_inactive"


VIEW = modal(text_input("note"))

# Method, arguments, Slack's error.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
    ("chat.postMessage", {"channel": "C404", "text": "x"}, "channel_not_found"),
    ("chat.postMessage", {"channel": GENERAL, "text": "x"}, "not_in_channel"),
    ("chat.postMessage", {"channel": ALERTS}, "no_text"),
    ("chat.postMessage", {"channel": ALERTS, "text": ""}, "no_text"),
    ("chat.postMessage", {"channel": ALERTS, "blocks": "{"}, "invalid_blocks_format"),
    (
        "chat.postMessage",
        {"channel": ALERTS, "blocks": {"type": "divider"}},
        "invalid_blocks_format",
    ),
    (
        "chat.postMessage",
        {"channel": ALERTS, "text": "x", "blocks": [{"type": "no"}]},
        "invalid_blocks",
    ),
    (
        "chat.postMessage",
        {"channel": ALERTS, "text": "x", "thread_ts": "1.000001"},
        "thread_not_found",
    ),
    (
        "chat.postMessage",
        {"channel": ALERTS, "text": "x", "metadata": "{"},
        "invalid_metadata_format",
    ),
    (
        "chat.postMessage",
        {"channel": ALERTS, "text": "x", "metadata": {"a": 1}},
        "invalid_metadata_schema",
    ),
    (
        "chat.postMessage",
        {"channel": ALERTS, "text": "x", "metadata": {"event_type": "a b", "event_payload": {}}},
        "invalid_metadata_schema",
    ),
    (
        "chat.postMessage",
        {
            "channel": ALERTS,
            "text": "x",
            "metadata": {"event_type": "a", "event_payload": {"a": "x" * 16000}},
        },
        "metadata_too_large",
    ),
    (
        "chat.postMessage",
        {"channel": ALERTS, "text": "x", "markdown_text": "y"},
        "markdown_text_conflict",
    ),
    ("chat.postMessage", {"channel": ALERTS, "markdown_text": "y" * 12_001}, "msg_too_long"),
    ("chat.update", {"channel": ALERTS, "text": "x"}, "invalid_arguments"),
    ("chat.update", {"channel": ALERTS, "ts": "1.000001", "text": "x"}, "message_not_found"),
    ("chat.update", {"channel": "C404", "ts": "1.000001", "text": "x"}, "channel_not_found"),
    ("chat.postEphemeral", {"channel": ALERTS, "user": "U404", "text": "x"}, "user_not_in_channel"),
    ("chat.postEphemeral", {"channel": "C404", "user": "U0SATO", "text": "x"}, "channel_not_found"),
    ("chat.postEphemeral", {"channel": ALERTS, "user": "U0SATO"}, "no_text"),
    ("chat.getPermalink", {"channel": ALERTS, "message_ts": "1.000001"}, "message_not_found"),
    ("conversations.history", {"channel": "C404"}, "channel_not_found"),
    ("conversations.history", {"channel": GENERAL}, "not_in_channel"),
    ("conversations.history", {"channel": ALERTS, "limit": "1000"}, "invalid_limit"),
    ("conversations.history", {"channel": ALERTS, "cursor": "abc"}, "invalid_cursor"),
    ("conversations.history", {"channel": ALERTS, "oldest": "soon"}, "invalid_ts_oldest"),
    ("conversations.replies", {"channel": ALERTS, "ts": "1.000001"}, "thread_not_found"),
    ("conversations.info", {"channel": "C404"}, "channel_not_found"),
    ("users.info", {"user": "U404"}, "user_not_found"),
    ("users.info", {}, "invalid_arguments"),
    ("usergroups.users.list", {"usergroup": "S404"}, "no_such_subteam"),
    ("views.open", {"view": VIEW}, "invalid_arguments"),
    ("views.open", {"trigger_id": "1.2.3"}, "invalid_arguments"),
    ("views.open", {"trigger_id": "1.2.3", "view": VIEW}, "invalid_trigger_id"),
    (
        "views.open",
        {"trigger_id": "1.2.3", "view": {"type": "home", "blocks": [section("a")]}},
        "invalid_arguments",
    ),
    (
        "views.open",
        {"trigger_id": "1.2.3", "view": modal(private_metadata="x" * 250_000)},
        "view_too_large",
    ),
    ("views.open", {"trigger_id": "1.2.3", "view": modal({"type": "no"})}, "invalid_arguments"),
    ("views.update", {"view": VIEW}, "invalid_arguments"),
    ("views.update", {"view_id": "V404", "view": VIEW}, "not_found"),
    (
        "views.publish",
        {"user_id": "U0SATO", "view": {"type": "home", "blocks": [section("a")]}},
        "not_enabled",
    ),
]


@pytest.mark.parametrize(
    ("method", "args", "error"), REFUSED, ids=[f"{r[0]}-{r[2]}-{i}" for i, r in enumerate(REFUSED)]
)
async def test_what_slack_refuses_is_refused_with_slacks_code(
    workspace: Workspace, client: AsyncWebClient, method: str, args: dict[str, Any], error: str
) -> None:
    assert (await refusal(client, method, **args))["error"] == error
    assert workspace.messages(ALERTS) == []


async def test_what_is_wrong_with_blocks_is_named_by_path(client: AsyncWebClient) -> None:
    answer = await refusal(
        client, "chat.postMessage", channel=ALERTS, blocks=[section("a"), section("")]
    )
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] must be more than 0 characters [json-pointer:/blocks/1/text/text]"
    ]


async def test_a_private_channel_without_the_bot_is_not_there(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    workspace.state.channel(GENERAL).is_private = True
    for method in ("chat.postMessage", "conversations.info", "conversations.history"):
        answer = await refusal(client, method, channel=GENERAL, text="x")
        assert answer["error"] == "channel_not_found"


async def test_an_archived_channel_takes_no_posts_and_no_edits(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    ts = (await client.chat_postMessage(channel=ALERTS, text="x"))["ts"]
    workspace.archive(ALERTS)
    assert (await refusal(client, "chat.postMessage", channel=ALERTS, text="x"))[
        "error"
    ] == "is_archived"
    assert (await refusal(client, "chat.update", channel=ALERTS, ts=ts, text="x"))[
        "error"
    ] == "is_inactive"


async def test_too_many_calls_are_refused_with_the_seconds_to_wait(
    session: aiohttp.ClientSession,
) -> None:
    workspace = Workspace(SEED)
    async with serve_workspace(workspace) as url:
        for _ in range(20):
            async with session.get(f"{url}/api/users.list", headers=BEARER) as answer:
                assert answer.status == 200
        async with session.get(f"{url}/api/users.list", headers=BEARER) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) >= 1
            assert await answer.json() == {"ok": False, "error": "ratelimited"}
        # Only that method is blocked.
        async with session.get(f"{url}/api/usergroups.list", headers=BEARER) as answer:
            assert answer.status == 200


async def test_posts_to_one_channel_are_limited_to_one_a_second(
    session: aiohttp.ClientSession,
) -> None:
    workspace = Workspace(SEED)
    async with serve_workspace(workspace) as url:
        client = AsyncWebClient(
            token=SEED.bot_token, base_url=f"{url}/api/", session=session, retry_handlers=[]
        )
        for _ in range(3):
            await client.chat_postMessage(channel=ALERTS, text="x")
        with pytest.raises(SlackApiError) as refused:
            await client.chat_postMessage(channel=ALERTS, text="x")
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "1"
        await client.chat_postMessage(channel="C0DIGEST", text="x")
    assert len(workspace.messages(ALERTS)) == 3


def test_a_bucket_fills_again_with_time() -> None:
    now = 0.0
    limits = RateLimits(now=lambda: now)
    for _ in range(3):
        limits.take(Tier.CHANNEL, "a")
    with pytest.raises(Exception, match="ratelimited"):
        limits.take(Tier.CHANNEL, "a")
    now = 1.0
    limits.take(Tier.CHANNEL, "a")
    with pytest.raises(Exception, match="ratelimited"):
        limits.take(Tier.CHANNEL, "a")
