"""A small app of its own for the page's tests: it answers clicks, forms and commands over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

Json = dict[str, object]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(text: str, action_id: str, **more: object) -> Json:
    return {"type": "button", "text": plain(text), "action_id": action_id, "value": "1|1", **more}


CONFIRM: Json = {
    "title": plain("本当に却下しますか"),
    "text": mrkdwn("注文は *そのまま* です。"),
    "confirm": plain("却下する"),
    "deny": plain("戻る"),
}
CARD: list[Json] = [
    {"type": "header", "block_id": "head", "text": plain("🔴【緊急】自作自演による不正注文の疑い")},
    {
        "type": "section",
        "block_id": "why",
        "text": mrkdwn(
            "同じ端末を *4アカウント* が使用 &lt;b&gt; <@U0TANAKA> <https://example.com/a|注文>"
        ),
    },
    {
        "type": "table",
        "block_id": "orders",
        "rows": [
            [{"type": "raw_text", "text": text} for text in row]
            for row in (
                ("注文", "購入者", "金額", "状態", "一致した項目"),
                ("O-81231", "山＊＊＊＊", "¥12,400", "支払い済み", "カード・端末・IPアドレス"),
            )
        ],
    },
    {
        "type": "actions",
        "block_id": "buttons",
        "elements": [
            button("強制キャンセル…", "act:cancel", style="danger"),
            button("保留", "act:hold", style="primary"),
            button("却下…", "act:reject", confirm=CONFIRM),
            button("壊れたボタン", "act:broken"),
            {
                "type": "overflow",
                "action_id": "act:more",
                "options": [
                    {"text": plain("担当する"), "value": "claim"},
                    {"text": plain("詳細"), "value": "details"},
                ],
            },
        ],
    },
]
REASONS: list[Json] = [
    {"text": plain("盗難カード"), "value": "stolen_card"},
    {"text": plain("自作自演"), "value": "self_dealing"},
]
MODAL: Json = {
    "type": "modal",
    "callback_id": "act:cancel",
    "title": plain("強制キャンセル"),
    "submit": plain("申請する"),
    "close": plain("やめる"),
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": plain("理由"),
            "element": {
                "type": "static_select",
                "action_id": "reason",
                "option_groups": [{"label": plain("不正注文"), "options": REASONS}],
            },
        },
        {
            "type": "input",
            "block_id": "note",
            "label": plain("メモ"),
            "optional": True,
            "element": {
                "type": "plain_text_input",
                "action_id": "note",
                "multiline": True,
                "max_length": 20,
            },
        },
    ],
}


def pressed_action(payload: Json) -> dict[str, Any]:
    """The one action of a click."""
    actions = payload["actions"]
    assert isinstance(actions, list)
    [action] = actions
    assert isinstance(action, dict)
    return action


class SmallBot:
    """Remembers what it was told, and what it was asked to do is plain to see below."""

    def __init__(self) -> None:
        self.heard: list[Json] = []
        self.commands: list[Mapping[str, str]] = []
        self.client: AsyncWebClient | None = None

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/slack/events", self.receive)
        return application

    def submitted(self) -> Json:
        """The values of the one form that was sent."""
        [view] = [one["view"] for one in self.heard if one["type"] == "view_submission"]
        assert isinstance(view, dict)
        values: Json = view["state"]["values"]
        return values

    async def receive(self, request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            return web.Response()
        form = {name: str(value) for name, value in (await request.post()).items()}
        if "command" in form:
            self.commands.append(form)
            return web.json_response({"text": f"受け付けました: {form['text']}"})
        payload = json.loads(form["payload"])
        self.heard.append(payload)
        match payload["type"]:
            case "block_actions":
                return await self.pressed(payload)
            case "view_submission":
                return self.sent(payload)
            case _:
                return web.Response()

    async def pressed(self, payload: Json) -> web.Response:
        assert self.client is not None
        match pressed_action(payload)["action_id"]:
            case "act:cancel":
                await self.client.views_open(trigger_id=str(payload["trigger_id"]), view=MODAL)
            case "act:hold":
                await self.client.chat_postEphemeral(
                    channel="C0ALERTS", user="U0SATO", text="保留には権限が必要です。"
                )
            case "act:broken":
                return web.Response(status=500)
            case _:
                pass
        return web.Response()

    def sent(self, payload: Json) -> web.Response:
        note = payload["view"]["state"]["values"]["note"]["note"]["value"]  # type: ignore[index]
        if note == "だめ":
            errors = {"note": "このメモは使えません。"}
            return web.json_response({"response_action": "errors", "errors": errors})
        return web.Response()
