"""A shop that was there before the contract: strict, with endpoints and words of its own, and a record of what happened."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

SECRET = "old-shop-secret"

VERB_MAP = """\
base_url: {url}/admin
auth: {{header: X-Admin-Token, scheme: "", token_env: OLD_SHOP_TOKEN}}
admin_urls:
  order: https://back.old.example/orders/{{subject_id}}
subjects:
  order: /orders/{{subject_id}}.json
  account: /users/{{subject_id}}.json
verbs:
  cancel:                                  # no idempotency of any kind: one attempt, then a person
    class: none
    request:
      path: /orders/{{subject_id}}/force_cancel
      body: {{why: "{{reason}}", staff: "{{actor}}", memo: "{{note}}", money: "{{refund_policy}}"}}
    values: {{refund_policy: {{withhold: void_only, normal: full}}}}
    success: {{status: 200, where: {{/result: ok}}}}
    refused:
      - {{status: 200, where: {{/result: ng}}, code: /error/code, message: /error/text}}
      - {{status: 404, code: /error/code}}
    codes: {{E_SHIPPED: already_shipped, E_CANCELED: already_canceled, E_NO_ORDER: not_found}}
    nothing_done: [503]
    execution_bound_s: 5
    consequence:
      ja: 注文を取り消し、カードの売上を取り消します。
      en: The order is cancelled and the card payment voided.
  hold:                                    # a state: reading the order tells whether it was done
    class: lookup
    request: {{method: PUT, path: "/orders/{{subject_id}}/lock", form: {{by: "{{actor}}", ref: "{{operation_id}}"}}}}
    refused: [{{status: [404, 409], code: /error/code}}]
    codes: {{E_LOCKED: already_held, E_NO_ORDER: not_found}}
    execution_bound_s: 1
    lookup: {{by: state, path: "/orders/{{subject_id}}.json", done: {{/order/locked: true}}}}
  release:
    class: lookup
    request: {{method: DELETE, path: "/orders/{{subject_id}}/lock"}}
    success: {{status: 204}}
    refused: [{{status: [404, 409], code: /error/code}}]
    codes: {{E_UNLOCKED: not_held, E_NO_ORDER: not_found}}
    execution_bound_s: 1
    lookup: {{by: state, path: "/orders/{{subject_id}}.json", done: {{/order/locked: false}}}}
  refund:                                  # keeps the request's number, and what came of it
    class: key
    key_window_s: 86400
    request:
      path: /refunds
      body:
        request_no: "{{operation_id}}"
        order_no: "{{subject_id}}"
        yen: "{{amount}}"
        why: "{{reason}}"
        version: "{{plan_token}}"
    fixed: {{currency: JPY}}
    success: {{status: 201, where: {{/refund/state: [paid]}}}}
    pending: {{status: 202}}
    refused: [{{status: [404, 409, 422], code: /error/code, message: /error/text}}]
    codes: {{E_TOO_MUCH: amount_exceeds_paid, E_VERSION: state_changed, E_NO_ORDER: not_found}}
    execution_bound_s: 5
    lookup:
      by: operation
      path: /refunds
      query: {{no: "{{operation_id}}"}}
      done: {{/refunds/0/state: paid}}
      refused: {{/refunds/0/state: rejected}}
      code: /refunds/0/code
      under_way: {{/refunds/0/state: queued}}
      missing_where: {{/count: 0}}
    plan:
      path: /orders/{{subject_id}}.json
      allowed: {{/order/state: [paid, packing]}}
      token: /order/version
      currency: /order/currency
      refund_amount: /order/left
      refund_route: {{pointer: /order/pay, values: {{credit: card, conv: bank_transfer}}}}
  suspend:
    class: manual
