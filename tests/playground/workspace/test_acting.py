"""People press, choose, send, close and command: what the app gets, and what its answers do."""

from __future__ import annotations

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.workspace.workspace import Workspace
from tests.playground.workspace.stage import (
    ALERTS,
    GENERAL,
    SEED,
    AppSide,
    actions,
    button,
    modal,
    option,
    section,
    select_input,
    text_input,
)

MENU: dict[str, object] = {
    "type": "overflow",
    "action_id": "act:more",
    "options": [option("claim|1|1"), option("details|1|1")],
}


async def post_card(client: AsyncWebClient) -> str:
    card = [actions(button("act:hold", "7|2", style="primary"), MENU, block_id="buttons")]
    answer = await client.chat_postMessage(channel=ALERTS, text="card", blocks=card)
    return str(answer["ts"])


async def open_modal(
    workspace: Workspace,
    client: AsyncWebClient,
    side: AppSide,
    *blocks: dict[str, object],
    **more: object,
) -> str:
    """Open a modal for Sato, as the app does after a press."""
    await workspace.click("U0SATO", ALERTS, await post_card(client), "act:hold")
    trigger_id = side.of("block_actions")[-1]["trigger_id"]
    answer = await client.views_open(trigger_id=trigger_id, view=modal(*blocks, **more))
    return str(answer["view"]["id"])


