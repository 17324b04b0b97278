"""The demo's own source: ordinary shoppers of a handmade marketplace, and fraudsters who look what became of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from bot.playground.market.campaigns.book import CampaignBook
from bot.playground.market.campaigns.campaign import Planned
from bot.playground.market.campaigns.parameters import LONGEST_BEFORE, draw_temper
from bot.playground.market.campaigns.planning import plan_hour
from bot.playground.market.campaigns.rounds import World
from bot.playground.market.flavours import DEFAULT, Flavour
from bot.playground.market.player_feed import add_play_columns
from bot.playground.market.shoppers_near_misses import write_near_misses
from bot.playground.market.shoppers_people import Person, Population, make_person, make_population
from bot.playground.market.shoppers_rows import (
    Fed,
    Listing,
    account_row,
    listing_row,
    make_kit,
    make_listing,
    post_row,
)
from bot.playground.market.shoppers_traffic import Hour, how_busy, own_page

HISTORY = timedelta(days=3)
"""How much past there is when the demo starts."""
HOUR = timedelta(hours=1)
NEWCOMERS_AN_HOUR = 1.5
NEW_FOR_HOURS = 24
SELLS_A_KIT = 0.2
INTRODUCES_ITSELF = 0.4
_KEPT_HOURS = 512

_ADVANCE_SUPPLY = "UPDATE playground.play SET supplied_until = $1"
_READ_SUPPLY = "SELECT started_at, supplied_until FROM playground.play"


class Shoppers:
    """What honest people do, hour by hour, and who will come to cheat: the same for the same seed and start."""

    def __init__(self, seed: int, start: datetime, flavour: Flavour = DEFAULT) -> None:
        self._seed = seed
        self._start = start
        self._flavour = flavour
        self._plan = lru_cache(maxsize=_KEPT_HOURS)(self._plan_hour)
        self._newcomers = lru_cache(maxsize=_KEPT_HOURS)(self._make_newcomers)

    @cached_property
    def population(self) -> Population:
        return make_population(self._seed, self._flavour, self._start - HISTORY)

    @cached_property
    def listings(self) -> tuple[Listing, ...]:
        """What the makers offer."""
        rng = self._dice("listings")
        listings = []
        for maker in (*self.population.makers, self.population.office[0]):
            for _ in range(rng.randrange(3, 9)):
                opened = maker.created_at + timedelta(days=rng.uniform(0.1, 9))
                listings.append(make_listing(rng, self._flavour, maker, opened))
            if rng.random() < SELLS_A_KIT:
                opened = maker.created_at + timedelta(days=rng.uniform(0.1, 9))
                listings.append(make_kit(rng, self._flavour, maker, opened))
        return tuple(listings)

    def write_past(self) -> list[Fed]:
        """The people and listings from before, who need no hour of their own."""
        people = [account_row(person) for person in self.population.everybody]
        return [*people, *map(listing_row, self.listings), *self._introductions()]

    def _introductions(self) -> Iterable[Fed]:
        """The makers' own words about themselves, some with a link to a page of theirs."""
        rng = self._dice("introductions")
        for maker in self.population.makers:
            if rng.random() < INTRODUCES_ITSELF:
                url = own_page(self._flavour, maker)
                words = rng.choice(self._flavour.profiles).format(url=url)
                at = maker.created_at + timedelta(hours=rng.uniform(1, 48))
                yield post_row(rng, maker, "profile", words, at, urls=(url,))

    def write_hour(self, hour: int) -> list[Fed]:
        """What begins in one hour, counted from the start of the play; rows may lie later, never earlier."""
        begin = self._start + hour * HOUR
        # Those of this very hour come back later: nobody may act before signing up.
        recent = [
            person
            for ago in range(1, NEW_FOR_HOURS)
            if hour - ago >= self.first_hour
            for person in self._newcomers(hour - ago)
        ]
        rows = [account_row(person) for person in self._newcomers(hour)]
        shopping = Hour(
            self._dice(f"hour {hour}"),
            hour,
            begin,
            self.population,
            self.listings,
            tuple(recent),
        )
        shopping.write()
        write_near_misses(shopping)
        return rows + shopping.rows

    @property
    def first_hour(self) -> int:
        return -(HISTORY // HOUR)

    @cached_property
    def world(self) -> World:
        """What the fraudsters work in."""
        return World(
            seed=self._seed,
            temper=draw_temper(self._seed),
            population=self.population,
            listings=self.listings,
        )

    def plan_births(self, hour: int) -> list[Planned]:
        """The campaigns whose first account is made in this hour, for acts now or later."""
        begin = self._start + hour * HOUR
        return [
            planned
            for later in range(LONGEST_BEFORE + 2)
            for planned in self._plan(hour + later)
            if begin <= planned.born_at < begin + HOUR
        ]

    def _plan_hour(self, hour: int) -> tuple[Planned, ...]:
        return plan_hour(self.world, self._start, hour)

    def _make_newcomers(self, hour: int) -> tuple[Person, ...]:
        rng = self._dice(f"newcomers {hour}")
        begin = self._start + hour * HOUR
        mean = NEWCOMERS_AN_HOUR * how_busy(begin, self._flavour)
        count = int(mean) + (rng.random() < mean % 1)
        return tuple(
            make_person(rng, self._flavour, begin + rng.random() * HOUR) for _ in range(count)
        )

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")  # noqa: S311 (a repeatable story, no secret)


class ShoppersSource:
    """Feeds the shoppers to a player, an hour ahead of its clock."""

    def __init__(self, seed: int, start: datetime, flavour: Flavour = DEFAULT) -> None:
        self._seed = seed
        self._start = start
        self._flavour = flavour
        self._shoppers: Shoppers | None = None
        self._book: CampaignBook | None = None

    @property
    def key(self) -> str:
        # Not the key of a play whose fraudsters never adapted: its database lacks what they need.
        return f"shoppers and campaigns {self._flavour.name} {self._seed}"

    @property
    def title(self) -> str:
        return f"the built-in shoppers of {self._flavour.name}, seed {self._seed}"

    async def begin(self, connection: Any) -> datetime:
        await add_play_columns(connection)
        await insert_rows(connection, Shoppers(self._seed, self._start, self._flavour).write_past())
        return self._start

    async def supply(self, connection: Any, until: datetime) -> None:
        """Write the hours up to one after `until`: a row may lie a little before its own hour."""
        started_at, supplied_until = await connection.fetchrow(_READ_SUPPLY)
        if self._shoppers is None or self._book is None:
            self._shoppers = Shoppers(self._seed, started_at, self._flavour)
            self._book = CampaignBook(self._shoppers.world, insert_rows)
        hour = (
            self._shoppers.first_hour
            if supplied_until is None
            else (supplied_until - started_at) // HOUR
        )
        while started_at + (hour - 1) * HOUR <= until:
            await insert_rows(connection, self._shoppers.write_hour(hour))
            await self._book.enter(connection, self._shoppers.plan_births(hour))
            hour += 1
            await connection.execute(_ADVANCE_SUPPLY, started_at + hour * HOUR)
        await self._book.wake(connection, until)

    async def find_end(self, connection: Any) -> datetime | None:  # noqa: ARG002 (the protocol's)
        """They never stop."""
        return None


async def insert_rows(connection: Any, rows: Iterable[Fed]) -> None:
    """Into the feed; the truth goes where only the playground looks."""
    by_relation: dict[str, list[Fed]] = {}
    for row in rows:
        by_relation.setdefault(row.relation, []).append(row)
    for relation, group in by_relation.items():
        columns = list(group[0].values)
        await connection.copy_records_to_table(
            relation,
            schema_name="playground" if relation == "truth" else "feed",
            columns=columns,
            records=[[row.values[column] for column in columns] for row in group],
        )
