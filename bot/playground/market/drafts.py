"""What each verb would do now, worked out from the rows and nothing done: plans and effects share it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.playground.market.flavours import DEFAULT, Letters

KINDS = {
    "hold": "orders",
    "release": "orders",
    "cancel": "orders",
    "refund": "orders",
    "suspend": "accounts",
    "reinstate": "accounts",
    "warn": "accounts",
    "remove_follows": "accounts",
    "takedown": "listings",
    "restore": "listings",
    "remove_post": "posts",
    "restore_post": "posts",
}
"""The collection that each verb acts on."""

TEMPLATES = tuple(DEFAULT.letters.warnings)
_BACK_BY_ITSELF = {"card": "card", "wallet": "wallet", "carrier": "carrier", "points": "points"}
_MAX_AFFECTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why the state forbids a verb."""

    code: str
    message: str
    status: int = 409

    def as_problem(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money that would go back."""

    amount: int
    currency: str
    route: str
    external_reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One verb on one subject: the changes to its row, and everything around them."""

    kind: str
    subject_id: str
    refused: Refused | None = None
    reversible: bool = True
    currency: str | None = None
    refund_amount: int = 0
    withheld_amount: int = 0
    refund_route: str = "none"
    steps: tuple[tuple[str, int | None], ...] = ()
    affects: tuple[Mapping[str, str], ...] = ()
    messages: tuple[Mapping[str, str], ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    """The columns of the subject's row that change, as they are and as they will be."""
    refund: Refund | None = None
    listings: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    around: tuple[str, ...] | None = None
    """What the token covers around the subject, where `steps` and `affects` tell too little or too much."""
    remembered: str | None = None
    """The state that a listing which is taken down comes back to."""

    def token(self, secret: bytes) -> str:
        """Changes whenever what the verb would do changes; the moment itself does not count."""
        content = {
            "kind": self.kind,
            "subject": self.subject_id,
            "refused": self.refused.code if self.refused else None,
            "before": {name: _plain(value) for name, value in self.before.items()},
            "after": {
                name: value for name, value in self.after.items() if not isinstance(value, datetime)
            },
            "money": [self.currency, self.refund_amount, self.withheld_amount, self.refund_route],
            "around": [self.steps, [dict(one) for one in self.affects], self.listings]
            if self.around is None
            else self.around,
        }
        body = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return "plan_" + hmac.new(secret, body.encode(), hashlib.sha256).hexdigest()[:32]

    def as_plan(self, secret: bytes) -> dict[str, Any]:
        """The contract's Plan."""
        plan: dict[str, Any] = {
            "kind": self.kind,
            "subject_id": self.subject_id,
            "allowed": self.refused is None,
            "reversible": self.reversible,
            "plan_token": self.token(secret),
            "refund_amount": self.refund_amount,
            "withheld_amount": self.withheld_amount,
            "refund_route": self.refund_route,
            "steps": [step_json(name, "planned", amount) for name, amount in self.steps],
            "affects": [dict(one) for one in self.affects],
            "messages": [dict(one) for one in self.messages],
        }
        if self.currency is not None:
            plan["currency"] = self.currency
        if self.refused is not None:
            plan["refusal"] = self.refused.as_problem()
        return plan


def step_json(
    name: str, state: str, amount: int | None, detail: str | None = None
) -> dict[str, Any]:
    """The contract's Step."""
    step: dict[str, Any] = {"name": name, "state": state}
    if amount is not None:
        step["amount"] = amount
    if detail is not None:
        step["detail"] = detail
    return step


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def draft(
    conn: Any,
    kind: str,
    subject_id: str,
    params: Mapping[str, Any],
    now: datetime,
    letters: Letters = DEFAULT.letters,
) -> Draft:
    """What `kind` would do to this subject now; the row is locked if a transaction is open.

    Raises:
        LookupError: there is no such subject.
    """
    match KINDS[kind]:
        case "orders":
            return await _draft_order(conn, kind, subject_id, params, now, letters)
        case "accounts":
            return await _draft_account(conn, kind, subject_id, params, now, letters)
        case "listings":
            return await _draft_listing(conn, kind, subject_id, letters)
        case _:
            return await _draft_post(conn, kind, subject_id)


async def _row(conn: Any, table: str, key: str, subject_id: str) -> Any:
    row = await conn.fetchrow(
        f"SELECT * FROM market.{table} WHERE {key} = $1 FOR UPDATE",  # noqa: S608 - our own names
        subject_id,
    )
    if row is None:
        raise LookupError(subject_id)
    return row


# ---- Orders


async def _draft_order(
    conn: Any,
    kind: str,
    order_id: str,
    params: Mapping[str, Any],
    now: datetime,
    letters: Letters,
) -> Draft:
    order = await _row(conn, "orders", "order_id", order_id)
    refunded = await conn.fetchval(
        "SELECT coalesce(sum(amount), 0)::bigint FROM market.refunds WHERE order_id = $1 AND state <> 'failed'",
        order_id,
    )
    paid = order["total_amount"] - order["discount_amount"] - order["points_amount"]
    left = max(0, int(paid) - int(refunded)) if await _was_paid(conn, order) else None
    match kind:
        case "hold":
            return _hold(order, now)
        case "release":
            return _release(order)
        case "cancel":
            return _cancel(order, left or 0, params.get("refund_policy", "normal"), now, letters)
        case _:
            return _refund(order, left, int(refunded), params, letters)


async def _was_paid(conn: Any, order: Any) -> bool:
    """Whether money came in: what never did must not go out, after a cancellation neither."""
    if order["paid_at"] is not None:
        return True
    if order["status"] != "canceled":
        return bool(order["status"] != "pending")
    # Not every market records when it was paid; then what our cancellation found tells.
    before = await conn.fetchval(
        """SELECT outcome -> 'before' ->> 'status' FROM backoffice.operations
            WHERE kind = 'cancel' AND subject_id = $1 AND state IN ('succeeded', 'partly_succeeded')
            ORDER BY seq DESC LIMIT 1""",
        order["order_id"],
    )
    return before not in {None, "pending"}


def _ended(order: Any) -> Refused | None:
    if order["canceled_at"] is not None or order["status"] == "canceled":
        return Refused(code="already_canceled", message="The order is cancelled.")
    if order["shipped_at"] is not None or order["status"] in {"shipped", "delivered", "completed"}:
        return Refused(code="already_shipped", message="The order has been shipped.")
    return None


def _hold(order: Any, now: datetime) -> Draft:
    refused = _ended(order)
    if refused is None and order["held_at"] is not None:
        refused = Refused(code="already_held", message="The order is held already.")
    return Draft(
        kind="hold",
        subject_id=order["order_id"],
        refused=refused,
        currency=order["currency"],
        steps=(("stop_shipment", None), ("hold_payout", None)),
        before={"held_at": order["held_at"]},
        after={"held_at": now},
    )


def _release(order: Any) -> Draft:
    refused = _ended(order)
    if refused is None and order["held_at"] is None:
        refused = Refused(code="not_held", message="The order is not held.")
    return Draft(
        kind="release",
        subject_id=order["order_id"],
        refused=refused,
        currency=order["currency"],
        steps=(("resume_shipment", None), ("resume_payout", None)),
        before={"held_at": order["held_at"]},
        after={"held_at": None},
    )


def _cancel(order: Any, paid: int, policy: str, now: datetime, letters: Letters) -> Draft:
    method = order["payment_method"]
    # Withheld: card payments go back to the card, and nothing else goes anywhere.
    by_itself = method == "card" if policy == "withhold" else method in _BACK_BY_ITSELF
    refund = paid if by_itself else 0
    route = _BACK_BY_ITSELF.get(method, "bank_transfer") if refund else "none"
    if not by_itself and paid and policy == "normal":
        route = "bank_transfer"
    steps: list[tuple[str, int | None]] = [("stop_shipment", None)]
    if refund:
        steps.append(("refund_payment" if method != "card" else "void_payment", refund))
    steps.append(("restore_stock", None))
    if policy == "normal" and order["discount_amount"]:
        steps.append(("restore_coupon", order["discount_amount"]))
    if policy == "normal" and order["points_amount"]:
        steps.append(("restore_points", order["points_amount"]))
    steps += [("hold_payout", None), ("notify_buyer", None), ("notify_seller", None)]
    number = order["order_id"]
    money = ""
    if refund:
        money = letters.goes_back
    elif route == "bank_transfer":
        money = letters.bank_asked
    return Draft(
        kind="cancel",
        subject_id=number,
        refused=_ended(order),
        reversible=False,
        currency=order["currency"],
        refund_amount=refund,
        withheld_amount=paid - refund,
        refund_route=route,
        steps=tuple(steps),
        messages=(
            {
                "to": "buyer",
                "subject": letters.canceled_subject,
                "body": letters.canceled.format(order=number) + money,
            },
            {
                "to": "seller",
                "subject": letters.canceled_seller_subject,
                "body": letters.canceled_seller.format(order=number),
            },
        ),
        before={
            "status": order["status"],
            "canceled_at": order["canceled_at"],
            "held_at": order["held_at"],
        },
        after={"status": "canceled", "canceled_at": now, "held_at": None},
        refund=Refund(amount=refund, currency=order["currency"], route="original")
        if refund
        else None,
    )


def _refund(
    order: Any, left: int | None, refunded: int, params: Mapping[str, Any], letters: Letters
) -> Draft:
    method = order["payment_method"]
    by_itself = method in _BACK_BY_ITSELF
    # A plan names no route: it shows the one that works. A request without one means `original`.
    route = params.get("route") or ("original" if by_itself else "external")
    amount = int(params.get("amount") or left or 0)
    refused: Refused | None = None
    if left is None:
        refused = Refused(code="not_paid", message="The order has not been paid.")
    elif left == 0:
        refused = Refused(code="already_refunded", message="Everything was given back already.")
    elif params.get("currency", order["currency"]) != order["currency"]:
        refused = Refused(code="currency_mismatch", message=f"The order is in {order['currency']}.")
    elif amount > left:
        refused = Refused(
            code="amount_exceeds_paid",
            message=f"{left} {order['currency']} can still be given back.",
        )
    elif route == "original" and not by_itself:
        refused = Refused(
            code="needs_bank_transfer",
            message="This payment cannot be reversed: pay it back by bank.",
        )
    number = order["order_id"]
    return Draft(
        kind="refund",
        subject_id=number,
        refused=refused,
        reversible=False,
        currency=order["currency"],
        refund_amount=amount if route == "original" else 0,
        refund_route=_BACK_BY_ITSELF.get(method, "none")
        if route == "original"
        else "bank_transfer",
        steps=(
            ("refund_payment" if route == "original" else "record_bank_transfer", amount),
            ("notify_buyer", None),
        ),
        messages=(
            {
                "to": "buyer",
                "subject": letters.refunded_subject,
                "body": letters.refunded.format(order=number),
            },
        ),
        before={"refunded_amount": refunded},
        after={"refunded_amount": refunded + amount},
        refund=Refund(
            amount=amount,
            currency=order["currency"],
            route=route,
            external_reference=params.get("external_reference"),
        ),
    )


# ---- Accounts


async def _draft_account(
    conn: Any,
    kind: str,
    account_id: str,
    params: Mapping[str, Any],
    now: datetime,
    letters: Letters,
) -> Draft:
    account = await _row(conn, "accounts", "account_id", account_id)
    closed = (
        Refused(code="account_closed", message="The account is closed.")
        if account["status"] == "closed"
        else None
    )
    match kind:
        case "suspend":
            return await _suspend(conn, account, closed, now, letters)
        case "reinstate":
            return await _reinstate(conn, account, closed, letters)
        case "warn":
            return Draft(
                kind="warn",
                subject_id=account_id,
                refused=closed,
                reversible=False,
                steps=(("notify_account", None),),
                messages=(
                    {
                        "to": "account",
                        "subject": letters.warning_subject,
                        "body": letters.warnings[params.get("template", TEMPLATES[0])],
                    },
                ),
            )
        case _:
            return await _remove_follows(conn, account_id, params.get("since"))


async def _remove_follows(conn: Any, account_id: str, since: datetime | None) -> Draft:
    rows = await conn.fetch(
        """SELECT f.followee_id, f.occurred_at FROM (
             SELECT DISTINCT ON (followee_id) followee_id, kind, occurred_at
               FROM market.follow_events WHERE follower_id = $1
              ORDER BY followee_id, occurred_at DESC, event_id DESC) f
            WHERE f.kind = 'follow' ORDER BY 1""",
        account_id,
    )
    follows = tuple(
        row["followee_id"] for row in rows if since is None or row["occurred_at"] >= since
    )
    return Draft(
        kind="remove_follows",
        subject_id=account_id,
        refused=None
        if follows
        else Refused(code="nothing_to_remove", message="It follows nobody since then."),
        reversible=False,
        steps=(("remove_follows", len(follows)),),
        follows=follows,
        # The contract's plan has no `since`: its token must fit whichever is chosen.
        around=tuple(row["followee_id"] for row in rows),
    )


async def _suspend(
    conn: Any, account: Any, closed: Refused | None, now: datetime, letters: Letters
) -> Draft:
    account_id = account["account_id"]
    refused = closed
    if refused is None and account["status"] == "suspended":
        refused = Refused(code="already_suspended", message="The account is suspended already.")
    listings = await conn.fetch(
        "SELECT listing_id FROM market.listings WHERE seller_id = $1 AND status = 'active' ORDER BY 1",
        account_id,
    )
    orders = await conn.fetch(
        """SELECT o.order_id FROM market.orders o
             LEFT JOIN market.accounts b ON b.account_id = o.buyer_id
            WHERE o.seller_id = $1 AND o.status IN ('pending', 'paid') AND o.canceled_at IS NULL
              AND b.status IS DISTINCT FROM 'suspended'
            ORDER BY o.order_id""",
        account_id,
    )
    return Draft(
        kind="suspend",
        subject_id=account_id,
        refused=refused,
        steps=(
            ("end_sessions", None),
            *((("hide_listings", len(listings)),) if listings else ()),
            ("hold_payout", None),
            ("notify_account", None),
        ),
        affects=tuple(
            {"kind": "order", "id": row["order_id"], "summary": letters.open_order}
            for row in orders[:_MAX_AFFECTED]
        ),
        # What is done to the account is the same whatever it sells meanwhile: else a new order, a new listing or
        # the cancelling of its orders by the same decision would void the plan, and a fraudster could see to that.
        around=(),
        messages=(
            {
                "to": "account",
                "subject": letters.suspended_subject,
                "body": letters.suspended,
            },
        ),
        before={"status": account["status"], "suspended_at": account["suspended_at"]},
        after={"status": "suspended", "suspended_at": now},
        listings=tuple(row["listing_id"] for row in listings),
    )


async def _reinstate(conn: Any, account: Any, closed: Refused | None, letters: Letters) -> Draft:
    refused = closed
    if refused is None and account["status"] != "suspended":
        refused = Refused(code="not_suspended", message="The account is not suspended.")
    listings = await conn.fetch(
        "SELECT listing_id FROM backoffice.hidden_listings WHERE account_id = $1 ORDER BY 1",
        account["account_id"],
    )
    return Draft(
        kind="reinstate",
        subject_id=account["account_id"],
        refused=refused,
        steps=(
            ("allow_sessions", None),
            *((("show_listings", len(listings)),) if listings else ()),
            ("resume_payout", None),
            ("notify_account", None),
        ),
        messages=({"to": "account", "body": letters.reinstated},),
        before={"status": account["status"], "suspended_at": account["suspended_at"]},
        after={"status": "active", "suspended_at": None},
        listings=tuple(row["listing_id"] for row in listings),
    )


# ---- Listings and posts


async def _draft_listing(conn: Any, kind: str, listing_id: str, letters: Letters) -> Draft:
    listing = await _row(conn, "listings", "listing_id", listing_id)
    status = listing["status"]
    refused: Refused | None = None
    remembered: str
    if kind == "takedown":
        if status == "removed":
            refused = Refused(code="already_removed", message="The listing is removed already.")
        # One that only a suspension hides was on sale, and comes back as such.
        hidden = await conn.fetchval(
            "SELECT true FROM backoffice.hidden_listings WHERE listing_id = $1", listing_id
        )
        remembered = "active" if hidden else status
        after = "removed"
    else:
        if status != "removed":
            refused = Refused(code="not_removed", message="The listing is not removed.")
        remembered = (
            await conn.fetchval(
                "SELECT status FROM backoffice.removed_listings WHERE listing_id = $1", listing_id
            )
            or "active"
        )
        suspended = await conn.fetchval(
            "SELECT status = 'suspended' FROM market.accounts WHERE account_id = $1",
            listing["seller_id"],
        )
        after = "hidden" if suspended and remembered == "active" else remembered
    return Draft(
        kind=kind,
        subject_id=listing_id,
        refused=refused,
        currency=listing["currency"],
        steps=(
            ("remove_listing" if kind == "takedown" else "show_listing", None),
            ("notify_seller", None),
        ),
        messages=(
            {
                "to": "seller",
                "body": letters.taken_down if kind == "takedown" else letters.restored,
            },
        ),
        before={"status": status},
        after={"status": after},
        remembered=remembered,
    )


async def _draft_post(conn: Any, kind: str, post_id: str) -> Draft:
    # The row that the verb moves is locked first, so that of two callers the second sees it gone.
    removing = kind == "remove_post"
    places = ("market.posts", "backoffice.removed_posts")
    here, there = places if removing else places[::-1]
    found = await conn.fetchval(
        f"SELECT true FROM {here} WHERE post_id = $1 FOR UPDATE",  # noqa: S608 - our own names
        post_id,
    )
    moved = await conn.fetchval(f"SELECT true FROM {there} WHERE post_id = $1", post_id)  # noqa: S608
    if not found and not moved:
        raise LookupError(post_id)
    refused: Refused | None = None
    if not found:
        refused = (
            Refused(code="already_removed", message="The post is hidden already.")
            if removing
            else Refused(code="not_removed", message="The post is shown.")
        )
    return Draft(
        kind=kind,
        subject_id=post_id,
        refused=refused,
        steps=(("hide_post" if removing else "show_post", None),),
        before={"hidden": bool(moved) if removing else bool(found)},
        after={"hidden": removing},
    )
