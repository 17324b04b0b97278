"""The back office's pages: orders and accounts with their state, and what was done to each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from aiohttp import web

from bot.locale import LOCALES, N_, Messages, messages_for
from bot.playground.web import CONTENT_SECURITY_POLICY

if TYPE_CHECKING:
    from bot.playground.market.server import Marketplace

STATIC = Path(__file__).parent / "static"
PER_PAGE = 50

_FILTERS = {
    "orders": {
        "all": (N_("All orders"), "true"),
        "held": (N_("Held"), "held_at IS NOT NULL AND canceled_at IS NULL"),
        "canceled": (N_("Cancelled"), "canceled_at IS NOT NULL"),
        "shipped": (N_("Shipped"), "shipped_at IS NOT NULL"),
    },
    "accounts": {
        "all": (N_("All accounts"), "true"),
        "suspended": (N_("Suspended"), "status = 'suspended'"),
        "sellers": (N_("Only {sellers}"), "is_seller"),
    },
}
_STATES = {
    "pending": N_("Awaiting payment"),
    "paid": N_("Paid"),
    "shipped": N_("Shipped"),
    "delivered": N_("Delivered"),
    "completed": N_("Completed"),
    "canceled": N_("Cancelled"),
    "active": N_("Active"),
    "suspended": N_("Suspended"),
    "closed": N_("Closed"),
    "held": N_("Held"),
}
_BY_HAND = {
    "orders": {"hold": N_("Hold"), "release": N_("Release"), "cancel": N_("Cancel order")},
    "accounts": {"suspend": N_("Suspend"), "reinstate": N_("Reinstate")},
}


_OF_MONEY = frozenset(
    {
        "refund_payment",
        "void_payment",
        "record_bank_transfer",
        "restore_coupon",
        "restore_points",
    }
)
"""Steps whose amount is money of their order."""

# Outside the templates, where the catalogue's reader finds them.
_TITLE = N_("{shop}: back office")
_SEARCH = N_("Search by id")
_NOT_THERE = N_("There is no {id}.")
_PAST_THE_BOT = N_("By hand, past the bot:")
_HISTORY = N_("What was done")
_ORDERS = N_("Orders")
_ACCOUNTS = N_("Accounts")
_MARKET_TIME = N_("Market time")


def add_routes(app: web.Application, marketplace: Marketplace) -> None:
    """The pages of one marketplace."""
    pages = Pages(marketplace)
    app.router.add_get("/", pages.list_orders)
    app.router.add_get("/accounts", pages.list_accounts)
    app.router.add_get("/orders/{id}", pages.show_order)
    app.router.add_get("/accounts/{id}", pages.show_account)
    app.router.add_post("/{collection}/{id}/by-hand", pages.act_by_hand)
    app.router.add_static("/static", STATIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """In which language, and by which clock, a page is drawn."""

    messages: Messages
    locale: str
    zone: tzinfo
    """The shop's own: the one by which the bot's cards tell times in the demo."""

    def t(self, msgid: str, **params: object) -> str:
        return self.messages.t(msgid, **params)

    def word(self, key: str) -> str:
        """One of the shop's own words, as a heading."""
        return self.messages.glossary[key].capitalize()

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)


