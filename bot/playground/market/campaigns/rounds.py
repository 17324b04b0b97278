"""The accounts with which a fraudster comes once, what they have in common, and what is left of those before."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.playground.market.campaigns.parameters import (
    Level,
    Returning,
    SelfDealing,
    Span,
    Temper,
    Trait,
)
from bot.playground.market.flavours import Flavour
from bot.playground.market.shoppers_people import (
    Card,
    Person,
    Population,
    make_card,
    make_person,
)
from bot.playground.market.shoppers_rows import Listing, make_listing

SIGNS_UP_BEFORE = timedelta(hours=6)
HOSTILE_NAME = 0.12
HOSTILE_TITLE = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The honest marketplace of one seed, in which the fraudsters of that seed work."""

    seed: int
    temper: Temper
    population: Population
    listings: Sequence[Listing]

    @property
    def flavour(self) -> Flavour:
        return self.population.flavour

    def dice(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {what}")  # noqa: S311 (a repeatable story, no secret)

    def price(self, rng: random.Random, yen: Span) -> int:
        return self.flavour.price(yen.draw(rng) * self.temper.amounts)


class Round:
    """One appearance: `anchor` is the person as they give themselves out to be, a seller where there is a shop."""

    def __init__(
        self,
        world: World,
        rng: random.Random,
        *,
        number: int,
        level: Level,
        opened_at: datetime,
        starts_at: datetime,
        before: Round | None,
    ) -> None:
        self.world = world
        self._rng = rng
        self.number = number
        self.level = level
        self.opened_at = opened_at
        self.starts_at = starts_at
        self.waves = level.pace.waves.count(rng)
        self.has_shop = isinstance(level, SelfDealing | Returning)
        self._building = world.flavour.make_resident(rng)
        self._bin = make_card(rng).bin
        self.lure, self.url = world.flavour.make_lure(rng)
        self.anchor = self._make_anchor(before)
        self.shop = self._copy_listings() if isinstance(level, SelfDealing | Returning) else ()
        self.accounts = () if self.has_shop else self._make_accounts()

    def _make_anchor(self, before: Round | None) -> Person:
        flavour = self.world.flavour
        anchor = make_person(self._rng, flavour, self.opened_at, is_seller=self.has_shop)
        return anchor if before is None else join(anchor, before.anchor, self.level.keeps)

    def _copy_listings(self) -> tuple[Listing, ...]:
        """Others' works: the photo is theirs, cut a little; the title stays or is another."""
        level, rng, flavour = self.level, self._rng, self.world.flavour
        assert isinstance(level, SelfDealing | Returning)  # noqa: S101 (asked before)
        same_text = level.same_text if isinstance(level, SelfDealing) else 1.0
        opened = self.opened_at + (self.starts_at - self.opened_at) * rng.uniform(0.1, 0.6)
        copies = []
        for original in rng.sample(list(self.world.listings), level.copies.count(rng)):
            own = make_listing(rng, flavour, self.anchor, opened)
            title = original.title if rng.random() < same_text else own.title
            if rng.random() < HOSTILE_TITLE:
                title = rng.choice(flavour.hostile_titles)
            copies.append(
                replace(
                    own,
                    title=title,
                    description=flavour.description.format(title=title),
                    price=self.world.price(rng, level.yen),
                    image_hash=original.image_hash ^ (1 << rng.randrange(62)),
                )
            )
        return tuple(copies)

    def _make_accounts(self) -> tuple[Person, ...]:
        """Signed up one after the other, not long before they are used; the first has what was kept."""
        first_from = max(self.opened_at, self.starts_at - SIGNS_UP_BEFORE)
        last = self.starts_at - (self.starts_at - first_from) * 0.05
        times = sorted(
            first_from + (last - first_from) * self._rng.random()
            for _ in range(self.level.accounts.count(self._rng))
        )
        return tuple(
            self.make_account(
                self._rng, at, self.level.shares | (self.level.keeps if n == 0 else frozenset())
            )
            for n, at in enumerate(times)
        )

    def make_account(
        self, rng: random.Random, created_at: datetime, traits: Collection[Trait]
    ) -> Person:
        """Another account of the same person."""
        flavour = self.world.flavour
        person = join(make_person(rng, flavour, created_at), self.anchor, traits)
        if rng.random() < HOSTILE_NAME:
            person = replace(person, display_name=rng.choice(flavour.hostile_names))
        if Trait.SUBNET in traits:
            network = self.anchor.ip.rpartition(".")[0]
            person = replace(person, ip=f"{network}.{rng.randrange(1, 255)}")
        if Trait.BUILDING in traits:
            person = replace(
                person,
                postal_code=self._building.postal_code,
                address=f"{self._building.street} {rng.randrange(1, 9)}0{rng.randrange(1, 9)}",
            )
        return person

    def make_stolen_card(self, rng: random.Random) -> Card:
        card = make_card(rng)
        return replace(card, bin=self._bin) if Trait.BIN in self.level.shares else card


def join(person: Person, other: Person, traits: Collection[Trait]) -> Person:
    """The person with what they share with another account of theirs."""
    if Trait.DEVICE in traits:
        person = replace(person, device_id=other.device_id)
    if Trait.NETWORK in traits:
        person = replace(person, ip=other.ip)
    if Trait.DOOR in traits:
        person = replace(person, postal_code=other.postal_code, address=other.address)
    if Trait.PHONE in traits:
        person = replace(person, phone=other.phone)
    if Trait.CARD in traits:
        person = replace(person, cards=other.cards)
    if Trait.PAYOUT in traits and person.is_seller:
        person = replace(person, payout_account=other.payout_account)
    return person
