"""Buys, receives, says that nothing came, and asks for the money by bank."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.playground.market.campaigns.parameters import RefundAbuse
from bot.playground.market.campaigns.wave import Wave
from bot.playground.market.shoppers_people import Person, make_id
from bot.playground.market.shoppers_rows import Course, Fed, Purchase


def write(wave: Wave) -> None:
    """Orders in one wave; in the next, claims for all of them, by the same accounts again and again."""
    if wave.is_first:
        wave.open_accounts()
    if wave.before is not None and wave.before.bought:
        for purchase in wave.before.bought:
            _claim(wave, purchase)
        return
    level, rng = wave.tactics(RefundAbuse), wave.rng
    at = wave.start
    for account in wave.round.accounts:
        for _ in range(level.orders.count(rng)):
            _buy(wave, account, at)
            at += timedelta(minutes=level.minutes.draw(rng))


def _buy(wave: Wave, account: Person, at: datetime) -> None:
    level, rng = wave.tactics(RefundAbuse), wave.rng
    paid_at = at + timedelta(seconds=rng.uniform(2, 20))
    # Chosen because it comes by express.
    shipped_at = paid_at + timedelta(hours=rng.uniform(4, 8))
    delivered_at = shipped_at + timedelta(hours=rng.uniform(6, 12))
    course = Course(
        paid_at=paid_at,
        shipped_at=shipped_at,
        delivered_at=delivered_at,
        payout_at=delivered_at + timedelta(hours=rng.uniform(48, 96)),
    )
    listing = wave.pick_listing(level.yen)
    purchase = wave.honest_purchase(account, listing, at, account.cards[0], course)
    wave.place(purchase)
    wave.bought.append(purchase)


def _claim(wave: Wave, purchase: Purchase) -> None:
    level, rng = wave.tactics(RefundAbuse), wave.rng
    assert purchase.course.delivered_at is not None  # noqa: S101 (it was bought so)
    at = max(wave.start, purchase.course.delivered_at)
    at += timedelta(hours=level.claims_after.draw(rng))
    wave.add(_inquiry(wave, purchase, at))
    if rng.random() < level.claims_again:
        wave.add(_inquiry(wave, purchase, at + timedelta(hours=rng.uniform(1, 5))))
    wave.claims.append((purchase, rng.random() < level.granted))


def _inquiry(wave: Wave, purchase: Purchase, at: datetime) -> Fed:
    level, rng, flavour = wave.tactics(RefundAbuse), wave.rng, wave.flavour
    claim = rng.choice(flavour.claims)
    body = f"{claim} ({purchase.order_id})"
    if rng.random() < level.asks_for_bank:
        body = f"{body} {rng.choice(flavour.bank_wishes)}"
    return Fed(
        at=at,
        relation="inquiries",
        values={
            "inquiry_id": make_id(rng, "q"),
            "account_id": purchase.buyer.account_id,
            "category": "refund",
            "subject": claim,
            "body": body,
            "created_at": at,
        },
    )


def grant(wave: Wave, purchase: Purchase, at: datetime) -> Fed:
    """Support believes it and pays by bank, which no card company takes back."""
    rng = wave.world.dice(f"refund {purchase.order_id}")
    created_at = at + timedelta(minutes=rng.uniform(10, 90))
    return Fed(
        at=created_at,
        relation="refunds",
        values={
            "refund_id": make_id(rng, "r"),
            "order_id": purchase.order_id,
            "amount": purchase.paid_in_money,
            "currency": purchase.currency,
            "route": "external",
            "state": "succeeded",
            "external_reference": make_id(rng, "bank"),
            "created_at": created_at,
            "updated_at": created_at + timedelta(hours=rng.uniform(2, 20)),
        },
    )
