"""Events are signed, in time, and brought again; faults break what they should and nothing else."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.delivery import EVENT_RETRIES_S, sign
from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.traffic import redacted
from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import ALERTS, SEED, AppSide


def test_the_signature_is_the_one_that_slacks_library_checks() -> None:
    now = str(int(time.time()))
    verifier = SignatureVerifier("secret")
    assert verifier.is_valid("body", now, sign("secret", now, "body"))
    assert not verifier.is_valid("body!", now, sign("secret", now, "body"))


async def test_an_event_is_enveloped_as_slack_does(workspace: Workspace, side: AppSide) -> None:
    await workspace.post("U0SATO", ALERTS, "hello")
    await workspace.delivery.settle()
    (received,) = side.received
    envelope = received.payload
    assert envelope["type"] == "event_callback"
    assert envelope["team_id"] == "T0MIMAWARI"
    assert envelope["api_app_id"] == "A0MIMAWARI"
    assert envelope["event_id"].startswith("Ev")
    assert envelope["authorizations"][0]["user_id"] == "U0BOT"
    assert envelope["event"]["text"] == "hello"
    assert "x-slack-retry-num" not in received.headers


async def test_an_event_is_brought_three_times_more_and_then_dropped(
    workspace: Workspace, side: AppSide
) -> None:
    side.answers = [(500, ""), (404, ""), (500, ""), (500, ""), (500, "")]
    await workspace.post("U0SATO", ALERTS, "hello")
    await workspace.delivery.settle()
    tries = [
        (r.headers.get("x-slack-retry-num"), r.headers.get("x-slack-retry-reason"))
        for r in side.received
    ]
    assert tries == [(None, None), ("1", "http_error"), ("2", "http_error"), ("3", "http_error")]
    assert len({r.payload["event_id"] for r in side.received}) == 1
    assert EVENT_RETRIES_S == (0, 60, 300), "as Slack does, where nobody says otherwise"


async def test_a_slow_app_is_told_why_the_event_comes_again(
    workspace: Workspace, side: AppSide
) -> None:
    side.delay_s = 0.7
    await workspace.post("U0SATO", ALERTS, "hello")
    assert await workspace.until(lambda: len(side.received) > 1)
    side.delay_s = 0
    await workspace.delivery.settle()
    assert side.received[1].headers["x-slack-retry-reason"] == "http_timeout"


async def test_an_app_may_ask_for_no_more_of_an_event(workspace: Workspace, side: AppSide) -> None:
    side.answers = [(500, "")]
    side.answer_headers = {"x-slack-no-retry": "1"}
    await workspace.post("U0SATO", ALERTS, "hello")
    await workspace.delivery.settle()
    assert len(side.received) == 1


async def test_closing_does_not_wait_for_events_that_are_still_to_be_brought(side: AppSide) -> None:
    workspace = Workspace(SEED, request_url="http://127.0.0.1:9/", event_retries_s=(600,))
    started = time.monotonic()
    async with serve_workspace(workspace):
        await workspace.post("U0SATO", ALERTS, "hello")
        await asyncio.sleep(0.05)
    assert time.monotonic() - started < 2


# ---- Faults


@pytest.mark.parametrize(
    ("kind", "status"),
    [(FaultKind.SERVER_ERROR, 500), (FaultKind.UNAVAILABLE, 503), (FaultKind.RATELIMITED, 429)],
)
@pytest.mark.parametrize("after", [False, True])
async def test_a_fault_strikes_as_often_as_it_was_told_to(
    workspace: Workspace, client: AsyncWebClient, kind: FaultKind, status: int, after: bool
) -> None:
    workspace.fail("chat.postMessage", kind, after=after, times=2, retry_after=7)
    for _ in range(2):
        with pytest.raises(SlackApiError) as refused:
            await client.chat_postMessage(channel=ALERTS, text="x")
        assert refused.value.response.status_code == status
        if status == 429:
            assert refused.value.response.headers["Retry-After"] == "7"
    assert len(workspace.messages(ALERTS)) == (2 if after else 0)
    await client.chat_postMessage(channel=ALERTS, text="x")
    assert workspace.faults.on == ()


@pytest.mark.parametrize("after", [False, True])
async def test_a_dropped_connection_may_have_posted_or_not(
    workspace: Workspace, client: AsyncWebClient, after: bool
) -> None:
    workspace.fail("chat.postMessage", FaultKind.DROPPED, after=after, times=1)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel=ALERTS, text="x")
    assert len(workspace.messages(ALERTS)) == (1 if after else 0)


async def test_a_method_that_never_answers_lets_its_caller_go(
    workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    workspace.fail("auth.test", FaultKind.TIMEOUT)
    with pytest.raises(TimeoutError):
        await session.get(
            f"{workspace.base_url}/api/auth.test", timeout=aiohttp.ClientTimeout(total=0.2)
        )


async def test_a_method_may_refuse_with_any_code(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    fault = workspace.fail("usergroups.list", FaultKind.REFUSED, code="plan_upgrade_required")
    with pytest.raises(SlackApiError, match="plan_upgrade_required"):
        await client.usergroups_list()
    await client.users_list()
    workspace.faults.clear(fault)
    await client.usergroups_list()


async def test_all_of_slack_can_be_down_and_come_back(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    workspace.go_down()
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await client.auth_test()
    workspace.faults.clear()
    assert (await client.auth_test())["ok"]


async def test_the_bot_can_be_thrown_out_of_a_channel(
    workspace: Workspace, client: AsyncWebClient
) -> None:
    workspace.remove_bot(ALERTS)
    with pytest.raises(SlackApiError, match="not_in_channel"):
        await client.chat_postMessage(channel=ALERTS, text="x")
    workspace.add_bot(ALERTS)
    await client.chat_postMessage(channel=ALERTS, text="x")


# ---- The log


async def test_the_log_tells_both_ways_and_hides_secrets(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await client.chat_postMessage(channel=ALERTS, text="card")
    await workspace.command("U0SATO", ALERTS, "/cre", "help")
    with pytest.raises(SlackApiError):
        await client.users_info(user="U404")
    await workspace.delivery.settle()
    (posted,) = workspace.traffic.of("chat.postMessage")
    assert (posted.direction, posted.status, posted.ok) == ("in", 200, True)
    (command,) = workspace.traffic.of("/cre")
    assert (command.direction, command.status, command.ok) == ("out", 200, True)
    (refused,) = workspace.traffic.of("users.info")
    assert (refused.ok, refused.error) == (False, "user_not_found")
    said = str([entry.as_json() for entry in workspace.traffic.after()])
    for secret in (
        SEED.bot_token,
        SEED.app_token,
        SEED.signing_secret,
        SEED.verification_token,
        "v0=",
    ):
        assert secret not in said
    numbers = [entry.n for entry in workspace.traffic.after()]
    assert workspace.traffic.after(numbers[1])[0].n == numbers[2]


def test_secrets_are_hidden_wherever_they_stand() -> None:
    assert redacted({"Token": "t", "deep": [{"url": "wss://x/?ticket=abc-1&v=2"}, "xoxb-1-a"]}) == {
        "Token": "…",
        "deep": [{"url": "wss://x/?ticket=…&v=2"}, "…"],
    }


async def test_the_log_is_bounded(workspace: Workspace) -> None:
    for size in [10] * 600 + [100_000]:
        workspace.traffic.note(
            "in", "x", request="y" * size, response=None, status=200, ok=True, error=None, ms=0
        )
    entries = workspace.traffic.after()
    assert len(entries) == 500
    assert len(str(entries[-1].request)) < 61_000
