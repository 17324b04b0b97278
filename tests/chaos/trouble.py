"""Everything that goes wrong, by seed and by progress: kills, cuts, restarts of Postgres, faults of Slack."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bot.playground.workspace.faults import FaultKind
from bot.playground.workspace.workspace import Workspace
from tests.chaos.bot_process import POINTS
from tests.chaos.bots import BotProcess
from tests.chaos.cutter import Cut, Cutter
from tests.chaos.postgres import ChaosPostgres
from tests.chaos.town import seeded

PATIENCE_S = 8.0
"""So long is waited for a named point or a COMMIT; then another thing is done at once."""
AWAKE_S = 60.0
TICK_S = 0.25
SLACK_METHODS = (
    "chat.postMessage",
    "chat.update",
    "chat.postEphemeral",
    "views.open",
    "views.update",
    "conversations.history",
    "conversations.replies",
    "usergroups.users.list",
    "users.info",
)
SLACK_KINDS = (
    FaultKind.SERVER_ERROR,
    FaultKind.UNAVAILABLE,
    FaultKind.TIMEOUT,
    FaultKind.RATELIMITED,
    FaultKind.DROPPED,
)


@dataclass(kw_only=True)
class Trouble:
    """Spread over the run: the n-th of N things goes wrong when n/N of the work is done."""

    bots: Sequence[BotProcess]
    cutters: Sequence[Cutter]
    postgres: ChaosPostgres
    workspace: Workspace
    progress: Callable[[], float]
    seed: int
    kills: int
    cuts: int
    restarts: int | None
    """How often Postgres is restarted; None: every 5 to 40 seconds, as long as the run lasts."""
    random_kills: int = 0

    @property
    def kills_done(self) -> int:
        return sum(bot.kills for bot in self.bots)

    @property
    def cuts_done(self) -> int:
        return sum(len(cutter.made) for cutter in self.cutters)

    @property
    def all_done(self) -> bool:
        wanted = self.restarts or 0
        return (
            self.kills_done >= self.kills
            and self.cuts_done >= self.cuts
            and self.postgres.restarts >= wanted
        )

    async def make(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kill(stop, seeded(self.seed, "kills")))
            group.create_task(self._cut(stop, seeded(self.seed, "cuts")))
            group.create_task(self._restart(stop, seeded(self.seed, "postgres")))
            group.create_task(self._deploy(stop, seeded(self.seed, "deploys")))
            group.create_task(self._bother_slack(stop, seeded(self.seed, "slack")))

    async def _kill(self, stop: asyncio.Event, chance: random.Random) -> None:
        while not stop.is_set() and self.kills_done < self.kills:
            if not self._due(self.kills_done, self.kills):
                await asyncio.sleep(TICK_S)
                continue
            before = self.kills_done
            bot = chance.choice(self.bots)
            if chance.random() < 0.7:
                bot.arm(chance.choice(sorted(POINTS)), chance.choice(["before", "after"]))
                await self._until(stop, partial(self._killed_since, before))
            if self.kills_done == before and bot.alive:
                bot.kill()
                self.random_kills += 1
                await self._until(stop, partial(self._killed_since, before))
            await asyncio.sleep(chance.uniform(0.2, 1.5))

    async def _cut(self, stop: asyncio.Event, chance: random.Random) -> None:
        while not stop.is_set() and self.cuts_done < self.cuts:
            if not self._due(self.cuts_done, self.cuts):
                await asyncio.sleep(TICK_S)
                continue
            before = self.cuts_done
            cutter = chance.choice(self.cutters)
            # Seven of ten exactly at COMMIT, before it or after.
            cutter.arm(chance.choices(list(Cut), [3, 4, 3])[0])
            await self._until(stop, partial(self._cut_since, before))
            cutter.armed = None
            await asyncio.sleep(chance.uniform(0.1, 0.6))

    async def _restart(self, stop: asyncio.Event, chance: random.Random) -> None:
        while not stop.is_set():
            if self.restarts is None:
                await self._sleep(stop, chance.uniform(5, 40))
            elif self.postgres.restarts >= self.restarts:
                return
            elif self.progress() < (self.postgres.restarts + 1) / (self.restarts + 1):
                await asyncio.sleep(TICK_S)
                continue
            await self._until_somebody_works()
            if not stop.is_set():
                await self.postgres.restart(down_s=chance.uniform(0.1, 1.5))

    async def _until_somebody_works(self) -> None:
        """On a machine so slow that no bot comes up between two restarts there would be nothing to see."""
        for bot in self.bots:
            if await bot.until_ready(AWAKE_S / len(self.bots)):
                return

    async def _deploy(self, stop: asyncio.Event, chance: random.Random) -> None:
        while not stop.is_set():
            await self._sleep(stop, chance.uniform(15, 45))
            if not stop.is_set():
                await chance.choice(self.bots).deploy()

    async def _bother_slack(self, stop: asyncio.Event, chance: random.Random) -> None:
        while not stop.is_set():
            await self._sleep(stop, chance.uniform(0.3, 2.5))
            kind, after = chance.choice(SLACK_KINDS), chance.random() < 0.5
            self.workspace.fail(
                chance.choice(SLACK_METHODS),
                kind,
                # Slack's 429 means that it has not looked at the call.
                after=after and kind is not FaultKind.RATELIMITED,
                times=chance.randint(1, 3),
            )

    def _killed_since(self, before: int) -> bool:
        return self.kills_done > before

    def _cut_since(self, before: int) -> bool:
        return self.cuts_done > before

    def _due(self, done: int, wanted: int) -> bool:
        return self.progress() >= done / wanted

    async def _until(self, stop: asyncio.Event, holds: Callable[[], bool]) -> None:
        waited = 0.0
        while waited < PATIENCE_S and not holds() and not stop.is_set():
            await asyncio.sleep(0.05)
            waited += 0.05

    async def _sleep(self, stop: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            return
