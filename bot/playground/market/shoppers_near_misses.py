"""Honest people who look like fraud: each of them is what some detection must learn to leave alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bot.playground.market.shoppers_people import make_person
from bot.playground.market.shoppers_rows import (
    Listing,
    Purchase,
    account_row,
    attempt_row,
    follow_row,
    listing_row,
    login_row,
    make_kit,
    make_listing,
    post_row,
    truth_row,
)
from bot.playground.market.shoppers_traffic import Hour, is_sale, make_course, own_page

OUTAGE = "processing_error"


def write_near_misses(hour: Hour) -> None:
    """Add to an hour what happens in it by chance."""
    for chance, happen in NEAR_MISSES:
        if hour.rng.random() < chance:
            happen(hour)
    if hour.rng.random() < (0.25 if is_sale(hour.start, hour.flavour) else 0.02):
        _flash_sale(hour)


def _family_shops(hour: Hour) -> None:
    """A family on one card: each with a telephone of their own, an hour and more apart."""
    families = hour.population.families
    at = hour.moment()
    for member in families[hour.number % len(families)]:
        hour.buy_one(member, hour.rng.choice(hour.listings), at, story="family")
        at += timedelta(minutes=hour.rng.uniform(70, 200))


def _household_shops(hour: Hour) -> None:
    """One person with two accounts, for work and for the home, on one card and one device."""
    first, second = hour.rng.choice(hour.population.households)
    at = hour.moment()
    hour.buy_one(first, hour.rng.choice(hour.listings), at, story="household")
    later = at + timedelta(minutes=hour.rng.uniform(15, 300))
    hour.buy_one(second, hour.rng.choice(hour.listings), later, story="household")


def _gifts(hour: Hour) -> None:
    """One buyer sends presents to friends: many addresses, one card."""
    rng = hour.rng
    buyer, at = hour.shopper(), hour.moment()
    for friend in rng.sample(hour.population.buyers, rng.choice((3, 4, 5))):
        hour.buy_one(buyer, rng.choice(hour.listings), at, story="gifts", ship_to=friend)
        at += timedelta(minutes=rng.uniform(65, 130))


def _office_orders(hour: Hour) -> None:
    """Colleagues order from one address; now and then from the maker two floors below."""
    rng = hour.rng
    maker, *colleagues = hour.population.office
    own = [listing for listing in hour.listings if listing.seller is maker]
    from_below = own and rng.random() < 0.2
    for colleague in rng.sample(colleagues, 1 if from_below else 2):
        listing = rng.choice(own if from_below else hour.listings)
        hour.buy_one(colleague, listing, hour.moment(), story="office")


def _relative_buys(hour: Hour) -> None:
    """Somebody buys from a maker of the same home, for a colleague or to see how ordering works."""
    maker, relative = hour.rng.choice(hour.population.studios)
    own = [listing for listing in hour.listings if listing.seller is maker]
    hour.buy_one(relative, hour.rng.choice(own), hour.moment(), story="relative")


def _follow_makers(hour: Hour) -> None:
    """The day of a craft fair: a visitor follows everybody whom she met."""
    visitor = hour.somebody()
    for maker in hour.rng.sample(hour.population.makers, hour.rng.randrange(22, 36)):
        hour.rows.append(follow_row(hour.rng, visitor, maker, hour.moment(0.9)))


def _flash_sale(hour: Hour) -> None:
    """A known maker's sale: a burst of orders, and as many thanks in the same words, with a link."""
    rng = hour.rng
    maker = rng.choice(hour.population.makers)
    own = [listing for listing in hour.listings if listing.seller is maker]
    for _ in range(rng.randrange(6, 13)):
        buyer, listing, at = hour.shopper(), rng.choice(own), hour.moment(0.8)
        discount = hour.flavour.price(listing.price * hour.flavour.yen_a_minor_unit / 5)
        hour.buy_one(
            buyer, listing, at, story="flash_sale", discount=min(discount, listing.price // 2)
        )
        hour.thank(buyer, maker, at + timedelta(minutes=rng.uniform(2, 15)))


def _launch(hour: Hour) -> None:
    """A maker whom many know from elsewhere opens a shop, and the fans come within hours."""
    rng, flavour = hour.rng, hour.flavour
    maker = make_person(rng, flavour, hour.moment(0.5), is_seller=True)
    at = maker.created_at
    hour.rows += [account_row(maker), login_row(rng, maker, at + timedelta(minutes=1))]
    hour.rows.append(truth_row("account", maker.account_id, "good", "launch", "", at))
    opened = at + timedelta(minutes=rng.uniform(8, 25))
    shop = [make_listing(rng, flavour, maker, opened) for _ in range(rng.randrange(3, 7))]
    if rng.random() < 0.5:
        shop.append(make_kit(rng, flavour, maker, opened))
    hour.rows += [listing_row(listing) for listing in shop]
    url = own_page(flavour, maker)
    hello = rng.choice(flavour.profiles).format(url=url)
    hour.rows.append(post_row(rng, maker, "profile", hello, opened, urls=(url,)))
    share_of_new = rng.uniform(0.2, 0.75)
    for _ in range(rng.randrange(5, 14)):
        _fan_orders(hour, shop, is_new=rng.random() < share_of_new)


def _fan_orders(hour: Hour, shop: list[Listing], *, is_new: bool) -> None:
    rng = hour.rng
    at = shop[0].created_at + timedelta(minutes=rng.triangular(12, 420, 60))
    fan = hour.somebody()
    if is_new:
        fan = make_person(rng, hour.flavour, at - timedelta(minutes=rng.uniform(3, 10)))
        hour.rows.append(account_row(fan))
        hour.rows.append(follow_row(rng, fan, shop[0].seller, at - timedelta(minutes=1)))
    hour.buy_one(fan, rng.choice(shop), at, story="launch")


def _outage(hour: Hour) -> None:
    """The payment provider fails for some minutes: declines everywhere, and nobody tests cards."""
    rng = hour.rng
    begin = hour.moment(0.7)
    for _ in range(rng.randrange(6, 12)):
        buyer, listing = hour.shopper(), rng.choice(hour.listings)
        at = begin + timedelta(minutes=rng.uniform(0, 9))
        tried = Purchase(
            order_id="",
            buyer=buyer,
            listings=(listing,),
            ordered_at=at,
            method="card",
            course=make_course(rng, "card", at),
            card=buyer.cards[0],
        )
        hour.rows.append(attempt_row(rng, tried, buyer.cards[0], at, declined=OUTAGE))
        if rng.random() < 0.6:
            again = begin + timedelta(minutes=rng.uniform(12, 40))
            hour.buy_one(buyer, listing, again, story="outage")


NEAR_MISSES: tuple[tuple[float, Callable[[Hour], None]], ...] = (
    (0.25, _family_shops),
    (0.06, _household_shops),
    (0.1, _gifts),
    (0.2, _office_orders),
    (0.012, _relative_buys),
    (0.06, _follow_makers),
    (0.04, _launch),
    (0.006, _outage),
)
"""How likely each is in an hour."""
