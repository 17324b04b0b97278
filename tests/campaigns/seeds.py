"""Plays one seed from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml

from bot.cases.policy import DEFAULT_POLICY
from bot.playground.market.flavours import FLAVOURS
from bot.playground.postgres import embedded_postgres
from tests.campaigns.checks import find_faults
from tests.campaigns.figures import SeedFigures, read_figures
from tests.campaigns.people import Desk
from tests.campaigns.shop import a_shop
from tests.conftest import FAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be played, the same for every seed."""

    flavour: str
    hours: float
    settle_hours: float
    """Played on after `hours`: what is done in them counts only for what became of earlier acts."""
    step_minutes: float
    automatic: bool = False
    """Nobody is at work: every detection holds what it finds, and that is all."""
    folder: Path


def _holds_alone(path: Path) -> Path:
    """The policy of the bot itself with every detection in automatic, under caps that nothing reaches."""
    policy = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    policy["automatic"] = {
        "caps": {"JPY": 1_000_000_000, "EUR": 1_000_000_000},
        "count": 100_000,
        "precision": 0.95,
        "decided": 50,
        "days": 90,
        "every_detection": True,
    }
    # Nobody is at work to extend a hold.
    policy["hold_hours"] = 24 * 7
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return path


def play_alone(plan: Plan, seed: int) -> SeedFigures:
    """Play it in a process of its own."""
    return asyncio.run(play_seed(plan, seed))


async def play_seed(plan: Plan, seed: int) -> SeedFigures:
    """Play it, with two people who approve what they are shown, or with holds alone."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    step = timedelta(minutes=plan.step_minutes)
    async with (
        embedded_postgres(plan.folder, settings=FAST) as server,
        a_shop(
            server,
            seed=seed,
            flavour=FLAVOURS[plan.flavour],
            policy_file=_holds_alone(plan.folder / f"policy-{seed}.yml")
            if plan.automatic
            else None,
        ) as shop,
    ):
        desk = Desk(shop)
        since = shop.clock.now()
        acted_until = since + timedelta(hours=plan.hours)
        began = time.monotonic()
        while shop.clock.now() < acted_until + timedelta(hours=plan.settle_hours):
            await shop.pass_time(step)
            if plan.automatic:
                await shop.until_shown()
            else:
                await desk.work()
        await shop.until_shown()
        return await read_figures(
            shop,
            seed=seed,
            since=since,
            acted_until=acted_until,
            seconds=time.monotonic() - began,
            given_up=desk.given_up,
            refused=desk.refused,
            faults=await find_faults(shop),
        )
