"""How a detection is: its runs are remembered, and the channel hears once what is wrong and once that it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.modes import about
from bot.cases.room import POSTS, Room
from bot.detections.detection import Detection
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.modes import Run, Trouble
from bot.domain.notices import Notice, NoticeKind
from bot.ledger import audit, modes, posts

FAILURES = 3
"""So many runs after each other must go wrong: one that does is a restart somewhere."""
COMPARED = 20
LEAST_COMPARED = 10
SLOW_MS = 1000
"""Nothing faster is slow, whatever was usual."""
SLOWER, FAST_AGAIN = 5.0, 2.5
LEAST_FOUND = 20
"""Who finds less in a week has no rhythm that could break."""
LEAST_SILENCE = timedelta(hours=24)
UNREACHABLE_S = 60.0
MISSED = 10.0
"""So many findings must be missing against the week before."""


async def note_run(room: Room, detection: Detection, run: Run, now: datetime) -> None:
    """Remember a run; say what has begun to be wrong, and what is not any more.

    Args:
        now: the market's time of the run.
    """
    async with room.engine.begin() as conn:
        run_id = await modes.insert_run(conn, detection.name, run, market_at=now)
        seat = _Seat(room=room, detection=detection, run_id=run_id)
        known = (await modes.read_troubles(conn, detection.name)).get(detection.name, {})
        runs = await modes.read_runs(conn, detection.name, FAILURES + COMPARED)
        entries = [
            *await _judge_failures(conn, seat, runs, known),
            *await _judge_pace(conn, seat, runs, known),
        ]
        if run.error is None:
            entries += await _note_reached(conn, room, detection, run_id)
            entries += await _judge_silence(conn, seat, run, now, known)
        if entries:
            await audit.append(conn, entries)
    if entries:
        room.bell.ring(POSTS)


async def note_unreachable(room: Room, detection: Detection, error: str) -> None:
    """Remember that what a detection reads does not answer: told once for all detections, after a minute of it."""
    async with room.engine.begin() as conn:
        name = unreachable_name(detection)
        run_id = await modes.insert_run(
            conn, name, Run(took_ms=0, error=error), market_at=room.clock.now()
        )
        entries = []
        if await modes.failing_since(conn, name) >= UNREACHABLE_S and await modes.begin_trouble(
            conn, name, Trouble.FAILING
        ):
            entries = await _tell_reach(conn, room, name, "unreachable", run_id)
            await audit.append(conn, entries)
    if entries:
        room.bell.ring(POSTS)


def unreachable_name(detection: Detection) -> str:
    """Under which its database stands among the runs; no detection is called so."""
    return f"source:{detection.source}"


async def _note_reached(
    conn: AsyncConnection, room: Room, detection: Detection, run_id: int
) -> list[AuditEntry]:
    name = unreachable_name(detection)
    if not await modes.forget_runs(conn, name):
        return []
    if not await modes.end_trouble(conn, name, Trouble.FAILING):
        return []
    return await _tell_reach(conn, room, name, "unreachable_over", run_id)


async def _tell_reach(
    conn: AsyncConnection, room: Room, name: str, what: str, run_id: int
) -> list[AuditEntry]:
    await posts.queue_notice(
        conn,
        Notice(kind=NoticeKind.DETECTION, detail=what, by=name),
        channel=room.channel,
        dedupe_key=f"trouble:{name}:{what}:{run_id}",
    )
    over = what.endswith("_over")
    tag = AuditTag.TROUBLE_ENDED if over else AuditTag.TROUBLE_BEGAN
    return [AuditEntry(actor="system", tag=tag, details={"trouble": what, "of": name})]


Known = dict[Trouble, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """Which run of which detection is judged, and where."""

    room: Room
    detection: Detection
    run_id: int


async def _judge_failures(
    conn: AsyncConnection, seat: _Seat, runs: Sequence[Run], known: Known
) -> list[AuditEntry]:
    latest = runs[:FAILURES]
    if len(latest) == FAILURES and all(run.error is not None for run in latest):
        return await _begin(conn, seat, Trouble.FAILING)
    if latest[0].error is None and Trouble.FAILING in known:
        return await _end(conn, seat, Trouble.FAILING)
    return []


async def _judge_pace(
    conn: AsyncConnection, seat: _Seat, runs: Sequence[Run], known: Known
) -> list[AuditEntry]:
    """Against what was usual before the latest runs; a run that failed has no pace."""
    good = [run.took_ms for run in runs if run.error is None]
    if not good:
        return []
    if (usual := known.get(Trouble.SLOW)) is not None:
        if runs[0].error is None and good[0] <= max(SLOW_MS, FAST_AGAIN * usual):
            return await _end(conn, seat, Trouble.SLOW)
        return []
    latest, before = good[:FAILURES], good[FAILURES:]
    if len(before) < LEAST_COMPARED:
        return []
    usual = median(before)
    if all(took > max(SLOW_MS, SLOWER * usual) for took in latest):
        return await _begin(conn, seat, Trouble.SLOW, usual)
    return []


async def _judge_silence(
    conn: AsyncConnection, seat: _Seat, run: Run, now: datetime, known: Known
) -> list[AuditEntry]:
    if run.fresh:
        if Trouble.SILENT in known:
            return await _end(conn, seat, Trouble.SILENT)
        return []
    if Trouble.SILENT in known:
        return []
    quiet = await modes.read_quiet(conn, seat.detection.name)
    if quiet.last_at is None or quiet.before < LEAST_FOUND:
        return []
    silence = now - quiet.last_at
    a_day = quiet.before / 7
    if silence < LEAST_SILENCE or a_day * (silence / timedelta(days=1)) < MISSED:
        return []
    return await _begin(conn, seat, Trouble.SILENT, a_day)


async def _begin(
    conn: AsyncConnection, seat: _Seat, trouble: Trouble, usual: float | None = None
) -> list[AuditEntry]:
    if not await modes.begin_trouble(conn, seat.detection.name, trouble, usual):
        return []
    return await _tell(conn, seat, trouble.value, AuditTag.TROUBLE_BEGAN, usual)


async def _end(conn: AsyncConnection, seat: _Seat, trouble: Trouble) -> list[AuditEntry]:
    if not await modes.end_trouble(conn, seat.detection.name, trouble):
        return []
    return await _tell(conn, seat, f"{trouble.value}_over", AuditTag.TROUBLE_ENDED, None)


async def _tell(
    conn: AsyncConnection, seat: _Seat, what: str, tag: AuditTag, usual: float | None
) -> list[AuditEntry]:
    await posts.queue_notice(
        conn,
        about(seat.detection, what, count=round(usual or 0)),
        channel=seat.room.channel,
        # Whoever began or ended the trouble does it once; the run is the one that showed it.
        dedupe_key=f"trouble:{seat.detection.name}:{what}:{seat.run_id}",
    )
    return [
        AuditEntry(actor=f"detection:{seat.detection.name}", tag=tag, details={"trouble": what})
    ]