async def test_a_press_reaches_the_app_as_slack_sends_it(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    ts = await post_card(client)
    result = await workspace.click("U0SATO", ALERTS, ts, "act:hold")
    assert (result.ok, result.status, result.error) == (True, 200, None)
    (payload,) = side.of("block_actions")
    assert payload["team"] == {"id": "T0MIMAWARI", "domain": "minato-ichiba"}
    assert payload["user"] == {
        "id": "U0SATO",
        "username": "sato",
        "name": "sato",
        "team_id": "T0MIMAWARI",
    }
    assert payload["api_app_id"] == "A0MIMAWARI"
    assert payload["container"] == {
        "type": "message",
        "message_ts": ts,
        "channel_id": ALERTS,
        "is_ephemeral": False,
    }
    assert payload["channel"] == {"id": ALERTS, "name": "fraud-alerts"}
    assert payload["message"]["ts"] == ts
    assert payload["response_url"].startswith(f"{workspace.base_url}/actions/T0MIMAWARI/")
    assert payload["trigger_id"]
    assert payload["state"] == {"values": {}}
    (action,) = payload["actions"]
    assert action.pop("action_ts")
    assert action == {
        "type": "button",
        "action_id": "act:hold",
        "block_id": "buttons",
        "text": {"type": "plain_text", "text": "Press"},
        "value": "7|2",
        "style": "primary",
    }


async def test_a_menu_sends_the_option_that_was_offered(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    ts = await post_card(client)
    assert (await workspace.click("U0SATO", ALERTS, ts, "act:more", chosen="claim|1|1")).ok
    (payload,) = side.of("block_actions")
    assert payload["actions"][0]["selected_option"] == option("claim|1|1")
    forged = await workspace.click("U0SATO", ALERTS, ts, "act:more", chosen="claim|99|1")
    assert forged.error is not None
    assert forged.error.startswith("no_such_element")
    assert len(side.of("block_actions")) == 1


async def test_what_is_not_there_cannot_be_pressed(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    ts = await post_card(client)
    assert (
        await workspace.click("U0SATO", ALERTS, "1.000001", "act:hold")
    ).error == "message_not_found"
    assert not (await workspace.click("U0SATO", ALERTS, ts, "act:cancel")).ok
    await client.chat_update(channel=ALERTS, ts=ts, text="done")
    assert not (await workspace.click("U0SATO", ALERTS, ts, "act:hold")).ok
    assert side.of("block_actions") == []


async def test_an_ephemeral_can_be_pressed_by_its_reader_alone(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    answer = await client.chat_postEphemeral(
        channel=ALERTS, user="U0SATO", text="x", blocks=[actions(button("a"))]
    )
    ts = answer["message_ts"]
    assert (await workspace.click("U0ITO", ALERTS, ts, "a")).error == "message_not_found"
    assert (await workspace.click("U0SATO", ALERTS, ts, "a")).ok
    (payload,) = side.of("block_actions")
    assert payload["container"]["is_ephemeral"] is True
    assert "message" not in payload


@pytest.mark.parametrize("user_id", ["U0GUEST", "U0YAMADA", "U0SUZUKI"])
async def test_anybody_may_press_and_the_app_must_judge(
    workspace: Workspace, client: AsyncWebClient, side: AppSide, user_id: str
) -> None:
    workspace.deactivate("U0SUZUKI")
    workspace.state.user("U0YAMADA").team_id = "T0ELSEWHERE"
    assert (await workspace.click(user_id, ALERTS, await post_card(client), "act:hold")).ok
    assert side.of("block_actions")[0]["user"]["team_id"] == workspace.state.user(user_id).team_id


async def test_an_app_that_is_too_slow_is_given_up_and_not_asked_again(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    side.delay_s = 0.8
    result = await workspace.click("U0SATO", ALERTS, await post_card(client), "act:hold")
    assert (result.ok, result.status, result.error) == (False, None, "operation_timeout")
    assert 400 <= result.ms < 800
    await workspace.delivery.settle()
    assert len(side.of("block_actions")) == 1


async def test_an_app_that_fails_or_is_gone_fails_the_press(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    ts = await post_card(client)
    await workspace.delivery.settle()
    side.answers = [(500, "")]
    result = await workspace.click("U0SATO", ALERTS, ts, "act:hold")
    assert (result.status, result.error) == (500, "dispatch_failed")
    workspace.delivery.request_url = "http://127.0.0.1:9/slack/events"
    result = await workspace.click("U0SATO", ALERTS, ts, "act:hold")
    assert (result.status, result.error) == (None, "dispatch_failed")
    workspace.delivery.request_url = None
    assert (await workspace.click("U0SATO", ALERTS, ts, "act:hold")).error == "dispatch_failed"


async def test_a_trigger_works_once_and_for_three_seconds(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    ts = await post_card(client)
    await workspace.click("U0SATO", ALERTS, ts, "act:hold")
    trigger_id = side.of("block_actions")[-1]["trigger_id"]
    assert workspace.triggers.life_s == 3.0
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        await client.views_open(trigger_id=trigger_id, view={"type": "modal"})
    await client.views_open(trigger_id=trigger_id, view=modal())
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client.views_open(trigger_id=trigger_id, view=modal())
    workspace.triggers.life_s = -1
    await workspace.click("U0SATO", ALERTS, ts, "act:hold")
    trigger_id = side.of("block_actions")[-1]["trigger_id"]
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await client.views_open(trigger_id=trigger_id, view=modal())


async def test_a_modal_that_is_filled_in_is_sent_with_its_state(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    view_id = await open_modal(
        workspace,
        client,
        side,
        select_input("reason", "stolen_card", "other"),
        text_input("note", optional=True),
        private_metadata='{"case":7}',
    )
    result = await workspace.submit("U0SATO", {"reason": "stolen_card"})
    assert (result.ok, result.status, result.view) == (True, 200, None)
    (payload,) = side.of("view_submission")
    assert payload["user"]["id"] == "U0SATO"
    assert payload["view"]["id"] == view_id
    assert payload["view"]["private_metadata"] == '{"case":7}'
    assert payload["view"]["callback_id"] == "act:cancel"
    assert payload["view"]["state"]["values"] == {
        "reason": {"reason": {"type": "static_select", "selected_option": option("stolen_card")}},
        "note": {"note": {"type": "plain_text_input", "value": None}},
    }
    assert workspace.open_view("U0SATO") is None


async def test_a_modal_that_is_not_filled_in_is_not_sent(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await open_modal(
        workspace,
        client,
        side,
        select_input("reason", "other"),
        text_input("why", min_length=3, max_length=5),
    )
    result = await workspace.submit("U0SATO", {"why": "x"})
    assert result.error == "incomplete"
    assert result.errors == {
        "reason": "この項目は必須です。",
        "why": "3文字以上で入力してください。",
    }
    workspace.set_locale("U0SATO", "en")
    result = await workspace.submit("U0SATO", {"why": "abcdef"})
    assert result.errors == {
        "reason": "Please complete this required field.",
        "why": "Must be at most 5 characters.",
    }
    forged = await workspace.submit("U0SATO", {"reason": "not offered"})
    assert forged.error is not None
    assert side.of("view_submission") == []
    assert (await workspace.submit("U0SATO", {"reason": "other", "why": "abcd"})).ok


async def test_errors_of_the_app_stand_under_its_inputs(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await open_modal(workspace, client, side, text_input("note"))
    side.answers = [(200, {"response_action": "errors", "errors": {"note": "Say more."}})]
    result = await workspace.submit("U0SATO", {"note": "x"})
    assert result.ok
    assert (result.response_action, result.errors) == ("errors", {"note": "Say more."})
    assert workspace.open_view("U0SATO") is not None


UNUSABLE = [
    {"response_action": "errors", "errors": {"nothing": "x"}},
    {"response_action": "errors", "errors": {}},
    {"response_action": "errors"},
    {"response_action": "explode"},
    {"response_action": "update", "view": {"type": "modal", "blocks": []}},
    {"response_action": "push"},
    "not json",
]


@pytest.mark.parametrize("answer", UNUSABLE)
async def test_an_answer_that_slack_would_not_understand_fails_and_keeps_the_modal(
    workspace: Workspace, client: AsyncWebClient, side: AppSide, answer: object
) -> None:
    await open_modal(workspace, client, side, text_input("note"))
    side.answers = [(200, answer)]
    result = await workspace.submit("U0SATO", {"note": "x"})
    assert not result.ok
    assert result.error
    assert workspace.open_view("U0SATO") is not None


async def test_the_app_updates_pushes_and_clears_by_its_answer(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    first = await open_modal(workspace, client, side, text_input("note"))
    side.answers = [
        (200, {"response_action": "update", "view": modal(text_input("note"), callback_id="two")}),
        (200, {"response_action": "push", "view": modal(callback_id="three")}),
        (200, ""),
        (200, {"response_action": "clear"}),
    ]
    result = await workspace.submit("U0SATO", {"note": "kept"})
    assert result.view is not None
    assert (result.view.view_id, result.view.fields["callback_id"]) == (first, "two")
    assert result.view.values["note"]["note"]["value"] == "kept", "same block and action id"
    result = await workspace.submit("U0SATO")
    assert result.view is not None
    assert result.view.previous_view_id == first
    assert len(workspace.views.stack("U0SATO")) == 2
    result = await workspace.submit("U0SATO")
    assert result.view is not None
    assert result.view.view_id == first, "an empty answer closes the sent view alone"
    result = await workspace.submit("U0SATO")
    assert (result.response_action, result.view) == ("clear", None)


async def test_a_failed_submission_keeps_the_modal_and_what_was_typed(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await open_modal(workspace, client, side, text_input("note"))
    await workspace.delivery.settle()
    side.answers = [(500, "")]
    result = await workspace.submit("U0SATO", {"note": "kept"})
    assert result.error == "dispatch_failed"
    view = workspace.open_view("U0SATO")
    assert view is not None
    assert view.values["note"]["note"]["value"] == "kept"


async def test_an_update_of_a_view_with_an_old_hash_is_a_conflict(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    view_id = await open_modal(workspace, client, side)
    view = workspace.open_view("U0SATO")
    assert view is not None
    old = view.hash
    await client.views_update(view_id=view_id, view=modal(section("new")), hash=old)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=view_id, view=modal(section("newer")), hash=old)
    await workspace.close_view("U0SATO")
    with pytest.raises(SlackApiError, match="not_found"):
        await client.views_update(view_id=view_id, view=modal())


async def test_no_more_than_three_modals_are_stacked(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await open_modal(workspace, client, side, actions(button("more")))
    for _ in range(2):
        await workspace.view_click("U0SATO", "more")
        trigger_id = side.of("block_actions")[-1]["trigger_id"]
        await client.views_push(trigger_id=trigger_id, view=modal(actions(button("more"))))
    await workspace.view_click("U0SATO", "more")
    with pytest.raises(SlackApiError, match="push_limit_reached"):
        await client.views_push(trigger_id=side.of("block_actions")[-1]["trigger_id"], view=modal())


async def test_two_open_views_cannot_share_an_external_id(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await open_modal(workspace, client, side, external_id="case-7")
    with pytest.raises(SlackApiError, match="duplicate_external_id"):
        await open_modal(workspace, client, side, external_id="case-7")
    answer = await client.views_update(external_id="case-7", view=modal(section("found by it")))
    assert answer["ok"]


async def test_a_press_in_a_modal_carries_the_view_and_its_state(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    quiet = text_input("note")
    loud = select_input("reason", "a", "b") | {"dispatch_action": True}
    view_id = await open_modal(workspace, client, side, quiet, loud, actions(button("reveal")))
    before = len(side.of("block_actions"))
    assert (await workspace.view_click("U0SATO", "note", chosen="typed")).status is None
    assert len(side.of("block_actions")) == before, "inputs are silent unless they dispatch"
    assert (await workspace.view_click("U0SATO", "reason", chosen="b")).status == 200
    payload = side.of("block_actions")[-1]
    assert payload["container"] == {"type": "view", "view_id": view_id}
    assert payload["actions"][0]["selected_option"] == option("b")
    assert payload["view"]["state"]["values"]["note"]["note"]["value"] == "typed"
    assert "response_url" not in payload
    assert "message" not in payload


async def test_the_app_hears_of_a_closed_modal_where_it_asked_to(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    await open_modal(workspace, client, side)
    await workspace.close_view("U0SATO")
    assert side.of("view_closed") == []
    view_id = await open_modal(workspace, client, side, notify_on_close=True)
    await workspace.close_view("U0SATO")
    (payload,) = side.of("view_closed")
    assert (payload["view"]["id"], payload["is_cleared"]) == (view_id, False)
    assert (await workspace.close_view("U0SATO")).error == "view_not_found"


async def test_a_modal_belongs_to_one_person(
    workspace: Workspace, client: AsyncWebClient, side: AppSide
) -> None:
    view_id = await open_modal(workspace, client, side, text_input("note"))
    result = await workspace.submit("U0TANAKA", {"note": "x"}, view_id=view_id)
    assert result.error == "view_not_found"
    assert side.of("view_submission") == []


async def test_a_command_reaches_the_app_as_slack_sends_it(
    workspace: Workspace, side: AppSide
) -> None:
    result = await workspace.command("U0SATO", GENERAL, "/cre", "queue <&>")
    assert result.ok
    (fields,) = side.of("/cre")
    assert fields.pop("trigger_id")
    assert fields.pop("response_url").startswith(f"{workspace.base_url}/commands/")
    assert fields == {
        "token": workspace.seed.verification_token,
        "team_id": "T0MIMAWARI",
        "team_domain": "minato-ichiba",
        "channel_id": GENERAL,
        "channel_name": "general",
        "user_id": "U0SATO",
        "user_name": "sato",
        "command": "/cre",
        "text": "queue <&>",
        "api_app_id": "A0MIMAWARI",
        "is_enterprise_install": "false",
    }


async def test_the_answer_to_a_command_is_shown_to_its_caller_or_to_all(
    workspace: Workspace, side: AppSide
) -> None:
    side.answers = [
        (200, "plain words"),
        (200, {"text": "in blocks", "blocks": [section("b")]}),
        (200, {"text": "for all", "response_type": "in_channel"}),
    ]
    for _ in range(4):
        assert (await workspace.command("U0SATO", ALERTS, "/cre", "help")).ok
    assert [m.text for m in workspace.ephemerals("U0SATO")] == ["plain words", "in blocks"]
    assert [m.text for m in workspace.messages(ALERTS)] == ["for all"]


async def test_a_command_that_fails_says_so(workspace: Workspace, side: AppSide) -> None:
    assert (await workspace.command("U0SATO", ALERTS, "/other")).error == "unknown_command"
    side.answers = [(404, ""), (200, {"text": "x", "blocks": [{"type": "no"}]})]
    assert (await workspace.command("U0SATO", ALERTS, "/cre")).error == "dispatch_failed"
    assert (await workspace.command("U0SATO", ALERTS, "/cre")).error == "invalid_blocks"
    side.delay_s = 0.8
    assert (await workspace.command("U0SATO", ALERTS, "/cre")).error == "operation_timeout"
    assert workspace.ephemerals("U0SATO") == []


async def test_a_response_url_works_five_times(
    workspace: Workspace, client: AsyncWebClient, side: AppSide, session: aiohttp.ClientSession
) -> None:
    ts = await post_card(client)
    await workspace.click("U0SATO", ALERTS, ts, "act:hold")
    url = side.of("block_actions")[0]["response_url"]

    async def answer(body: object) -> tuple[int, object]:
        async with session.post(url, json=body) as response:
            return response.status, (await response.json()).get("error")

    assert await answer({"text": "for you"}) == (200, None)
    assert await answer({"text": "for all", "response_type": "in_channel"}) == (200, None)
    assert await answer({"text": "x", "blocks": [{"type": "no"}]}) == (400, "invalid_blocks")
    assert await answer({"text": "changed", "replace_original": True}) == (200, None)
    assert await answer({"delete_original": True}) == (200, None)
    assert await answer({"text": "again"}) == (404, "used_url")
    assert [m.text for m in workspace.ephemerals("U0SATO")] == ["for you"]
    assert [m.text for m in workspace.messages(ALERTS)] == ["for all"]
    async with session.post(url + "x", json={"text": "x"}) as response:
        assert response.status == 404


async def test_a_response_url_is_over_after_half_an_hour() -> None:
    now = 0.0
    workspace = Workspace(SEED, now=lambda: now)
    secret = workspace.response_urls.issue("U0SATO", ALERTS)
    now = 1801
    with pytest.raises(Exception, match="expired_url"):
        workspace.response_urls.use(secret)


async def test_people_write_where_they_are_members(workspace: Workspace) -> None:
    assert (await workspace.post("U0SATO", GENERAL, "hello")).ok
    workspace.state.channel(GENERAL).members.discard("U0GUEST")
    assert (await workspace.post("U0GUEST", GENERAL, "hello")).error == "not_in_channel"
    assert (await workspace.post("U0SATO", GENERAL, " ")).error == "no_text"
    assert (
        await workspace.post("U0SATO", GENERAL, "x", thread_ts="1.0")
    ).error == "thread_not_found"
    workspace.archive(GENERAL)
    assert (await workspace.post("U0SATO", GENERAL, "hello")).error == "is_archived"
