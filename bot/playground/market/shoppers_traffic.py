"""An hour of ordinary shopping."""

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
        self.rng = rng
        self.number = number
        self.start = start
        self.population = population
        self.flavour = population.flavour
        self.listings = listings
        self._newcomers = newcomers
        self._shopped: set[str] = set()
        self.rows: list[Fed] = []

    def write(self) -> None:
        """Into `rows`."""
        rng = self.rng
        for _ in range(self._how_many(ORDERS_AN_HOUR * how_busy(self.start, self.flavour))):
            self._shop(self.shopper(), self.moment())
        for _ in range(self._how_many(6)):
            self._follow(self.somebody(), self.moment())
        for _ in range(self._how_many(4)):
            self.rows.append(login_row(rng, self.somebody(), self.moment()))
        for _ in range(self._how_many(1.5)):
            self._write_something()

    def _how_many(self, mean: float) -> int:
        spread = mean + self.rng.uniform(-0.4, 0.4) * mean
        return int(spread) + (self.rng.random() < spread % 1)

    def moment(self, within: float = 1.0) -> datetime:
        return self.start + timedelta(hours=self.rng.random() * within)

    def somebody(self) -> Person:
        if self._newcomers and self.rng.random() < 0.12:
            return self.rng.choice(self._newcomers)
        # Squared: some people shop much more than others.
        return self.population.buyers[int(self.rng.random() ** 2 * len(self.population.buyers))]

    def shopper(self) -> Person:
        """Somebody who has not ordered within the hour: who has is a story of its own."""
        for _ in range(100):
            person = self.somebody()
            is_free = _turn(person) == self.number % TURNS
            if is_free and person.account_id not in self._shopped:
                break
        else:
            person = self.somebody()
        self._shopped.add(person.account_id)
        return person

    def _shop(self, buyer: Person, at: datetime) -> None:
        rng = self.rng
        first = rng.choice(self.listings)
        same_shop = [x for x in self.listings if x.seller is first.seller and x is not first]
        more = tuple(rng.sample(same_shop, min(len(same_shop), rng.choice((0, 0, 0, 0, 1, 2)))))
        method = rng.choices(list(self.flavour.methods), list(self.flavour.methods.values()))[0]
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
            else rng.choice((0, 0, 0, 0, 0, self.flavour.price_step)),
            three_ds=rng.choice(("authenticated", "authenticated", "none")) if by_card else None,
        )
        if by_card and rng.random() < 0.06:
            self._decline_first(purchase)
        self.rows += purchase_rows(rng, purchase)
        if is_chatty(first.seller):
            self.thank(buyer, first.seller, at + timedelta(minutes=rng.uniform(5, 50)))
        if by_card and rng.random() < COMES_BACK:
            again = at + timedelta(minutes=rng.uniform(4, 40))
            self.buy_one(buyer, first, again, story="came_back")

    def _decline_first(self, purchase: Purchase) -> None:
        """An honest refusal: no money on the card, a mistyped code, or the expired card before the new one."""
        rng = self.rng
        assert purchase.card is not None  # noqa: S101 (asked before)
        code = rng.choices(("insufficient_funds", "expired_card", "incorrect_cvc"), (5, 4, 2))[0]
        card = make_card(rng) if code == "expired_card" else purchase.card
        at = purchase.ordered_at
        for _ in range(rng.choice((1, 1, 2))):
            at -= timedelta(seconds=rng.randrange(20, 75))
            self.rows.append(attempt_row(rng, purchase, card, at, declined=code))

    def thank(self, buyer: Person, seller: Person, at: datetime) -> None:
        """A maker's thanks, with the link of a page of the maker's own: always the same words."""
        own = random.Random(seller.account_id)  # noqa: S311 (a repeatable story, no secret)
        url = own_page(self.flavour, seller)
        body = own.choice(self.flavour.thanks).format(url=url)
        self.rows.append(
            post_row(self.rng, seller, "message", body, at, urls=(url,), recipient=buyer)
        )

    def buy_one(
        self,
        buyer: Person,
        listing: Listing,
        at: datetime,
        *,
        story: str,
        ship_to: Person | None = None,
        discount: int = 0,
    ) -> None:
        """An honest order by card, with a note for the truth of what it looks like."""
        rng = self.rng
        purchase = Purchase(
            order_id=make_id(rng, "o"),
            buyer=buyer,
            listings=(listing,),
            ordered_at=at,
            method="card",
            course=make_course(rng, "card", at),
            card=buyer.cards[0],
            ship_to=ship_to,
            discount=discount,
            three_ds="authenticated",
        )
        self.rows += purchase_rows(rng, purchase)
        self.rows.append(truth_row("order", purchase.order_id, "good", story, "", at))

    def _follow(self, follower: Person, at: datetime) -> None:
        kind = "unfollow" if self.rng.random() < 0.07 else "follow"
        maker = self.rng.choice(self.population.makers)
        self.rows.append(follow_row(self.rng, follower, maker, at, kind))

    def _write_something(self) -> None:
        rng = self.rng
        author, at = self.somebody(), self.moment()
        kind = rng.choice(("review", "comment", "inquiry"))
        if kind == "inquiry":
            question = rng.choice(self.flavour.questions)
            self.rows.append(
                Fed(
                    at=at,
                    relation="inquiries",
                    values={
                        "inquiry_id": make_id(rng, "q"),
                        "account_id": author.account_id,
                        "category": "order",
                        "subject": question,
                        "body": self.flavour.question_body.format(question=question),
                        "created_at": at,
                    },
                )
            )
            return
        words = rng.choice(self.flavour.reviews if kind == "review" else self.flavour.comments)
        self.rows.append(post_row(rng, author, kind, words, at))


def is_chatty(seller: Person) -> bool:
    """Every fourth maker thanks every buyer."""
    return int(seller.account_id.removeprefix("a-"), 16) % 4 == 0


def own_page(flavour: Flavour, seller: Person) -> str:
    """The page that a maker has somewhere else."""
    own = random.Random(seller.account_id)  # noqa: S311 (a repeatable story, no secret)
    return own.choice(flavour.own_pages).format(code=f"{seller.account_id[-6:]}")


def _turn(person: Person) -> int:
    return int(person.account_id.removeprefix("a-"), 16) % TURNS


def how_busy(at: datetime, flavour: Flavour) -> float:
    """People's day where the shop is: quiet nights, a busy evening, weekends, a sale on some evenings."""
    local = at.astimezone(flavour.zone)
    busy = BY_HOUR[local.hour]
    if local.weekday() >= 5:
        busy *= WEEKEND
    if is_sale(at, flavour):
        busy *= SALE_EVENING
    return busy


def is_sale(at: datetime, flavour: Flavour) -> bool:
    local = at.astimezone(flavour.zone)
    return local.day in flavour.sale_days and local.hour in {20, 21, 22}


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
