"""The fraud of the demo: one person behind seller and buyer accounts, and a follow spammer now and then."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.playground.market.shoppers_people import (
    Card,
    Person,
    Population,
    make_card,
    make_id,
    make_person,
)
from bot.playground.market.shoppers_rows import (
    Course,
    Fed,
    Listing,
    Purchase,
    account_row,
    attempt_row,
    follow_row,
    listing_row,
    login_row,
    make_listing,
    post_row,
    purchase_rows,
    truth_row,
)

LONGEST_BEFORE = timedelta(hours=70)
"""A campaign's accounts are made at most this long before its first order."""
DECLINES = ("do_not_honor", "stolen_card", "incorrect_cvc", "insufficient_funds")


class Campaign:
    """One fraudster at work; `rows` tells everything that the marketplace sees of it."""

    def __init__(
        self,
        rng: random.Random,
        story: str,
        start: datetime,
        population: Population,
        listings: Sequence[Listing],
    ) -> None:
        self._rng = rng
        self.story = story
        self.start = start
        self.no = make_id(rng, "c")
        self._population = population
        self._flavour = population.flavour
        self._listings = listings
        self.rows: list[Fed] = []
        self._seller = self._make_account(timedelta(hours=rng.uniform(2, 30)), is_seller=True)
        STORIES[story](self)

    # ---- stories

    def _ring(self) -> None:
        """Own buyers from the seller's own device, network or door, a stolen card for each order."""
        rng = self._rng
        self._open_shop()
        at = self.start
        for n in range(rng.choice((1, 2, 2, 3))):
            buyer = self._make_own_buyer(same_device=n == 0 or rng.random() < 0.5)
            for _ in range(rng.choice((2, 3, 4))):
                self._try_stolen_cards(buyer, at, rng.choice((0, 0, 1, 2)))
                self._buy(buyer, at, make_card(rng))
                at += timedelta(minutes=rng.uniform(2, 9))
        if rng.random() < 0.3:
            self._honest_order()

    def _careful(self) -> None:
        """Another device and network; only the address and the telephone give the person away."""
        rng = self._rng
        self._open_shop()
        buyer = self._make_own_buyer(same_device=False, same_network=False, same_phone=True)
        for hours in (0.0, rng.uniform(1.2, 2.5)):
            self._buy(buyer, self.start + timedelta(hours=hours), buyer.cards[0])

    def _card_burst(self) -> None:
        """One buyer runs through a list of stolen cards within the hour."""
        rng = self._rng
        self._open_shop()
        buyer = self._make_own_buyer(same_device=False, same_network=False, same_door=False)
        at = self.start
        for _ in range(rng.choice((4, 5, 6))):
            self._try_stolen_cards(buyer, at, rng.choice((0, 1, 1)))
            self._buy(buyer, at, make_card(rng))
            at += timedelta(minutes=rng.uniform(3, 9))

    def _same_card(self) -> None:
        """One stolen card is emptied through two accounts within the hour."""
        rng = self._rng
        self._open_shop()
        card = make_card(rng)
        buyers = [
            self._make_own_buyer(same_device=False, same_network=n == 0, same_door=False)
            for n in range(2)
        ]
        at = self.start
        for n in range(rng.choice((3, 4))):
            self._buy(buyers[n % 2], at, card)
            at += timedelta(minutes=rng.uniform(3, 14))

    def _follow_churn(self) -> None:
        """Follows a crowd and lets go of most of them at once, for the link in the profile."""
        rng = self._rng
        spammer = self._make_account(timedelta(hours=rng.uniform(1, 60)), is_seller=False)
        lure, url = self._flavour.make_lure(rng)
        before = self.start - timedelta(minutes=5)
        self._add(post_row(rng, spammer, "profile", lure, before, urls=(url,)))
        crowd = rng.sample(self._population.everybody, rng.randrange(125, 165))
        for n, followee in enumerate(crowd):
            at = self.start + timedelta(seconds=n * rng.uniform(14, 16))
            self._add(follow_row(rng, spammer, followee, at))
            if n % 3 != 2:
                later = at + timedelta(minutes=rng.uniform(4, 15))
                self._add(follow_row(rng, spammer, followee, later, "unfollow"))
        for recipient in rng.sample(crowd, 4):
            at = self.start + timedelta(minutes=rng.uniform(10, 50))
            self._add(post_row(rng, spammer, "message", lure, at, urls=(url,), recipient=recipient))

    # ---- what the stories are made of

    def _make_account(self, before: timedelta, *, is_seller: bool) -> Person:
        """An account of the fraudster; a churner has no shop, so its first account is not written."""
        person = make_person(self._rng, self._flavour, self.start - before, is_seller=is_seller)
        if is_seller and self.story == "follow_churn":
            return person
        self._open_account(person)
        return person

    def _open_account(self, person: Person) -> None:
        self._add(account_row(person))
        self._add(login_row(self._rng, person, person.created_at + timedelta(minutes=1)))
        self._tell("account", person.account_id, "fraud", person.created_at)

    def _make_own_buyer(
        self,
        *,
        same_device: bool,
        same_network: bool = True,
        same_door: bool = True,
        same_phone: bool = False,
    ) -> Person:
        rng, seller = self._rng, self._seller
        person = make_person(rng, self._flavour, self.start - timedelta(minutes=rng.uniform(4, 90)))
        if rng.random() < 0.15:
            person = replace(person, display_name=rng.choice(self._flavour.hostile_names))
        if same_device:
            person = replace(person, device_id=seller.device_id)
        if same_network:
            person = replace(person, ip=seller.ip)
        if same_phone:
            person = replace(person, phone=seller.phone)
        if same_door:
            person = replace(person, postal_code=seller.postal_code, address=seller.address)
        self._open_account(person)
        return person

    def _open_shop(self) -> None:
        """Others' works, copied and cheaper."""
        rng, seller = self._rng, self._seller
        opened = seller.created_at + timedelta(minutes=rng.uniform(10, 60))
        self._shop = []
        for original in rng.sample(list(self._listings), rng.choice((3, 4, 5))):
            copy = replace(
                make_listing(rng, self._flavour, seller, opened),
                title=rng.choice(self._flavour.hostile_titles)
                if rng.random() < 0.08
                else original.title,
                price=max(original.price, self._flavour.price(rng.randrange(6000, 32000, 100))),
                image_hash=original.image_hash ^ (1 << rng.randrange(62)),
            )
            self._shop.append(copy)
            self._add(listing_row(copy))
            self._tell("listing", copy.listing_id, "fraud", opened)

    def _try_stolen_cards(self, buyer: Person, at: datetime, count: int) -> None:
        rng = self._rng
        tried = self._purchase(buyer, at, None)
        for n in range(count):
            when = at - timedelta(seconds=20 * (count - n))
            code = rng.choice(DECLINES)
            self._add(attempt_row(rng, tried, make_card(rng), when, declined=code))

    def _purchase(self, buyer: Person, at: datetime, card: Card | None) -> Purchase:
        """The fraudster is his own customer: ships at once, receives at once, wants the money."""
        rng = self._rng
        paid_at = at + timedelta(seconds=rng.uniform(2, 12))
        shipped_at = paid_at + timedelta(hours=rng.uniform(7, 18))
        delivered_at = shipped_at + timedelta(hours=rng.uniform(3, 20))
        return Purchase(
            order_id=make_id(rng, "o"),
            buyer=buyer,
            listings=(rng.choice(self._shop),),
            ordered_at=at,
            method="card",
            course=Course(
                paid_at=paid_at,
                shipped_at=shipped_at,
                delivered_at=delivered_at,
                payout_at=delivered_at + timedelta(hours=24),
            ),
            card=card,
            three_ds=rng.choice(("none", "none", "attempted")),
        )

    def _buy(self, buyer: Person, at: datetime, card: Card) -> None:
        rng = self._rng
        purchase = self._purchase(buyer, at, card)
        for row in purchase_rows(rng, purchase):
            self._add(row)
        self._tell("order", purchase.order_id, "fraud", at)
        if rng.random() < 0.3:
            self._warn(purchase, at + timedelta(hours=rng.uniform(6, 40)))
        if rng.random() < 0.8:
            self._charge_back(purchase, at + timedelta(days=rng.uniform(4, 9)))

    def _warn(self, purchase: Purchase, at: datetime) -> None:
        values = {
            "warning_id": make_id(self._rng, "w"),
            "order_id": purchase.order_id,
            "kind": "early_fraud_warning",
            "reason": "unauthorized_use_of_card",
            "received_at": at,
        }
        self._add(Fed(at=at, relation="fraud_warnings", values=values))

    def _charge_back(self, purchase: Purchase, at: datetime) -> None:
        values = {
            "chargeback_id": make_id(self._rng, "b"),
            "order_id": purchase.order_id,
            "amount": purchase.paid_in_money,
            "currency": purchase.currency,
            "reason": "fraud",
            "received_at": at,
        }
        self._add(Fed(at=at, relation="chargebacks", values=values))

    def _honest_order(self) -> None:
        """Somebody fell for the cheap copies: whoever suspends the shop touches this order."""
        rng = self._rng
        buyer = rng.choice(self._population.buyers)
        at = self.start + timedelta(minutes=rng.uniform(5, 50))
        purchase = replace(self._purchase(buyer, at, buyer.cards[0]), three_ds="authenticated")
        for row in purchase_rows(rng, purchase):
            self._add(row)
        self._tell("order", purchase.order_id, "good", at)

    def _add(self, row: Fed) -> None:
        self.rows.append(row)

    def _tell(self, kind: str, subject_id: str, label: str, at: datetime) -> None:
        self._add(truth_row(kind, subject_id, label, self.story, self.no, at))


