"""Rows of the demo marketplace, as its generator of shoppers writes them into the feed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.playground.market.flavours import Flavour
from bot.playground.market.shoppers_people import BACK_OFFICE, Card, Person, make_id, payout_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """One row for the feed, and when it happens."""

    at: datetime
    relation: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    listing_id: str
    seller: Person
    title: str
    description: str
    price: int
    currency: str
    image_hash: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """When an order goes on; None: it does not."""

    paid_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    payout_at: datetime | None = None
    canceled_at: datetime | None = None

    @property
    def end_status(self) -> str:
        if self.canceled_at is not None:
            return "canceled"
        return "completed" if self.payout_at is not None else "pending"


def make_listing(
    rng: random.Random, flavour: Flavour, seller: Person, created_at: datetime
) -> Listing:
    goods = rng.choice(flavour.goods)
    title = f"{rng.choice(flavour.goods_words)}{goods.title}"
    return Listing(
        listing_id=make_id(rng, "l"),
        seller=seller,
        title=title,
        description=flavour.description.format(title=title),
        price=flavour.price(rng.randrange(goods.cheapest, goods.dearest, 100)),
        currency=flavour.currency,
        image_hash=rng.getrandbits(63),
        created_at=created_at,
    )


def make_kit(rng: random.Random, flavour: Flavour, seller: Person, created_at: datetime) -> Listing:
    """What others sell too, under the supplier's title and with the supplier's photo."""
    kit = rng.choice(flavour.kits)
    photo = int.from_bytes(hashlib.sha256(kit.title.encode()).digest()[:8]) >> 1
    made = make_listing(rng, flavour, seller, created_at)
    return replace(
        made,
        title=kit.title,
        description=flavour.description.format(title=kit.title),
        price=flavour.price(rng.randrange(kit.cheapest, kit.dearest, 100)),
        # Each shop has cut the picture a little otherwise.
        image_hash=photo ^ (1 << rng.randrange(62)),
    )


def account_row(person: Person, *, suspended_at: datetime | None = None) -> Fed:
    """Of somebody who signs up; `suspended_at` is when the shop's own people suspend them."""
    return Fed(
        at=person.created_at,
        relation="accounts",
        values={
            "account_id": person.account_id,
            "display_name": person.display_name,
            "full_name": person.full_name,
            "full_name_kana": person.kana,
            "email": person.email,
            "phone": person.phone,
            "postal_code": person.postal_code,
            "address": person.address,
            "is_seller": person.is_seller,
            "status": "suspended" if suspended_at else "active",
            "suspended_at": suspended_at,
            "signup_ip": person.signup_ip or person.ip,
            "signup_device_id": person.device_id,
            "payout_account_hash": (
                payout_hash(person.payout_account) if person.payout_account else None
            ),
            "payout_name_kana": person.payee if person.payout_account else None,
            "admin_url": f"{BACK_OFFICE}/accounts/{person.account_id}",
            "created_at": person.created_at,
            "updated_at": person.created_at,
            "play_at": person.created_at,
        },
    )


