"""An hour of ordinary shopping, with the near misses that honest people cause."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from bot.playground.market.flavours import Flavour
from bot.playground.market.shoppers_people import Person, Population, make_card, make_id
from bot.playground.market.shoppers_rows import (
    Course,
    Fed,
    Listing,
    Purchase,
    attempt_row,
    follow_row,
    login_row,
    post_row,
    purchase_rows,
    truth_row,
)

ORDERS_AN_HOUR = 9.0
BY_HOUR = (
    0.6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0,
    1.2, 1.1, 0.9, 0.9, 1.0, 1.0, 1.1, 1.3, 1.5, 1.7, 1.5, 0.9,
)  # fmt: skip
WEEKEND = 1.3
SALE_EVENING = 1.8
TURNS = 3
"""Everybody shops in every third hour only."""
COMES_BACK = 0.035
"""How many who paid by card order again from the same maker within the hour."""


class Hour:
    """Writes what honest people do in one market hour."""

    def __init__(
        self,
        rng: random.Random,
        number: int,
        start: datetime,
        population: Population,
        listings: tuple[Listing, ...],
        newcomers: tuple[Person, ...],
    ) -> None:
        self._rng = rng
        self._number = number
        self._start = start
        self._population = population
        self._flavour = population.flavour
        self._listings = listings
        self._buyers = population.buyers
        self._newcomers = newcomers
        self._shopped: set[str] = set()
        self.rows: list[Fed] = []

    def write(self) -> list[Fed]:
        rng = self._rng
        for _ in range(self._how_many(ORDERS_AN_HOUR * how_busy(self._start, self._flavour))):
            self._shop(self._shopper(), self._moment())
        for _ in range(self._how_many(6)):
            self._follow(self._somebody(), self._moment())
        for _ in range(self._how_many(4)):
            self.rows.append(login_row(rng, self._somebody(), self._moment()))
        for _ in range(self._how_many(1.5)):
            self._write_something()
        self._near_misses()
        return self.rows

    def _near_misses(self) -> None:
        rng = self._rng
        if rng.random() < 0.25:
            self._family_shops()
        if rng.random() < 0.1:
            self._gifts()
        if rng.random() < 0.2:
            self._office_orders()
        if rng.random() < 0.06:
            self._follow_makers()

    def _how_many(self, mean: float) -> int:
        spread = mean + self._rng.uniform(-0.4, 0.4) * mean
        return int(spread) + (self._rng.random() < spread % 1)

    def _moment(self, within: float = 1.0) -> datetime:
        return self._start + timedelta(hours=self._rng.random() * within)

    def _somebody(self) -> Person:
        if self._newcomers and self._rng.random() < 0.12:
            return self._rng.choice(self._newcomers)
        # Squared: some people shop much more than others.
        return self._buyers[int(self._rng.random() ** 2 * len(self._buyers))]

    def _shopper(self) -> Person:
        """Somebody who has not ordered within the hour: who has is a story of its own."""
        for _ in range(100):
            person = self._somebody()
            is_free = _turn(person) == self._number % TURNS
            if is_free and person.account_id not in self._shopped:
                break
        else:
            person = self._somebody()
        self._shopped.add(person.account_id)
        return person

    def _shop(self, buyer: Person, at: datetime) -> None:
        rng = self._rng
        first = rng.choice(self._listings)
        same_shop = [x for x in self._listings if x.seller is first.seller and x is not first]
        more = tuple(rng.sample(same_shop, min(len(same_shop), rng.choice((0, 0, 0, 0, 1, 2)))))
        method = rng.choices(list(self._flavour.methods), list(self._flavour.methods.values()))[0]
        by_card = method == "card"
        purchase = Purchase(
            order_id=make_id(rng, "o"),
            buyer=buyer,
            listings=(first, *more),
            ordered_at=at,
            method=method,
            course=make_course(rng, method, at),
            card=buyer.cards[0] if by_card else None,
            discount=rng.choice((0, 0, 0, 0, first.price // 5, first.price // 10)),
            points=first.price
            if method == "points"
            else rng.choice((0, 0, 0, 0, 0, self._flavour.price_step)),
            three_ds=rng.choice(("authenticated", "authenticated", "none")) if by_card else None,
        )
        if by_card and rng.random() < 0.06:
            self._decline_first(purchase)
        self.rows += purchase_rows(rng, purchase)
        if by_card and rng.random() < COMES_BACK:
            again = at + timedelta(minutes=rng.uniform(4, 40))
            self._buy_one(buyer, first, again, story="came_back")

    def _decline_first(self, purchase: Purchase) -> None:
        """An honest refusal: no money on the card, or an expired one before the new one."""
        rng = self._rng
        assert purchase.card is not None  # noqa: S101 (asked before)
        expired = rng.random() < 0.3
        card = make_card(rng) if expired else purchase.card
        code = "expired_card" if expired else "insufficient_funds"
        at = purchase.ordered_at - timedelta(seconds=rng.randrange(30, 150))
        self.rows.append(attempt_row(rng, purchase, card, at, declined=code))

    def _family_shops(self) -> None:
        """A family on one card: each with a telephone of their own, an hour and more apart."""
        rng = self._rng
        at = self._moment()
        families = self._population.families
        for member in families[self._number % len(families)][:2]:
            self._buy_one(member, rng.choice(self._listings), at, story="family")
            at += timedelta(minutes=rng.uniform(70, 200))

    def _gifts(self) -> None:
        """One buyer sends presents to friends: many addresses, one card."""
        rng = self._rng
        buyer, at = self._shopper(), self._moment()
        for _ in range(rng.choice((3, 4))):
            friend = rng.choice(self._buyers)
            self._buy_one(buyer, rng.choice(self._listings), at, story="gifts", ship_to=friend)
            at += timedelta(minutes=rng.uniform(65, 130))

    def _office_orders(self) -> None:
        """Colleagues order from one address; now and then from the maker two floors below."""
        rng = self._rng
        maker, *colleagues = self._population.office
        own = [listing for listing in self._listings if listing.seller is maker]
        from_below = own and rng.random() < 0.2
        for colleague in rng.sample(colleagues, 1 if from_below else 2):
            listing = rng.choice(own if from_below else self._listings)
            self._buy_one(colleague, listing, self._moment(), story="office")

    def _buy_one(
        self,
        buyer: Person,
        listing: Listing,
        at: datetime,
        *,
        story: str,
        ship_to: Person | None = None,
    ) -> None:
        rng = self._rng
        purchase = Purchase(
            order_id=make_id(rng, "o"),
            buyer=buyer,
            listings=(listing,),
            ordered_at=at,
            method="card",
            course=make_course(rng, "card", at),
            card=buyer.cards[0],
            ship_to=ship_to,
            three_ds="authenticated",
        )
        self.rows += purchase_rows(rng, purchase)
        self.rows.append(truth_row("order", purchase.order_id, "good", story, "", at))

    def _follow(self, follower: Person, at: datetime) -> None:
        kind = "unfollow" if self._rng.random() < 0.07 else "follow"
        maker = self._rng.choice(self._population.makers)
        self.rows.append(follow_row(self._rng, follower, maker, at, kind))

    def _follow_makers(self) -> None:
        """The day of a craft fair: a visitor follows everybody whom she met."""
        rng = self._rng
        visitor = self._somebody()
        for maker in rng.sample(self._population.makers, rng.randrange(22, 36)):
            self.rows.append(follow_row(rng, visitor, maker, self._moment(0.9)))

    def _write_something(self) -> None:
        rng = self._rng
        author, at = self._somebody(), self._moment()
        kind = rng.choice(("review", "comment", "inquiry"))
        if kind == "inquiry":
            question = rng.choice(self._flavour.questions)
            self.rows.append(
                Fed(
                    at=at,
                    relation="inquiries",
                    values={
                        "inquiry_id": make_id(rng, "q"),
                        "account_id": author.account_id,
                        "category": "order",
                        "subject": question,
                        "body": self._flavour.question_body.format(question=question),
                        "created_at": at,
                    },
                )
            )
            return
        words = rng.choice(self._flavour.reviews if kind == "review" else self._flavour.comments)
        self.rows.append(post_row(rng, author, kind, words, at))


def _turn(person: Person) -> int:
    return int(person.account_id.removeprefix("a-"), 16) % TURNS


def how_busy(at: datetime, flavour: Flavour) -> float:
    """People's day where the shop is: quiet nights, a busy evening, weekends, a sale on some evenings."""
    local = at.astimezone(flavour.zone)
    busy = BY_HOUR[local.hour]
    if local.weekday() >= 5:
        busy *= WEEKEND
    if local.day in flavour.sale_days and local.hour in {20, 21, 22}:
        busy *= SALE_EVENING
    return busy


def make_course(rng: random.Random, method: str, at: datetime) -> Course:
    """How an honest order goes on from `at`."""
    if method in {"konbini", "bank_transfer"}:
        if rng.random() < 0.1:
            return Course(canceled_at=at + timedelta(days=3))
        paid_at = at + timedelta(hours=rng.uniform(0.3, 30))
    else:
        paid_at = at + timedelta(seconds=rng.uniform(2, 20))
    if rng.random() < 0.02:
        return Course(paid_at=paid_at, canceled_at=paid_at + timedelta(hours=rng.uniform(1, 8)))
    shipped_at = paid_at + timedelta(hours=rng.uniform(9, 60))
    delivered_at = shipped_at + timedelta(hours=rng.uniform(20, 70))
    return Course(
        paid_at=paid_at,
        shipped_at=shipped_at,
        delivered_at=delivered_at,
        payout_at=delivered_at + timedelta(hours=rng.uniform(48, 96)),
    )
