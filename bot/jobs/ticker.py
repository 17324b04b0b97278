"""The ticker: runs each job when its tick is due, once however many processes there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.exc import SQLAlchemyError

from bot.cases.room import Room
from bot.domain.errors import SayableError
from bot.domain.tracing import traced
from bot.ledger import claims, ticks
from bot.ledger.claims import Claim

logger = logging.getLogger(__name__)

LEASE_S = 120.0
POLL_S = 0.25
PARALLEL = 4
DRAIN_S = 14.0
"""How long jobs under way may take when we are stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What a job gets: how far the last good run looked, by the market's clock."""

    name: str
    watermark: datetime | None


Job = Callable[[Tick], Awaitable[datetime | None]]
"""Returns the new watermark, or None for a job that needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job and its interval in seconds."""

    every_s: float
    job: Job


class Ticker:
    """APScheduler is only the timer; a tick is claimed in the ledger, by the database's clock."""

    def __init__(self, room: Room, schedules: Mapping[str, Schedule]) -> None:
        self._room = room
        self._schedules = dict(schedules)
        self._declared: dict[str, float] = {}
        self._owner = f"ticker-{uuid4().hex}"
        self._running: set[asyncio.Task[None]] = set()
        self._polling = asyncio.Lock()

    def replace(self, schedules: Mapping[str, Schedule]) -> None:
        """Take over a new set of jobs, as when a detection file was added."""
        self._schedules = dict(schedules)

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until stopped, then let running jobs finish."""
        scheduler = AsyncIOScheduler()
        scheduler.add_job(
            self._poll,
            "interval",
            seconds=POLL_S,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        scheduler.start()
        try:
            await stop.wait()
        finally:
            # A poll under way is let finish: cancelled inside its transaction it could leave a claim.
            scheduler.remove_all_jobs()
            async with self._polling:
                scheduler.shutdown(wait=False)
            if self._running:
                await asyncio.wait(self._running, timeout=DRAIN_S)

    async def _poll(self) -> None:
        try:
            async with self._polling:
                claimed = await self._claim()
        except (SQLAlchemyError, OSError) as error:
            logger.warning("the ticker cannot reach the ledger: %s", type(error).__name__)
            return
        for claim in claimed:
            task = asyncio.create_task(self._tick(claim))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _claim(self) -> list[Claim]:
        free = PARALLEL - len(self._running)
        if free <= 0:
            return []
        async with self._room.engine.begin() as conn:
            wanted = {name: schedule.every_s for name, schedule in self._schedules.items()}
            if wanted != self._declared:
                await ticks.declare_ticks(conn, wanted)
                self._declared = wanted
            return list(
                await claims.claim(
                    conn,
                    claims.TICKS,
                    owner=self._owner,
                    lease_s=LEASE_S,
                    limit=free,
                    also="name = ANY(:names)",
                    params={"names": list(wanted)},
                )
            )

    async def _tick(self, claim: Claim) -> None:
        schedule = self._schedules.get(claim.key)
        if schedule is None:
            return
        watermark, error = None, None
        try:
            watermark = await schedule.job(Tick(name=claim.key, watermark=claim.row["watermark"]))
        except SayableError as fault:
            error = str(fault)
            logger.warning("%s: %s", claim.key, error)
        except Exception as fault:  # noqa: BLE001
            # One job's fault must not stop the others; it is tried again at its next tick.
            error = type(fault).__name__
            logger.error("%s failed: %s", claim.key, traced(fault))  # noqa: TRY400  # never its text
        try:
            async with self._room.engine.begin() as conn:
                await ticks.note_run(conn, claim.key, watermark=watermark, error=error)
                await claims.finish(conn, claims.TICKS, claim, due_in_s=schedule.every_s)
                if claim.key not in self._schedules:
                    # Its file went while it ran.
                    await ticks.retire_detections(conn, self._schedules)
        except (SQLAlchemyError, OSError) as fault:
            logger.warning("%s could not write back: %s", claim.key, type(fault).__name__)