"""


@dataclass
class OldShop:
    """Its orders, whatever it did, and how it misbehaves."""

    url: str = ""
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    effects: list[tuple[str, str]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and raw path of every request."""
    told: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    """Headers and body of every request."""
    answer: web.Response | None = None
    """Given in place of any other, if set; nothing is done then."""
    ignores_request_no: bool = False
    ignores_version: bool = False
    gives_back_anything: bool = False
    forgets_refunds: bool = False
    lock_does_nothing: bool = False
    lets_anybody_in: bool = False

    def add_order(self, number: str, **columns: Any) -> None:
        self.orders[number] = {
            "no": number,
            "state": "paid",
            "locked": False,
            "currency": "JPY",
            "left": 9200,
            "pay": "credit",
            "version": 1,
        } | columns

    def change(self, number: str, effect: str, **columns: Any) -> None:
        order = self.orders[number]
        order.update(columns, version=order["version"] + 1)
        self.effects.append((effect, number))

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path))
        self.told.append((dict(request.headers), await request.read()))
        if self.answer is not None:
            return web.Response(
                status=self.answer.status,
                body=self.answer.body,
                headers={
                    name: value
                    for name, value in self.answer.headers.items()
                    if name.lower() in {"location", "retry-after", "content-type"}
                },
            )
        if not self.lets_anybody_in and request.headers.get("X-Admin-Token") != SECRET:
            return web.Response(status=401, text="<h1>Log in</h1>", content_type="text/html")
        answer: web.StreamResponse = await handler(request)
        return answer

    def web_app(self) -> web.Application:
        app = web.Application(middlewares=[self.guard])
        app.router.add_get("/admin/orders/{no}.json", self._show)
        app.router.add_post("/admin/orders/{no}/force_cancel", self._cancel)
        app.router.add_put("/admin/orders/{no}/lock", self._lock)
        app.router.add_delete("/admin/orders/{no}/lock", self._unlock)
        app.router.add_post("/admin/refunds", self._refund)
        app.router.add_get("/admin/refunds", self._find_refunds)
        return app

    async def _show(self, request: web.Request) -> web.Response:
        order = self.orders.get(unquote(request.match_info["no"]))
        return _no_order() if order is None else web.json_response({"order": order})

    async def _cancel(self, request: web.Request) -> web.Response:
        number, body = request.match_info["no"], await request.json()
        assert set(body) <= {"why", "staff", "memo", "money"}
        assert body["money"] in {"void_only", "full"}
        if number not in self.orders:
            return _no_order()
        state = self.orders[number]["state"]
        if state in {"shipped", "canceled"}:
            error = {"code": f"E_{state.upper()}", "text": "できません"}
            return web.json_response({"result": "ng", "error": error})
        self.change(number, f"cancel:{body['money']}", state="canceled", left=0)
        return web.json_response({"result": "ok"})

    async def _lock(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert set(form) == {"by", "ref"}
        return self._set_lock(request.match_info["no"], locked=True)

    async def _unlock(self, request: web.Request) -> web.Response:
        return self._set_lock(request.match_info["no"], locked=False)

    def _set_lock(self, number: str, *, locked: bool) -> web.Response:
        if number not in self.orders:
            return _no_order()
        if self.orders[number]["locked"] is locked:
            return _error(409, "E_LOCKED" if locked else "E_UNLOCKED")
        if not self.lock_does_nothing:
            self.change(number, "lock" if locked else "unlock", locked=locked)
        return web.json_response({}) if locked else web.Response(status=204)

    async def _refund(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert set(body) <= {"request_no", "order_no", "yen", "why", "version"}
        assert type(body["yen"]) is int
        known = self.refunds.get(body["request_no"])
        if known is not None and not self.ignores_request_no:
            if known["asked"] != body:
                return _error(422, "E_REUSED")
            return self._told(known)
        order = self.orders.get(body["order_no"])
        if order is None:
            return _no_order()
        made = {"no": body["request_no"], "asked": body, "state": "paid", "code": None}
        stale = body.get("version") not in {None, str(order["version"])}
        if stale and not self.ignores_version:
            made |= {"state": "rejected", "code": "E_VERSION"}
        elif body["yen"] > order["left"] and not self.gives_back_anything:
            made |= {"state": "rejected", "code": "E_TOO_MUCH"}
        else:
            self.change(body["order_no"], "refund", left=order["left"] - body["yen"])
        self.refunds[body["request_no"]] = made
        return self._told(made)

    def _told(self, refund: dict[str, Any]) -> web.Response:
        if refund["state"] == "rejected":
            return _error(409, refund["code"])
        return web.json_response({"refund": {"state": "paid"}}, status=201)

    async def _find_refunds(self, request: web.Request) -> web.Response:
        found = self.refunds.get(request.query["no"])
        if found is None or self.forgets_refunds:
            return web.json_response({"count": 0, "refunds": []})
        return web.json_response({"count": 1, "refunds": [found]})


def _no_order() -> web.Response:
    return _error(404, "E_NO_ORDER")


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"code": code, "text": "できません"}}, status=status)


def json_answer(status: int, body: object, **headers: str) -> web.Response:
    """An answer to plant."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.Response(status=status, body=content, headers=headers)


@asynccontextmanager
async def serve_old_shop() -> AsyncIterator[OldShop]:
    shop = OldShop()
    shop.add_order("A-1")
    shop.add_order("A-2")
    shop.add_order("A-shipped", state="shipped")
    shop.add_order("A-conv", pay="conv")
    runner = web.AppRunner(shop.web_app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield shop
    finally:
        await runner.cleanup()


def map_text(shop: OldShop) -> str:
    """The verb map of this shop as its engineers would write it."""
    return VERB_MAP.format(url=shop.url)
