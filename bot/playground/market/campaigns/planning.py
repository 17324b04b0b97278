"""Which campaigns begin in an hour of the play, before anybody knows what will become of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.playground.market.campaigns.campaign import Planned, find_way
from bot.playground.market.campaigns.parameters import LEVELS, LONGEST_BEFORE, Kind, Returning
from bot.playground.market.campaigns.rounds import World
from bot.playground.market.shoppers_people import make_id

HOUR = timedelta(hours=1)
OPENED_UNTIL = 1
"""The hours before this one have no campaigns but those of the opening."""


def plan_hour(world: World, start: datetime, hour: int) -> tuple[Planned, ...]:
    """Those that act first in an hour, counted from the start of the play."""
    rng = world.dice(f"plan {hour}")
    temper = world.temper
    begins = [(kind, story, at) for kind, story, at in temper.opening if hour <= at < hour + 1]
    if hour >= OPENED_UNTIL:
        for _ in range(int(temper.births) + (rng.random() < temper.births % 1)):
            kind = rng.choices(list(temper.weights), list(temper.weights.values()))[0]
            level = int(rng.random() < temper.experienced)
            ways = LEVELS[kind][level]
            way = rng.choices(ways, [way.chance for way in ways])[0]
            begins.append((kind, way.story, hour + rng.random()))
    return tuple(
        _plan(world, kind, story, start + at * HOUR, f"{hour} {n}")
        for n, (kind, story, at) in enumerate(begins)
    )


def _plan(world: World, kind: Kind, story: str, first_act_at: datetime, which: str) -> Planned:
    rng = world.dice(f"campaign of hour {which}")
    _, way = find_way(kind, story)
    hours = way.pace.lead.draw(rng)
    if isinstance(way, Returning):
        hours += way.suspended_ago.draw(rng)
    return Planned(
        no=make_id(rng, "c"),
        kind=kind,
        story=story,
        born_at=first_act_at - min(hours, LONGEST_BEFORE) * HOUR,
        first_act_at=first_act_at,
    )
