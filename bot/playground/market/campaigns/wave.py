"""One go of a campaign: the rows that the marketplace sees of it, and what is true of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from bot.playground.market.campaigns.parameters import Kind, Level, Span, Trait
from bot.playground.market.campaigns.rounds import Round
from bot.playground.market.shoppers_people import Card, Person, make_id
from bot.playground.market.shoppers_rows import (
    Course,
    Fed,
    Listing,
    Purchase,
    account_row,
    attempt_row,
    listing_row,
    login_row,
    post_row,
    purchase_rows,
    truth_row,
)
from bot.playground.market.shoppers_traffic import make_course

DECLINES = ("do_not_honor", "stolen_card", "incorrect_cvc", "insufficient_funds")
WARNED = 0.3
CHARGED_BACK = 0.8

L = TypeVar("L", bound=Level)


class Wave:
    """Written by the module of its kind; `ends_at` is its last act, after which the fraudster waits and looks."""

    def __init__(
        self,
        rng: random.Random,
        *,
        campaign_no: str,
        kind: Kind,
        round_: Round,
        is_first: bool,
        since: datetime,
        start: datetime,
        before: Wave | None,
    ) -> None:
        self.rng = rng
        self.kind = kind
        self.round = round_
        self.world = round_.world
        self.flavour = round_.world.flavour
        self.is_first = is_first
        """Of its round: its accounts are not there yet."""
        self.since = since
        """No row may lie before."""
        self.start = start
        self.ends_at = start
        self.rows: list[Fed] = []
        self.before = before
        """The wave of the same round before this one."""
        self.bought: list[Purchase] = []
        """Orders whose money is demanded back in the next wave."""
        self.claims: list[tuple[Purchase, bool]] = []
        """Orders whose money is demanded back in this one, and whether support would give in."""
        self._campaign_no = campaign_no

    def tactics(self, of: type[L]) -> L:
        """The numbers of its level, as those of its kind."""
        level = self.round.level
        if not isinstance(level, of):
            raise TypeError(f"{level.story} is no {of.__name__}")
        return level

    def add(self, row: Fed, *, is_act: bool = True) -> None:
        self.rows.append(row)
        if is_act:
            self.ends_at = max(self.ends_at, row.at)

    def tell(
        self, subject_kind: str, subject_id: str, at: datetime, *, is_fraud: bool = True
    ) -> None:
        self._tell(subject_kind, subject_id, at, is_fraud=is_fraud)

    def _tell(
        self,
        subject_kind: str,
        subject_id: str,
        at: datetime,
        *,
        is_fraud: bool,
        amount: int | None = None,
        currency: str | None = None,
    ) -> None:
        row = truth_row(
            subject_kind,
            subject_id,
            "fraud" if is_fraud else "good",
            self.round.level.story,
            self._campaign_no,
            at,
            kind=self.kind.value,
            round_no=self.round.number,
            amount=amount,
            currency=currency,
        )
        self.rows.append(row)

    # ---- accounts and shops

    def open_account(self, person: Person, suspended_at: datetime | None = None) -> None:
        self.add(account_row(person, suspended_at=suspended_at), is_act=False)
        at = person.created_at + timedelta(minutes=1)
        self.add(login_row(self.rng, person, at), is_act=False)
        self.tell("account", person.account_id, person.created_at)

    def open_shop(self) -> None:
        self.open_account(self.round.anchor)
        for listing in self.round.shop:
            self.add(listing_row(listing), is_act=False)
            self.tell("listing", listing.listing_id, listing.created_at)

    def open_accounts(self) -> None:
        for person in self.round.accounts:
            self.open_account(person)

    def sign_up(self, traits: Iterable[Trait]) -> Person:
        """A new account for this wave only."""
        before = timedelta(minutes=self.rng.uniform(4, 90))
        before = min(before, (self.start - self.since) * 0.9)
        person = self.round.make_account(self.rng, self.start - before, frozenset(traits))
        self.open_account(person)
        return person

    # ---- orders

    def own_purchase(self, buyer: Person, listing: Listing, at: datetime, card: Card) -> Purchase:
        """The fraudster is his own customer: ships at once, receives at once, wants the money."""
        rng = self.rng
        paid_at = at + timedelta(seconds=rng.uniform(2, 12))
        shipped_at = paid_at + timedelta(hours=rng.uniform(7, 18))
        delivered_at = shipped_at + timedelta(hours=rng.uniform(3, 20))
        course = Course(
            paid_at=paid_at,
            shipped_at=shipped_at,
            delivered_at=delivered_at,
            payout_at=delivered_at + timedelta(hours=24),
        )
        return self._purchase(buyer, listing, at, card, course)

    def honest_purchase(
        self,
        buyer: Person,
        listing: Listing,
        at: datetime,
        card: Card,
        course: Course | None = None,
    ) -> Purchase:
        """An honest maker ships as they always do, and is paid when it has arrived."""
        while course is None or course.canceled_at is not None:
            course = make_course(self.rng, "card", at)
        return self._purchase(buyer, listing, at, card, course)

    def _purchase(
        self, buyer: Person, listing: Listing, at: datetime, card: Card, course: Course
    ) -> Purchase:
        return Purchase(
            order_id=make_id(self.rng, "o"),
            buyer=buyer,
            listings=(listing,),
            ordered_at=at,
            method="card",
            course=course,
            card=card,
            three_ds=self.rng.choice(("none", "none", "attempted")),
        )

    def place(self, purchase: Purchase, *, is_fraud: bool = True) -> None:
        for row in purchase_rows(self.rng, purchase):
            self.add(row)
        self._tell(
            "order",
            purchase.order_id,
            purchase.ordered_at,
            is_fraud=is_fraud,
            amount=purchase.paid_in_money,
            currency=purchase.currency,
        )

    def place_on_stolen_card(self, purchase: Purchase) -> None:
        """The card's owner notices sooner or later."""
        self.place(purchase)
        rng, at = self.rng, purchase.ordered_at
        if rng.random() < WARNED:
            self.add(
                _warning(rng, purchase, at + timedelta(hours=rng.uniform(6, 40))), is_act=False
            )
        if rng.random() < CHARGED_BACK:
            self.add(
                _chargeback(rng, purchase, at + timedelta(days=rng.uniform(4, 9))), is_act=False
            )

    def try_card(self, purchase: Purchase, card: Card, at: datetime) -> None:
        """It is refused."""
        code = self.rng.choice(DECLINES)
        self.add(attempt_row(self.rng, purchase, card, at, declined=code))

    def decline_before(self, purchase: Purchase, count: int) -> None:
        for n in range(count):
            at = purchase.ordered_at - timedelta(seconds=20 * (count - n))
            self.try_card(purchase, self.round.make_stolen_card(self.rng), at)

    def fool(self, listing: Listing) -> None:
        """Somebody honest fell for a cheap copy: whoever suspends the shop touches this order."""
        buyer = self.rng.choice(self.world.population.buyers)
        at = self.start + timedelta(minutes=self.rng.uniform(5, 50))
        purchase = self.own_purchase(buyer, listing, at, buyer.cards[0])
        self.place(replace(purchase, three_ds="authenticated"), is_fraud=False)

    def pick_listing(self, yen: Span) -> Listing:
        """Something of an honest maker for about this price; the nearest if there is nothing."""
        amounts, price = self.world.temper.amounts, self.flavour.price
        low, high = price(yen.low * amounts), price(yen.high * amounts)
        fitting = [listing for listing in self.world.listings if low <= listing.price <= high]
        if fitting:
            return self.rng.choice(fitting)
        return min(self.world.listings, key=lambda listing: abs(listing.price - low))

    # ---- texts

    def write(
        self,
        author: Person,
        kind: str,
        body: str,
        at: datetime,
        *,
        urls: Sequence[str] = (),
        recipient: Person | None = None,
    ) -> None:
        row = post_row(self.rng, author, kind, body, at, urls=tuple(urls), recipient=recipient)
        self.add(row)
        self.tell("post", str(row.values["post_id"]), at)


def _warning(rng: random.Random, purchase: Purchase, at: datetime) -> Fed:
    return Fed(
        at=at,
        relation="fraud_warnings",
        values={
            "warning_id": make_id(rng, "w"),
            "order_id": purchase.order_id,
            "kind": "early_fraud_warning",
            "reason": "unauthorized_use_of_card",
            "received_at": at,
        },
    )


def _chargeback(rng: random.Random, purchase: Purchase, at: datetime) -> Fed:
    return Fed(
        at=at,
        relation="chargebacks",
        values={
            "chargeback_id": make_id(rng, "b"),
            "order_id": purchase.order_id,
            "amount": purchase.paid_in_money,
            "currency": purchase.currency,
            "reason": "fraud",
            "received_at": at,
        },
    )