STORIES: dict[str, Callable[[Campaign], None]] = {
    "ring": Campaign._ring,  # noqa: SLF001 (its own)
    "careful": Campaign._careful,  # noqa: SLF001
    "card_burst": Campaign._card_burst,  # noqa: SLF001
    "same_card": Campaign._same_card,  # noqa: SLF001
    "follow_churn": Campaign._follow_churn,  # noqa: SLF001
}
_WEIGHTS = {"ring": 50, "careful": 14, "card_burst": 20, "same_card": 16}


def plan_campaigns(rng: random.Random, hour: int) -> tuple[tuple[str, timedelta], ...]:
    """Which stories begin in an hour of the play, and when; none before the play but the very first."""
    if hour < -1:
        return ()
    if hour == -1:
        # Under way as the play begins: the first look of a detection finds it.
        return (("ring", timedelta(minutes=38)),)
    if hour == 0:
        return (
            ("card_burst", timedelta(minutes=2)),
            ("follow_churn", timedelta(minutes=6)),
            ("ring", timedelta(minutes=31)),
        )
    planned = [
        (rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0], rng.uniform(0, 60))
        for _ in range(rng.choice((1, 2, 2, 3)))
    ]
    if rng.random() < 0.18:
        planned.append(("follow_churn", rng.uniform(0, 60)))
    return tuple((story, timedelta(minutes=minute)) for story, minute in planned)