class Pages:
    """Draws the pages; every text that came from a user is escaped."""

    def __init__(self, marketplace: Marketplace) -> None:
        self._market = marketplace

    def _pen(self, request: web.Request) -> Pen:
        own = self._market.flavour.locale
        wanted = request.query.get("lang") or request.headers.get("Accept-Language", own)[:2]
        locale = wanted if wanted in LOCALES else own
        return Pen(messages=messages_for(locale), locale=locale, zone=self._market.flavour.zone)

    async def list_orders(self, request: web.Request) -> web.Response:
        return await self._list(request, "orders", "order_id", "ordered_at")

    async def list_accounts(self, request: web.Request) -> web.Response:
        return await self._list(request, "accounts", "account_id", "created_at")

    async def _list(
        self, request: web.Request, collection: str, key: str, order: str
    ) -> web.Response:
        pen = self._pen(request)
        filters = _FILTERS[collection]
        chosen = request.query.get("show", "all")
        chosen = chosen if chosen in filters else "all"
        search = _storable(request.query.get("q", "")).strip()[:100]
        number = _page_number(request.query.get("page", "1"))
        where = filters[chosen][1]
        rows = await self._market.pool.fetch(
            f"""SELECT * FROM market.{collection}
                 WHERE {where} AND ($1 = '' OR strpos(lower({key}), lower($1)) > 0)
                 ORDER BY {order} DESC NULLS LAST, {key} LIMIT {PER_PAGE + 1} OFFSET $2""",  # noqa: S608 - our own names
            search,
            (number - 1) * PER_PAGE,
        )
        shown = rows[:PER_PAGE]
        draw = _order_rows if collection == "orders" else _account_rows
        tabs = "".join(
            f'<a href="?{_query(show=name, lang=pen.locale)}"'
            f"{' aria-current=page' if name == chosen else ''}>{escape(pen.t(label))}</a>"
            for name, (label, _) in filters.items()
        )
        turns = "".join(
            f'<a href="?{_query(show=chosen, q=search, page=to, lang=pen.locale)}">{escape(label)}</a>'
            for to, label, there in (
                (number - 1, pen.t(N_("Newer")), number > 1),
                (number + 1, pen.t(N_("Older")), len(rows) > PER_PAGE),
            )
            if there
        )
        body = (
            f'<div class="bar"><nav class="tabs">{tabs}</nav><form method="get" role="search">'
            f'<input type="hidden" name="lang" value="{pen.locale}">'
            f'<input type="hidden" name="show" value="{chosen}">'
            f'<input type="search" name="q" value="{escape(search)}" placeholder="{escape(pen.t(_SEARCH))}"'
            f' aria-label="{escape(pen.t(_SEARCH))}"></form></div>'
            f"{draw(shown, pen)}"
            f'<nav class="turns">{turns}</nav>'
        )
        return self._page(request, pen, body, refresh=not search)

    async def show_order(self, request: web.Request) -> web.Response:
        return await self._show(request, "orders", "order_id")

    async def show_account(self, request: web.Request) -> web.Response:
        return await self._show(request, "accounts", "account_id")

    async def _show(self, request: web.Request, collection: str, key: str) -> web.Response:
        pen = self._pen(request)
        subject_id = _storable(request.match_info["id"])
        row = await self._market.pool.fetchrow(
            f"SELECT * FROM market.{collection} WHERE {key} = $1",  # noqa: S608
            subject_id,
        )
        if row is None:
            return self._page(
                request,
                pen,
                f"<p>{escape(pen.t(_NOT_THERE, id=subject_id))}</p>",
                status=404,
            )
        operations = await self._market.pool.fetch(
            "SELECT * FROM backoffice.operations WHERE subject_id = $1 ORDER BY seq DESC LIMIT 100",
            subject_id,
        )
        facts = "".join(
            f"<dt>{escape(name)}</dt><dd>{_linked(name, value, row, pen)}</dd>"
            for name, value in dict(row).items()
            if value is not None and name != "admin_url"
        )
        buttons = "".join(
            f'<button name="verb" value="{verb}">{escape(pen.t(label))}</button>'
            for verb, label in _BY_HAND[collection].items()
        )
        body = (
            f"<h1>{escape(subject_id)}</h1>"
            f'<form class="by-hand" method="post" action="{_address(collection, subject_id)}/by-hand?lang={pen.locale}">'
            f"<span>{escape(pen.t(_PAST_THE_BOT))}</span>{buttons}</form>"
            f"<dl>{facts}</dl><h2>{escape(pen.t(_HISTORY))}</h2>"
            f'<div class="history">{_operation_rows(operations, dict(row).get("currency"), pen)}</div>'
        )
        return self._page(request, pen, body)

    async def act_by_hand(self, request: web.Request) -> web.Response:
        """A colleague in the back office changes something under the bot's feet."""
        collection = request.match_info["collection"]
        subject_id = _storable(request.match_info["id"])
        form = await request.post()
        verb = str(form.get("verb", ""))
        if verb not in _BY_HAND.get(collection, {}):
            raise web.HTTPBadRequest(text="This cannot be done here.")
        await self._market.carry_out(
            verb,
            subject_id,
            {"reason": "by hand", "actor": "back office"},
            key=f"by-hand-{uuid4().hex}",
        )
        lang = self._pen(request).locale
        raise web.HTTPSeeOther(f"{_address(collection, subject_id)}?lang={lang}")

    def _page(
        self,
        request: web.Request,
        pen: Pen,
        body: str,
        *,
        status: int = 200,
        refresh: bool = False,
    ) -> web.Response:
        other = "en" if pen.locale == "ja" else "ja"
        title = escape(pen.t(_TITLE, shop=self._market.flavour.shop[pen.locale]))
        kept = {name: _storable(request.query.get(name, "")) for name in ("show", "q", "page")}
        switch = _query(**kept, lang=other)
        html = (
            f'<!doctype html><html lang="{pen.locale}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"{'<meta http-equiv=refresh content=5>' if refresh else ''}"
            f'<title>{title}</title><link rel="icon" href="/static/icon.svg" type="image/svg+xml">'
            '<link rel="stylesheet" href="/static/page.css"></head><body>'
            f'<header><strong>{title}</strong><nav><a href="/?lang={pen.locale}">{escape(pen.t(_ORDERS))}</a>'
            f'<a href="/accounts?lang={pen.locale}">{escape(pen.t(_ACCOUNTS))}</a>'
            f'<a href="?{switch}" lang="{other}">{"English" if other == "en" else "日本語"}</a></nav>'
            f"<time>{escape(pen.t(_MARKET_TIME))} {pen.local(self._market.clock.now()):%Y-%m-%d %H:%M}</time></header>"
            f"<main>{body}</main></body></html>"
        )
        return web.Response(
            text=html,
            status=status,
            content_type="text/html",
            headers={
                "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                "X-Content-Type-Options": "nosniff",
                # With "no-referrer" a browser sends the Origin "null", and our own buttons are refused.
                "Referrer-Policy": "same-origin",
                "Cache-Control": "no-store",
            },
        )


