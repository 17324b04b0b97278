"""Tells campaigns without a marketplace: what happened to each wave is chosen by the test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from bot.playground.market.campaigns.campaign import Campaign, Planned
from bot.playground.market.campaigns.parameters import Kind
from bot.playground.market.campaigns.rounds import World
from bot.playground.market.campaigns.wave import Wave
from bot.playground.market.flavours import DEFAULT, FLAVOURS
from bot.playground.market.shoppers import HOUR, Shoppers
from bot.playground.market.shoppers_rows import Fed

START = datetime(2024, 4, 1, 1, tzinfo=UTC)


@dataclass(kw_only=True)
class Told:
    """A campaign from its birth to its end, or as far as a test wants it."""

    planned: Planned
    waves: list[Wave] = field(default_factory=list)
    claims_granted: list[Fed] = field(default_factory=list)
    ended: str | None = None

    @property
    def rows(self) -> list[Fed]:
        return [row for wave in self.waves for row in wave.rows] + self.claims_granted

    def of(self, relation: str) -> list[dict[str, Any]]:
        return rows_of(self.rows, relation)

    def fraud(self, subject_kind: str) -> set[str]:
        return {
            row["subject_id"]
            for row in self.of("truth")
            if row["subject_kind"] == subject_kind and row["label"] == "fraud"
        }


def tell(world: World, planned: Planned, caught: Callable[[Campaign], bool]) -> Told:
    """Until the fraudster ends it; `caught` is what they see after each wave."""
    campaign = Campaign(world, planned)
    told = Told(planned=planned)
    while campaign.ended is None:
        told.waves.append(campaign.wave)
        was_caught = caught(campaign)
        if not was_caught:
            told.claims_granted += campaign.grant_claims(frozenset())
        campaign.go_on(was_caught=was_caught)
    told.ended = campaign.ended
    return told


def uncaught(shoppers: Shoppers, hour: int) -> list[Told]:
    """The campaigns that are born in an hour, where nobody stops anything."""
    return [
        tell(shoppers.world, planned, lambda _: False) for planned in shoppers.plan_births(hour)
    ]


@cache
def world_of(seed: int, flavour: str = DEFAULT.name) -> World:
    return Shoppers(seed, START, FLAVOURS[flavour]).world


def told_often(
    kind: Kind, story: str, *, flavour: str = DEFAULT.name, waves: int = 1, often: int = 12
) -> list[Told]:
    """The first waves of several campaigns that begin with a way to work, where nobody stops anything."""
    told = []
    for n in range(often):
        campaign = Campaign(world_of(1, flavour), plan(kind, story, no=f"c-{n}"))
        one = Told(planned=plan(kind, story, no=f"c-{n}"), waves=[campaign.wave])
        while len(one.waves) < waves:
            campaign.go_on(was_caught=False)
            if campaign.ended is not None:
                break
            one.waves.append(campaign.wave)
        told.append(one)
    return told


def plan(kind: Kind, story: str, *, no: str = "c-1", hours_before: float = 60) -> Planned:
    return Planned(
        no=no, kind=kind, story=story, born_at=START, first_act_at=START + hours_before * HOUR
    )


def rows_of(rows: Sequence[Fed], relation: str) -> list[dict[str, Any]]:
    return [dict(row.values) for row in rows if row.relation == relation]


def by(rows: Iterable[dict[str, Any]], column: str) -> dict[Any, list[dict[str, Any]]]:
    grouped: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row[column]].append(row)
    return grouped
