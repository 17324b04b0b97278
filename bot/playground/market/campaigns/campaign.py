"""One fraudster's campaign as a pure story: wave after wave, each written from what became of those before."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.playground.market.campaigns import (
    card_testing,
    follow_phishing,
    refund_abuse,
    returning,
    self_dealing,
    stolen_cards,
)
from bot.playground.market.campaigns.parameters import (
    LEVELS,
    ROUNDS,
    Kind,
    Level,
)
from bot.playground.market.campaigns.rounds import Round, World
from bot.playground.market.campaigns.wave import Wave
from bot.playground.market.shoppers_rows import Fed

WRITERS: Mapping[Kind, Callable[[Wave], None]] = {
    Kind.SELF_DEALING: self_dealing.write,
    Kind.CARD_TESTING: card_testing.write,
    Kind.FOLLOW_PHISHING: follow_phishing.write,
    Kind.REFUND_ABUSE: refund_abuse.write,
    Kind.STOLEN_CARDS: stolen_cards.write,
    Kind.RETURNING: returning.write,
}
GAVE_UP = "gave_up"
HAD_ENOUGH = "had_enough"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """That a fraudster will come, before anything is known of what becomes of it."""

    no: str
    kind: Kind
    story: str
    """The first way to work."""
    born_at: datetime
    """When the first account is made."""
    first_act_at: datetime


class Campaign:
    """Where a campaign stands after some outcomes; the same outcomes lead to the same rows."""

    def __init__(self, world: World, planned: Planned) -> None:
        self._world = world
        self._planned = planned
        self._level, way = find_way(planned.kind, planned.story)
        self._waves = 0
        self._of_round = 0
        self.ended: str | None = None
        lead = self._dice("lead").uniform(0.4, 1.0) if planned.kind is Kind.RETURNING else 0.0
        opens_at = planned.born_at + lead * (planned.first_act_at - planned.born_at) * 0.9
        self.round = self._open_round(way, 1, opens_at, planned.first_act_at, None)
        self.wave = self._write(planned.born_at, planned.first_act_at)

    @property
    def looks_at(self) -> datetime:
        """When the fraudster looks at what became of the last wave."""
        waits = self.round.level.pace.looks_after.draw(self._dice(f"look {self._waves}"))
        return self.wave.ends_at + self._hours(waits)

    def grant_claims(self, stopped: frozenset[str]) -> list[Fed]:
        """What support pays, at that look, but to accounts and for orders that somebody stopped."""
        return [
            refund_abuse.grant(self.wave, purchase, self.looks_at)
            for purchase, is_granted in self.wave.claims
            if is_granted and not stopped & {purchase.order_id, purchase.buyer.account_id}
        ]

    def go_on(self, *, was_caught: bool) -> None:
        """After that look: the next wave, or the end."""
        now = self.looks_at
        if was_caught:
            self._come_back(now)
        elif self._of_round >= self.round.waves and not self.wave.bought:
            self.ended = HAD_ENOUGH
        else:
            rests = self.round.level.pace.rests.draw(self._dice(f"rest {self._waves}"))
            self.wave = self._write(now, now + self._hours(rests))

    def _come_back(self, now: datetime) -> None:
        """New accounts, another way to work."""
        if self.round.number == ROUNDS:
            self.ended = GAVE_UP
            return
        number = self.round.number + 1
        rng = self._dice(f"return {number}")
        ways = LEVELS[self._planned.kind]
        self._level = min(self._level + 1, len(ways) - 1)
        way = rng.choices(ways[self._level], [way.chance for way in ways[self._level]])[0]
        opens_at = now + self._hours(self.round.level.pace.lies_low.draw(rng))
        starts_at = opens_at + timedelta(hours=way.pace.lead.draw(rng))
        self.round = self._open_round(way, number, opens_at, starts_at, self.round)
        self._of_round = 0
        self.wave = self._write(now, starts_at)

    def _open_round(
        self, way: Level, number: int, opens_at: datetime, starts_at: datetime, before: Round | None
    ) -> Round:
        return Round(
            self._world,
            self._dice(f"round {number}"),
            number=number,
            level=way,
            opened_at=opens_at,
            starts_at=starts_at,
            before=before,
        )

    def _write(self, since: datetime, start: datetime) -> Wave:
        wave = Wave(
            self._dice(f"wave {self._waves}"),
            campaign_no=self._planned.no,
            kind=self._planned.kind,
            round_=self.round,
            is_first=self._of_round == 0,
            since=since,
            start=start,
            before=self.wave if self._of_round else None,
        )
        WRITERS[self._planned.kind](wave)
        self._waves += 1
        self._of_round += 1
        return wave

    def _hours(self, hours: float) -> timedelta:
        return timedelta(hours=hours / self._world.temper.haste)

    def _dice(self, what: str) -> random.Random:
        return self._world.dice(f"campaign {self._planned.no} {what}")


def find_way(kind: Kind, story: str) -> tuple[int, Level]:
    """A kind's way to work by its name, and its level, from 0."""
    return next(
        (level, way)
        for level, ways in enumerate(LEVELS[kind])
        for way in ways
        if way.story == story
    )