def listing_row(listing: Listing) -> Fed:
    return Fed(
        at=listing.created_at,
        relation="listings",
        values={
            "listing_id": listing.listing_id,
            "seller_id": listing.seller.account_id,
            "title": listing.title,
            "description": listing.description,
            "price": listing.price,
            "currency": listing.currency,
            "image_hashes": [listing.image_hash],
            "admin_url": f"{BACK_OFFICE}/accounts/{listing.seller.account_id}",
            "status": "active",
            "created_at": listing.created_at,
            "updated_at": listing.created_at,
            "play_at": listing.created_at,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One order: who buys what, how it is paid and sent."""

    order_id: str
    buyer: Person
    listings: tuple[Listing, ...]
    ordered_at: datetime
    method: str
    course: Course
    card: Card | None = None
    ip: str | None = None
    device_id: str | None = None
    ship_to: Person | None = None
    discount: int = 0
    points: int = 0
    three_ds: str | None = None

    @property
    def total(self) -> int:
        return sum(listing.price for listing in self.listings)

    @property
    def currency(self) -> str:
        return self.listings[0].currency

    @property
    def paid_in_money(self) -> int:
        return max(self.total - self.discount - self.points, 0)


def purchase_rows(rng: random.Random, purchase: Purchase) -> list[Fed]:
    """The order, its lines, and the authorisation where it was paid by card."""
    rows = [_order_row(rng, purchase)]
    rows += [
        Fed(
            at=purchase.ordered_at,
            relation="order_items",
            values={
                "order_id": purchase.order_id,
                "line_no": n,
                "listing_id": listing.listing_id,
                "title": listing.title,
                "unit_price": listing.price,
                "quantity": 1,
            },
        )
        for n, listing in enumerate(purchase.listings, 1)
    ]
    if purchase.card is not None and purchase.course.paid_at is not None:
        rows.append(
            attempt_row(rng, purchase, purchase.card, purchase.course.paid_at, declined=None)
        )
    return rows


def _order_row(rng: random.Random, purchase: Purchase) -> Fed:
    receiver = purchase.ship_to or purchase.buyer
    course = purchase.course
    return Fed(
        at=purchase.ordered_at,
        relation="orders",
        values={
            "order_id": purchase.order_id,
            "buyer_id": purchase.buyer.account_id,
            "seller_id": purchase.listings[0].seller.account_id,
            "status": course.end_status,
            "total_amount": purchase.total,
            "currency": purchase.currency,
            "discount_amount": purchase.discount,
            "points_amount": purchase.points,
            "payment_method": purchase.method,
            "card_fingerprint": purchase.card.fingerprint if purchase.card else None,
            "card_bin": purchase.card.bin if purchase.card else None,
            "ip": purchase.ip or purchase.buyer.ip,
            "device_id": purchase.device_id or purchase.buyer.device_id,
            "ship_name": receiver.full_name,
            "ship_postal_code": receiver.postal_code,
            "ship_address": receiver.address,
            "three_ds_result": purchase.three_ds,
            "tracking_number": f"{rng.randrange(10**11, 10**12)}" if course.shipped_at else None,
            "ordered_at": purchase.ordered_at,
            "paid_at": course.paid_at,
            "ship_due_at": purchase.ordered_at + timedelta(days=3),
            "shipped_at": course.shipped_at,
            "delivered_at": course.delivered_at,
            "payout_at": course.payout_at,
            "canceled_at": course.canceled_at,
            "admin_url": f"{BACK_OFFICE}/orders/{purchase.order_id}",
            "updated_at": purchase.ordered_at,
            "payout_is_scheduled": True,
        },
    )


def attempt_row(
    rng: random.Random, purchase: Purchase, card: Card, at: datetime, *, declined: str | None
) -> Fed:
    """An authorisation; `declined` is the code, None where it was approved."""
    return Fed(
        at=at,
        relation="payment_attempts",
        values={
            "attempt_id": make_id(rng, "p"),
            "account_id": purchase.buyer.account_id,
            "order_id": purchase.order_id if declined is None else None,
            "card_fingerprint": card.fingerprint,
            "card_bin": card.bin,
            "amount": purchase.paid_in_money,
            "currency": purchase.currency,
            "result": "approved" if declined is None else "declined",
            "decline_code": declined,
            "ip": purchase.ip or purchase.buyer.ip,
            "device_id": purchase.device_id or purchase.buyer.device_id,
            "attempted_at": at,
        },
    )


def follow_row(
    rng: random.Random, follower: Person, followee: Person, at: datetime, kind: str = "follow"
) -> Fed:
    return Fed(
        at=at,
        relation="follow_events",
        values={
            "event_id": make_id(rng, "f"),
            "follower_id": follower.account_id,
            "followee_id": followee.account_id,
            "kind": kind,
            "occurred_at": at,
        },
    )


def post_row(
    rng: random.Random,
    author: Person,
    kind: str,
    body: str,
    at: datetime,
    *,
    urls: tuple[str, ...] = (),
    recipient: Person | None = None,
) -> Fed:
    return Fed(
        at=at,
        relation="posts",
        values={
            "post_id": make_id(rng, "n"),
            "account_id": author.account_id,
            "kind": kind,
            "recipient_id": recipient.account_id if recipient else None,
            "body": body,
            "urls": list(urls),
            "created_at": at,
            "updated_at": at,
        },
    )


def login_row(rng: random.Random, person: Person, at: datetime) -> Fed:
    return Fed(
        at=at,
        relation="account_events",
        values={
            "event_id": make_id(rng, "e"),
            "account_id": person.account_id,
            "kind": "login",
            "ip": person.ip,
            "device_id": person.device_id,
            "occurred_at": at,
        },
    )


def truth_row(
    subject_kind: str,
    subject_id: str,
    label: str,
    story: str,
    no: str,
    at: datetime,
    *,
    kind: str | None = None,
    round_no: int | None = None,
    amount: int | None = None,
    currency: str | None = None,
) -> Fed:
    """What really is, for measuring only; `kind` and `no` are those of a campaign."""
    return Fed(
        at=at,
        relation="truth",
        values={
            "subject_kind": subject_kind,
            "subject_id": subject_id,
            "label": label,
            "kind": kind,
            "story": story,
            "story_no": no,
            "round": round_no,
            "amount": amount,
            "currency": currency,
            "labelled_at": at,
        },
    )
