"""How far detections are trusted: baselines, control samples, floods, changed files, runs that go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.cases.health import (
    FAILURES,
    LEAST_COMPARED,
    UNREACHABLE_S,
    note_run,
    note_unreachable,
    unreachable_name,
)
from bot.cases.modes import is_control, sort_findings
from bot.cases.opening import Opened, open_findings
from bot.cases.policy import Automatic
from bot.cases.room import Room
from bot.detections.detection import Detection
from bot.detections.loading import load_detection
from bot.domain.findings import Finding, Mode
from bot.domain.modes import Cause, Run
from bot.ledger import audit, modes
from bot.ledger.engine import create_engine
from bot.ledger.findings import insert_findings
from tests.cases.stage import a_finding, an_order, some_facts
from tests.cases.test_reminding import tags, under
from tests.detections.heads import write_detection

DAY = timedelta(days=1)


def a_detection(folder: Path, *changes: tuple[str, str], name: str = "large_order") -> Detection:
    detection = load_detection(write_detection(folder, *changes))
    assert isinstance(detection, Detection), detection
    return replace(detection, name=name)


def findings(room: Room, detection: Detection, *orders: str, **changes: Any) -> list[Finding]:
    """One a given order, each about its own account; new to the minute unless `at` says otherwise."""
    at: datetime = changes.pop("at", room.clock.now())
    return [
        a_finding(
            order,
            at=at,
            detection=detection.name,
            detection_hash=detection.hash,
            mode=detection.mode,
            **changes,
        )
        for order in orders
    ]


async def run_of(
    room: Room,
    detection: Detection,
    found: Sequence[Finding],
    *,
    first: bool = False,
    now: datetime | None = None,
) -> Opened:
    """What a tick does with what it found."""
    now = now or room.clock.now()
    told = await sort_findings(room, detection, found, first=first, now=now)
    facts = {s: f for finding in told for s, f in some_facts(finding, room.clock.now()).items()}
    return await open_findings(room, told, facts)


async def modes_of(room: Room) -> dict[str, str]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(text("SELECT subject_id, mode FROM ledger.findings ORDER BY 1"))
        return {row.subject_id: row.mode for row in rows}


async def mode_of(room: Room, detection: Detection) -> tuple[Mode, Cause] | None:
    async with room.engine.connect() as conn:
        row = (await modes.read_modes(conn)).get(detection.name)
        return (row.mode, row.cause) if row else None


async def notices(room: Room) -> list[tuple[str, int]]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(
            text(
                """SELECT story FROM ledger.posts WHERE kind = 'notice'
                    AND story ->> 'kind' = 'detection' ORDER BY created_at"""
            )
        )
        return [(row.story["detail"], row.story["count"]) for row in rows]


async def count(room: Room, table: str) -> int:
    async with room.engine.connect() as conn:
        return int((await conn.execute(text(f"SELECT count(*) FROM ledger.{table}"))).scalar_one())


# ---- The first run


async def test_what_was_there_before_the_first_run_is_stored_and_opens_no_case(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    old = findings(room, detection, "O-1", "O-2", at=room.clock.now() - 2 * DAY)
    fresh = findings(room, detection, "O-3")
    await run_of(room, detection, [*old, *fresh], first=True)
    assert await modes_of(room) == {"O-1": "baseline", "O-2": "baseline", "O-3": "review"}
    assert await count(room, "cases") == 1
    assert await notices(room) == [("baseline", 2)]
    assert await tags(room, "detection:baseline:%") == ["detection:baseline:taken"]
    # Found again later it is known, and told no second time.
    await run_of(room, detection, [*old, *fresh])
    assert await count(room, "cases") == 1
    assert len(await notices(room)) == 1


async def test_a_later_run_opens_a_case_however_old_its_finding_is(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    await run_of(room, detection, findings(room, detection, "O-1", at=room.clock.now() - 9 * DAY))
    assert await modes_of(room) == {"O-1": "review"}


async def test_a_head_may_say_how_much_is_baseline(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 50\nbaseline: 7d"))
    old = findings(room, detection, "O-1", at=room.clock.now() - 2 * DAY)
    await run_of(room, detection, old, first=True)
    assert await modes_of(room) == {"O-1": "review"}


# ---- The control sample


async def test_a_share_of_the_subjects_is_kept_silent_always_the_same(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 500\ncontrol_percent: 20"))
    orders = [f"O-{n}" for n in range(100)]
    silent = {o for o in orders if is_control(detection.name, an_order(o), 20)}
    assert 8 <= len(silent) <= 32
    await run_of(room, detection, findings(room, detection, *orders))
    stored = await modes_of(room)
    assert {order for order, mode in stored.items() if mode == "control"} == silent
    assert set(stored) == set(orders)
    assert await count(room, "cases") == 100 - len(silent)


def test_another_detection_keeps_other_subjects_silent() -> None:
    orders = [an_order(f"O-{n}") for n in range(200)]
    one, other = ({o.id for o in orders if is_control(name, o, 20)} for name in ("a", "b"))
    assert one != other
    assert not any(is_control("a", order, 0) for order in orders)


# ---- Floods


async def test_a_flood_shows_the_dearest_and_sends_its_detection_to_shadow_losing_nothing(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 3"))
    cheap = findings(room, detection, "O-1", "O-2", "O-3", "O-4", amount=100)
    dear = findings(room, detection, "O-8", "O-9", amount=90_000)
    await run_of(room, detection, [*cheap, *dear])
    stored = await modes_of(room)
    assert (stored["O-8"], stored["O-9"]) == ("review", "review")
    assert sorted(stored.values()) == ["review"] * 3 + ["shadow"] * 3
    assert await count(room, "cases") == 3
    assert await mode_of(room, detection) == (Mode.SHADOW, Cause.FLOOD)
    assert await notices(room) == [("flood", 6)]
    await run_of(room, detection, findings(room, detection, "O-10", amount=99_999))
    assert (await modes_of(room))["O-10"] == "shadow"
    assert await notices(room) == [("flood", 6)]
    assert await tags(room, "detection:mode:%") == ["detection:mode:lowered"]
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok


async def test_of_two_processes_that_see_the_same_flood_one_tells_it(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 3"))
    other = replace(room, engine=create_engine(room.engine.url.render_as_string(False)))
    found = findings(room, detection, *(f"O-{n}" for n in range(6)))
    try:
        # Both have read the mode before either lowers it.
        async with room.engine.begin() as conn:
            await modes.lock_modes(conn, detection.name)
            both = [asyncio.create_task(run_of(one, detection, found)) for one in (room, other)]
            await until_waiting(room, 2)
        await asyncio.gather(*both)
    finally:
        await other.engine.dispose()
    assert await notices(room) == [("flood", 6)]
    assert await count(room, "detection_modes") == 1
    assert sorted((await modes_of(room)).values()) == ["review"] * 3 + ["shadow"] * 3


async def until_waiting(room: Room, processes: int) -> None:
    """Wait until so many stand at a lock that we hold."""
    async with asyncio.timeout(20), room.engine.connect() as conn:
        while True:
            waiting = await conn.scalar(
                text(
                    """SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                        WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted"""
                )
            )
            if waiting == processes:
                return
            await asyncio.sleep(0.02)


async def test_a_flood_may_come_in_many_small_runs(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 3"))
    for n in range(3):
        await run_of(room, detection, findings(room, detection, f"O-{n}"))
    assert await mode_of(room, detection) is None
    await run_of(room, detection, findings(room, detection, "O-2", "O-3"))
    assert await mode_of(room, detection) == (Mode.SHADOW, Cause.FLOOD)
    assert await count(room, "cases") == 3


async def test_what_is_found_again_is_no_flood(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 3"))
    found = findings(room, detection, "O-1", "O-2", "O-3")
    for _ in range(3):
        await run_of(room, detection, found)
    assert await mode_of(room, detection) is None


async def test_many_times_more_than_in_any_day_before_is_a_flood_under_the_cap(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 5000"))
    for day in range(2, 8):
        found = findings(room, detection, *(f"O-{day}-{n}" for n in range(6)))
        async with room.engine.begin() as conn:
            await insert_findings(conn, found, room.clock.now() - day * DAY)
    many = findings(room, detection, *(f"N-{n}" for n in range(31)))
    await run_of(room, detection, many[:30])
    assert await mode_of(room, detection) is None
    await run_of(room, detection, many)
    assert await mode_of(room, detection) == (Mode.SHADOW, Cause.BAND)
    assert await notices(room) == [("band", 31)]


# ---- Holds of every detection, for a trial


async def test_where_the_policy_says_so_every_detection_in_review_holds_what_it_finds(
    room: Room, tmp_path: Path
) -> None:
    detection, shadow = a_detection(tmp_path), a_detection(tmp_path, name="another")
    shadow = replace(shadow, mode=Mode.SHADOW)
    rule = Automatic(caps={"JPY": 100_000}, count=9, every_detection=True)
    trial = under(room, automatic=rule)
    await run_of(trial, detection, findings(room, detection, "O-1"))
    await run_of(trial, shadow, findings(room, shadow, "O-2"))
    assert await modes_of(room) == {"O-1": "automatic", "O-2": "shadow"}
    async with room.engine.connect() as conn:
        rows = await conn.execute(text("SELECT verb, subject_id FROM ledger.operations"))
        assert [tuple(row) for row in rows] == [("hold", "O-1")]
    assert await mode_of(room, detection) is None
    await run_of(room, detection, findings(room, detection, "O-3"))
    assert (await modes_of(room))["O-3"] == "review"


# ---- Modes need two people


async def test_no_row_of_a_mode_is_approved_without_a_proposal(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path)
    with pytest.raises(DBAPIError, match="needs two people"):
        async with room.engine.begin() as conn:
            await modes.insert_mode(
                conn,
                detection.name,
                Mode.AUTOMATIC,
                file_hash=detection.hash,
                cause=Cause.APPROVED,
                market_at=room.clock.now(),
                proposed_by="U0ITO",
                approved_by="U0TANAKA",
            )
    assert await mode_of(room, detection) is None


# ---- Runs


async def runs(room: Room, detection: Detection, *told: Run, now: datetime | None = None) -> None:
    for run in told:
        await note_run(room, detection, run, now or room.clock.now())


async def test_a_detection_that_fails_says_so_once_and_once_that_it_recovered(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    failed, good = Run(took_ms=5, error="Postgres refused it"), Run(took_ms=5)
    await runs(room, detection, *[failed] * (FAILURES - 1), good)
    assert await notices(room) == []
    await runs(room, detection, *[failed] * (FAILURES + 4))
    assert await notices(room) == [("failing", 0)]
    await runs(room, detection, good, good)
    assert [what for what, _ in await notices(room)] == ["failing", "failing_over"]
    await runs(room, detection, *[failed] * FAILURES)
    assert [what for what, _ in await notices(room)] == ["failing", "failing_over", "failing"]
    assert await tags(room, "detection:trouble:%") == [
        "detection:trouble:began",
        "detection:trouble:ended",
        "detection:trouble:began",
    ]


async def test_a_detection_that_slows_down_says_so_against_its_own_past(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    await runs(room, detection, *[Run(took_ms=400)] * LEAST_COMPARED)
    await runs(room, detection, *[Run(took_ms=1900)] * 3)
    assert await notices(room) == []
    await runs(room, detection, *[Run(took_ms=400)] * LEAST_COMPARED)
    await runs(room, detection, Run(took_ms=9000), Run(took_ms=400), *[Run(took_ms=2100)] * 2)
    assert await notices(room) == []
    await runs(room, detection, *[Run(took_ms=2100)] * 30)
    assert await notices(room) == [("slow", 400)]
    await runs(room, detection, Run(took_ms=990))
    assert [what for what, _ in await notices(room)] == ["slow", "slow_over"]


async def test_a_detection_that_goes_silent_says_so_against_its_own_past(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 500"))
    found = findings(room, detection, *(f"O-{n}" for n in range(70)))
    await run_of(room, detection, found)
    now = room.clock.now()
    nothing = Run(took_ms=5)
    await runs(room, detection, nothing, now=now + timedelta(hours=23))
    assert await notices(room) == []
    await runs(room, detection, nothing, nothing, now=now + timedelta(hours=25))
    assert await notices(room) == [("silent", 10)]
    await runs(room, detection, Run(took_ms=5, rows=1, fresh=1), now=now + timedelta(hours=26))
    assert [what for what, _ in await notices(room)] == ["silent", "silent_over"]


async def test_a_silence_of_less_than_a_day_is_a_night(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 500"))
    await run_of(room, detection, findings(room, detection, *(f"O-{n}" for n in range(140))))
    await runs(room, detection, Run(took_ms=5), now=room.clock.now() + timedelta(hours=23))
    assert await notices(room) == []


async def test_a_detection_that_seldom_finds_anything_is_not_silent(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    await run_of(room, detection, findings(room, detection, *(f"O-{n}" for n in range(19))))
    await runs(room, detection, Run(took_ms=5), now=room.clock.now() + 30 * DAY)
    assert await notices(room) == []


async def failed_before(room: Room, detection: Detection, seconds: float) -> None:
    """As if its database had not answered so long ago either."""
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                """INSERT INTO ledger.detection_runs (detection, at, market_at, took_ms, error)
                   VALUES (:name, clock_timestamp() - make_interval(secs => :seconds), clock_timestamp(), 0, 'x')"""
            ),
            {"name": unreachable_name(detection), "seconds": seconds},
        )


async def test_a_database_that_does_not_answer_is_told_once_for_all_detections(
    room: Room, tmp_path: Path
) -> None:
    one, other = a_detection(tmp_path), a_detection(tmp_path, name="another")
    for detection in (one, other, one):
        await note_unreachable(room, detection, "does not answer")
    assert await notices(room) == []
    await failed_before(room, one, UNREACHABLE_S + 1)
    for detection in (one, other, one):
        await note_unreachable(room, detection, "does not answer")
    assert await notices(room) == [("unreachable", 0)]
    await runs(room, one, Run(took_ms=5))
    await runs(room, other, Run(took_ms=5))
    assert [what for what, _ in await notices(room)] == ["unreachable", "unreachable_over"]


async def test_a_database_that_answers_again_in_between_is_not_told(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    await failed_before(room, detection, 3600)
    await runs(room, detection, Run(took_ms=5))
    await note_unreachable(room, detection, "does not answer")
    assert await notices(room) == []


async def test_only_the_latest_runs_are_kept(room: Room, tmp_path: Path) -> None:
    one, other = a_detection(tmp_path), a_detection(tmp_path, name="another")
    async with room.engine.begin() as conn:
        for _ in range(modes.RUNS_KEPT + 5):
            await modes.insert_run(conn, one.name, Run(took_ms=1), market_at=room.clock.now())
        await modes.insert_run(conn, other.name, Run(took_ms=1), market_at=room.clock.now())
    assert await count(room, "detection_runs") == modes.RUNS_KEPT + 1