def _storable(text: str) -> str:
    """Without the characters that no database can hold."""
    return text.encode("utf-8", "ignore").decode().replace("\x00", "")


def _page_number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _query(**params: object) -> str:
    """What follows the question mark in a link, ready to stand in HTML."""
    return escape(urlencode({name: value for name, value in params.items() if value != ""}))


def _address(collection: str, subject_id: str) -> str:
    return f"/{collection}/{quote(subject_id, safe='')}"


def _state(name: str, pen: Pen) -> str:
    label = pen.t(_STATES[name]) if name in _STATES else name
    return f'<span class="state {escape(name)}">{escape(label)}</span>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not lines:
        return f'<p class="empty">{escape(empty)}</p>'
    head = "".join(f"<th scope=col>{escape(one)}</th>" for one in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _order_rows(rows: Sequence[Any], pen: Pen) -> str:
    t = pen.t
    return _table(
        [
            t(N_("Order")),
            t(N_("State")),
            t(N_("Amount")),
            pen.word("buyer"),
            pen.word("seller"),
            t(N_("Ordered")),
        ],
        (
            [
                _link("orders", row["order_id"], pen.locale),
                _state("held" if row["held_at"] and not row["canceled_at"] else row["status"], pen),
                escape(pen.messages.money(row["total_amount"], row["currency"])),
                _link("accounts", row["buyer_id"], pen.locale),
                _link("accounts", row["seller_id"], pen.locale),
                f"{pen.local(row['ordered_at']):%m-%d %H:%M}",
            ]
            for row in rows
        ),
        t(N_("Nothing here yet.")),
    )


def _account_rows(rows: Sequence[Any], pen: Pen) -> str:
    t = pen.t
    return _table(
        [t(N_("Account")), t(N_("State")), t(N_("Name")), t(N_("Created"))],
        (
            [
                _link("accounts", row["account_id"], pen.locale),
                _state(row["status"], pen),
                escape(row["display_name"]),
                f"{pen.local(row['created_at']):%Y-%m-%d}" if row["created_at"] else "",
            ]
            for row in rows
        ),
        t(N_("Nothing here yet.")),
    )


def _operation_rows(rows: Sequence[Any], currency: str | None, pen: Pen) -> str:
    t = pen.t
    lines = []
    for row in rows:
        outcome = json.loads(row["outcome"])
        said = outcome.get("failure", {}).get("message") or ", ".join(
            f"{step['name']}{_how_much(step, currency, pen)}"
            for step in outcome.get("steps", ())
            if step["state"] == "done"
        )
        lines.append(
            [
                f"{pen.local(row['received_at']):%m-%d %H:%M:%S}",
                escape(row["kind"]),
                escape(row["state"]),
                escape(said),
                escape(str(json.loads(row["body"]).get("actor", ""))),
            ]
        )
    heads = [t(N_("Time")), t(N_("What")), t(N_("State")), t(N_("Details")), t(N_("Who"))]
    return _table(heads, lines, t(N_("Nothing was done to it.")))


def _how_much(step: Mapping[str, Any], currency: str | None, pen: Pen) -> str:
    """How much money a step moved, or how many things it touched."""
    if "amount" not in step:
        return ""
    is_money = currency is not None and step["name"] in _OF_MONEY
    amount = step["amount"]
    return f" {pen.messages.money(amount, currency) if is_money else amount}"


def _link(collection: str, subject_id: str, locale: str) -> str:
    return f'<a href="{_address(collection, subject_id)}?lang={locale}">{escape(subject_id)}</a>'


def _linked(name: str, value: Any, row: Any, pen: Pen) -> str:
    if name in {"buyer_id", "seller_id", "account_id"}:
        return _link("accounts", str(value), pen.locale)
    if name.endswith("_amount"):
        return escape(pen.messages.money(value, row["currency"]))
    return escape(
        f"{pen.local(value):%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)
    )
