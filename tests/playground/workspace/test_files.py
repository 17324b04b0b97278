"""Files go three steps, and the workspace is as strict about each as Slack is."""

from __future__ import annotations

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.workspace import Workspace

CHANNEL = "C0ALERTS"
PNG = b"\x89PNG\r\n\x1a\n and more"


async def an_address(client: AsyncWebClient, length: int = len(PNG)) -> tuple[str, str]:
    answer = await client.files_getUploadURLExternal(
        filename="ring.png", length=length, alt_txt="Three accounts"
    )
    return str(answer["upload_url"]), str(answer["file_id"])


async def send(session: aiohttp.ClientSession, url: str, body: bytes = PNG) -> tuple[int, str]:
    async with session.post(url, data=body) as answer:
        return answer.status, await answer.text()


async def code_of(call: object) -> str:
    with pytest.raises(SlackApiError) as refused:
        await call  # type: ignore[misc]
    return str(refused.value.response["error"])


async def test_a_picture_stands_in_the_thread_for_the_history_and_for_the_page(
    client: AsyncWebClient, workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    parent = (await client.chat_postMessage(channel=CHANNEL, text="A case"))["ts"]
    url, file_id = await an_address(client)
    assert await send(session, url) == (200, f"OK - {len(PNG)}")
    await client.files_completeUploadExternal(
        files=[{"id": file_id, "title": "The ring"}],
        channel_id=CHANNEL,
        thread_ts=parent,
        initial_comment="Newly drawn",
    )
    told = (await client.conversations_replies(channel=CHANNEL, ts=parent))["messages"][1]
    assert (told["text"], told["subtype"]) == ("Newly drawn", "file_share")
    (shown,) = told["files"]
    assert (shown["id"], shown["title"], shown["alt_txt"]) == (
        file_id,
        "The ring",
        "Three accounts",
    )
    async with session.get(f"{workspace.base_url}/files/{file_id}") as answer:
        assert (answer.content_type, await answer.read()) == ("image/png", PNG)


async def test_bytes_must_be_as_many_as_announced_and_come_once(
    client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    url, file_id = await an_address(client, length=len(PNG) + 1)
    assert (await send(session, url))[0] == 400
    # Nothing has come, so nothing can be shown.
    one: list[dict[str, str | None]] = [{"id": file_id, "title": "t"}]
    assert (
        await code_of(client.files_completeUploadExternal(files=one, channel_id=CHANNEL))
        == "file_not_found"
    )
    url, _ = await an_address(client)
    assert (await send(session, url))[0] == 200
    assert (await send(session, url))[0] == 404


async def test_an_upload_is_shown_once(
    client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    url, file_id = await an_address(client)
    await send(session, url)
    one: list[dict[str, str | None]] = [{"id": file_id, "title": "t"}]
    await client.files_completeUploadExternal(files=one, channel_id=CHANNEL)
    assert (
        await code_of(client.files_completeUploadExternal(files=one, channel_id=CHANNEL))
        == "file_not_found"
    )


async def test_what_slack_refuses_is_refused(
    client: AsyncWebClient, workspace: Workspace, session: aiohttp.ClientSession
) -> None:
    url, file_id = await an_address(client)
    await send(session, url)
    one: list[dict[str, str | None]] = [{"id": file_id, "title": "t"}]
    complete = client.files_completeUploadExternal
    assert await code_of(complete(files=one, channel_id="C0NOWHERE")) == "channel_not_found"
    assert (
        await code_of(complete(files=one, channel_id=CHANNEL, thread_ts="1.000001"))
        == "thread_not_found"
    )
    assert await code_of(complete(files=[])) == "invalid_arguments"
    zero = client.files_getUploadURLExternal(filename="a.png", length=0)
    assert await code_of(zero) == "invalid_arguments"
    workspace.fail("file_upload", FaultKind.DROPPED, times=1)
    with pytest.raises(aiohttp.ClientError):
        await send(session, (await an_address(client))[0])
    workspace.scopes.discard("files:write")
    scope = client.files_getUploadURLExternal(filename="a.png", length=1)
    assert await code_of(scope) == "missing_scope"
