"""What becomes of Redash's rows, and what the channel hears when they stop coming, against a strict local Redash."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from bot.cases.policy import Automatic
from bot.cases.room import Room
from bot.detections.redash_map import read_redash_map
from bot.domain.clock import WallClock
from bot.domain.errors import SayableError
from bot.jobs.redash import RedashDesk, poll, work_events
from bot.jobs.redash_intake import EVENTS_JOB, POLL_JOB, Stored, store_webhook
from bot.jobs.ticker import Tick
from bot.ledger import ticks
from bot.market.reader import MarketReader
from bot.market.redash import RedashApi
from bot.playground.redash import QueryFailsError, Redash, serve_redash
from tests.cases.conftest import room
from tests.redash_stage import MAP, USER_KEY, a_row, write_map

__all__ = ["room"]

EVENTS = Tick(name=EVENTS_JOB, watermark=None)
POLL = Tick(name=POLL_JOB, watermark=None)


@dataclass(kw_only=True)
class Scene:
    """A ledger, a marketplace without rows, and a Redash with one alert on query 318."""

    room: Room
    desk: RedashDesk
    redash: Redash

    async def tell(self, body: bytes | dict[str, Any]) -> Stored:
        return await store_webhook(
            self.room, body if isinstance(body, bytes) else json.dumps(body).encode()
        )

    async def work(self) -> None:
        await work_events(self.room, self.desk, EVENTS)

    async def poll(self) -> None:
        await poll(self.room, self.desk, POLL)

    async def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        async with self.room.engine.connect() as conn:
            return [tuple(row) for row in await conn.execute(text(query))]

    async def notices(self) -> list[str]:
        found = await self.rows(
            """SELECT story ->> 'detail' FROM ledger.posts
                WHERE kind = 'notice' AND story ->> 'kind' = 'redash' ORDER BY created_at"""
        )
        return [one for (one,) in found]

    async def subjects(self) -> list[str]:
        found = await self.rows("SELECT subject_id FROM ledger.findings ORDER BY subject_id")
        return [one for (one,) in found]

    async def later(self, **by: float) -> None:
        """As if so much time had passed since Redash's results came."""
        async with self.room.engine.begin() as conn:
            await conn.execute(
                text(
                    "UPDATE ledger.redash_queries SET retrieved_at = retrieved_at - cast(:by AS interval)"
                ),
                {"by": timedelta(**by)},
            )


@pytest.fixture
async def scene(room: Room, tmp_path: Path, market_reader_dsn: str) -> AsyncIterator[Scene]:
    async with a_scene(room, market_reader_dsn, write_map(tmp_path)) as scene:
        yield scene


@asynccontextmanager
async def a_scene(
    room: Room, market_reader_dsn: str, path: Path, *, key: str | None = USER_KEY
) -> AsyncIterator[Scene]:
    redash = Redash(user_key=USER_KEY)
    redash.add_query(318, [], columns=tuple(a_row("O-0")))
    redash.add_alert(42, 318, column="cnt")
    async with serve_redash(redash) as url, aiohttp.ClientSession() as session:
        api = RedashApi(session, url, key, job_poll_s=0.01)
        queries = {one.query_id: one for one in read_redash_map(path)}
        async with room.engine.begin() as conn:
            await ticks.declare_ticks(conn, {EVENTS_JOB: 5, POLL_JOB: 60})
        yield Scene(
            room=replace(room, clock=WallClock()),
            desk=RedashDesk(api=api, queries=queries, reader=MarketReader(market_reader_dsn)),
            redash=redash,
        )


def payload(*, state: object = "triggered", query_id: int = 318, **changes: Any) -> dict[str, Any]:
    alert = {
        "id": 42,
        "name": "[P1] self-dealing orders",
        "options": {"column": "cnt", "op": ">", "value": 0, "muted": False},
        "state": state,
        "last_triggered_at": "2026-11-22T07:01:03.412Z",
        "rearm": None,
        "query_id": query_id,
        "user_id": 7,
        **changes,
    }
    return {"event": "alert_state_change", "alert": alert, "url_base": "https://redash.example.com"}


async def test_each_row_of_a_triggered_alert_is_a_finding_masked_and_in_its_case(
    scene: Scene,
) -> None:
    scene.redash.queries[318].run = lambda _: [a_row("O-1"), a_row("O-2", total=500)]
    await scene.redash.refresh(318)
    assert await scene.tell(payload()) is Stored.NEW
    await scene.work()
    found = await scene.rows(
        """SELECT subject_id, mode, amount, currency, body -> 'account_ids', case_id IS NOT NULL, body::text
             FROM ledger.findings ORDER BY subject_id"""
    )
    assert [row[:6] for row in found] == [
        ("O-1", "review", 12400, "JPY", ["buyer-O-1", "seller-O-1"], True),
        ("O-2", "review", 500, "JPY", ["buyer-O-2", "seller-O-2"], True),
    ]
    for row in found:
        assert "山田" not in row[6]
        assert '"value": 3' in row[6]
    ((state, outcome, via),) = await scene.rows(
        "SELECT state, outcome, via FROM ledger.redash_events"
    )
    assert (state, outcome, via) == ("done", "2 findings", "webhook")


async def test_a_mode_that_acts_by_itself_is_not_for_a_query_that_anybody_may_edit(
    scene: Scene,
) -> None:
    policy = scene.room.policy
    automatic = Automatic(caps={"JPY": 10**9}, count=50, every_detection=True)
    scene.room.adopt(replace(policy, file=policy.file.model_copy(update={"automatic": automatic})))
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.tell(payload())
    await scene.work()
    assert await scene.rows("SELECT mode FROM ledger.findings") == [("review",)]


async def test_an_alert_that_is_not_triggered_or_not_in_the_map_opens_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.tell(payload(state="ok"))
    await scene.tell(payload(state="unknown", last_triggered_at=None))
    await scene.tell(payload(query_id=7, id=43))
    await scene.work()
    outcomes = await scene.rows("SELECT outcome, state FROM ledger.redash_events ORDER BY event_id")
    assert outcomes == [
        ("not triggered", "done"),
        ("not triggered", "done"),
        ("not in the map", "done"),
    ]
    assert await scene.subjects() == []
    assert "query 7, which is not in REDASH_MAP" in caplog.text


async def test_the_same_change_is_stored_once_and_another_one_again(scene: Scene) -> None:
    assert await scene.tell(payload()) is Stored.NEW
    assert await scene.tell(payload(name="renamed", rearm=60)) is Stored.KNOWN
    assert await scene.tell(payload(state="ok")) is Stored.NEW
    assert await scene.tell(payload(id=43)) is Stored.NEW
    assert await scene.tell(payload(last_triggered_at="2026-11-22T08:01:03.412Z")) is Stored.NEW


async def test_a_body_that_nobody_understands_is_kept_and_redash_is_asked_at_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene.room.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.ticks SET due_at = 'infinity'"))
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"event":"alert_state_change"}'):
        assert await scene.tell(body) is Stored.UNREADABLE
    assert await scene.tell(payload(state=["triggered"])) is Stored.UNREADABLE
    assert await scene.tell(payload(id=2**70)) is Stored.UNREADABLE
    assert await scene.tell(payload(last_triggered_at="canary")) is Stored.UNREADABLE
    assert await scene.rows("SELECT count(*) FROM ledger.redash_events WHERE raw IS NOT NULL") == [
        (9,)
    ]
    due = await scene.rows(
        "SELECT name FROM ledger.ticks WHERE due_at <= clock_timestamp() ORDER BY name"
    )
    assert due == [(POLL_JOB,)]
    assert "canary" not in caplog.text
    await scene.work()


async def test_no_more_than_a_hundred_unreadable_bodies_are_kept(scene: Scene) -> None:
    for number in range(120):
        await scene.tell(f"garbage {number}".encode())
    assert await scene.rows(
        "SELECT count(*), min(convert_from(raw, 'UTF8')) FROM ledger.redash_events"
    ) == [(100, "garbage 100")]


async def test_what_redash_cannot_tell_now_is_tried_again(scene: Scene) -> None:
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.tell(payload())
    scene.redash.is_away = True
    await scene.work()
    ((state, outcome, waits),) = await scene.rows(
        """SELECT state, outcome, due_at >= received_at + interval '1 second' FROM ledger.redash_events"""
    )
    assert (state, waits) == ("queued", True)
    assert "Redash's answer is 502" in outcome
    scene.redash.is_away = False
    async with scene.room.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.redash_events SET due_at = clock_timestamp()"))
    await scene.work()
    assert await scene.subjects() == ["O-1"]


async def test_a_result_is_taken_once_however_often_it_is_told_of(scene: Scene) -> None:
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.poll()
    await scene.tell(payload())
    await scene.work()
    await scene.poll()
    assert await scene.subjects() == ["O-1"]
    runs = await scene.rows("SELECT rows, fresh FROM ledger.detection_runs")
    assert runs == [(1, 1)]


async def test_a_row_that_does_not_fit_is_told_by_its_column_and_the_others_go_on(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        a_row("O-2", ordered_at="canary-yesterday"),
        a_row("O-3", total="canary"),
        a_row("", cnt=1),
        a_row("O-4", ordered_at="canary-tomorrow"),
    ]
    scene.redash.queries[318].run = lambda _: [a_row("O-1"), *bad, a_row("O-5")]
    await scene.redash.refresh(318)
    await scene.poll()
    assert await scene.subjects() == ["O-1", "O-5"]
    ((counts,),) = await scene.rows(
        "SELECT story -> 'counts' FROM ledger.posts WHERE kind = 'notice'"
    )
    assert counts == [["no_time:ordered_at", 2], ["no_money:total", 1], ["empty:order_id", 1]]
    assert "canary" not in caplog.text
    # Once, until it fits again.
    scene.redash.queries[318].run = lambda _: [a_row("O-1"), bad[0]]
    await scene.redash.refresh(318)
    await scene.poll()
    assert await scene.notices() == ["misfit"]
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.poll()
    assert await scene.notices() == ["misfit", "misfit_over"]


async def test_a_query_that_fails_is_told_once_by_its_age_and_once_when_it_runs_again(
    scene: Scene,
) -> None:
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.poll()

    def fails(_: object) -> list[dict[str, Any]]:
        raise QueryFailsError("relation canary does not exist")

    scene.redash.queries[318].run = fails
    assert not await scene.redash.refresh(318)
    await scene.poll()
    # Two intervals of a minute are no reason to worry, and more than three are.
    await scene.later(seconds=120)
    await scene.poll()
    assert await scene.notices() == []
    await scene.later(seconds=60)
    await scene.poll()
    await scene.poll()
    assert await scene.notices() == ["stale"]
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.poll()
    await scene.poll()
    assert await scene.notices() == ["stale", "stale_over"]


async def test_a_query_without_a_schedule_or_gone_is_told_once(scene: Scene) -> None:
    scene.redash.queries[318].interval_s = None
    await scene.poll()
    await scene.poll()
    assert await scene.notices() == ["idle"]
    scene.redash.queries[318].interval_s = 60
    await scene.poll()
    assert await scene.notices() == ["idle", "idle_over"]
    del scene.redash.queries[318], scene.redash.alerts[42]
    await scene.poll()
    assert await scene.notices() == ["idle", "idle_over", "idle"]


async def test_a_result_that_was_seen_before_its_alert_was_judged_is_taken_when_it_triggers(
    scene: Scene,
) -> None:
    # Redash stores a result first, and judges the alert in a job of its own.
    alert = scene.redash.alerts.pop(42)
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.poll()
    assert await scene.subjects() == []
    alert.state, alert.last_triggered_at = "triggered", datetime.now(UTC)
    scene.redash.alerts[42] = alert
    await scene.poll()
    assert await scene.subjects() == ["O-1"]


async def test_zero_rows_after_a_triggered_alert_end_nothing_and_open_nothing(scene: Scene) -> None:
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    await scene.poll()
    scene.redash.queries[318].run = lambda _: []
    await scene.redash.refresh(318)
    assert scene.redash.alerts[42].state == "unknown"
    await scene.poll()
    await scene.work()
    assert await scene.subjects() == ["O-1"]
    assert await scene.rows("SELECT closed_at FROM ledger.cases") == [(None,)]


async def test_a_muted_alert_stays_muted_though_we_ask(scene: Scene) -> None:
    scene.redash.alerts[42].options["muted"] = True
    scene.redash.queries[318].run = lambda _: [a_row("O-1")]
    await scene.redash.refresh(318)
    assert scene.redash.alerts[42].state == "triggered"
    await scene.poll()
    await scene.work()
    assert await scene.subjects() == []


async def test_a_refused_key_is_told_at_once_and_never_logged(
    room: Room,
    market_reader_dsn: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_scene(room, market_reader_dsn, write_map(tmp_path), key="wrong-canary") as scene:
        for _ in range(2):
            with pytest.raises(SayableError, match="does not accept the key"):
                await scene.poll()
        assert await scene.notices() == ["key"]
        assert "canary" not in caplog.text
        assert scene.redash.queries[318].api_key not in caplog.text


async def test_a_query_that_the_key_may_not_see_keeps_no_other_from_being_found(
    room: Room, market_reader_dsn: str, tmp_path: Path
) -> None:
    entry = MAP[MAP.index("  318:") :]
    other = entry.replace("318", "900").replace("redash_self", "other_self")
    async with a_scene(room, market_reader_dsn, write_map(tmp_path, more=other)) as scene:
        scene.redash.queries[318].is_hidden = True
        scene.redash.add_query(900, [a_row("O-9")])
        scene.redash.add_alert(90, 900, column="cnt")
        await scene.redash.refresh(900)
        await scene.poll()
        await scene.poll()
        assert await scene.subjects() == ["O-9"]
        assert await scene.notices() == ["hidden"]
        scene.redash.queries[318].is_hidden = False
        await scene.poll()
        assert await scene.notices() == ["hidden", "hidden_over"]


async def test_a_redash_that_is_away_for_long_is_told_once_and_once_when_it_is_back(
    scene: Scene,
) -> None:
    scene.redash.is_away = True
    with pytest.raises(SayableError, match="502"):
        await scene.poll()
    assert await scene.notices() == []
    async with scene.room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.redash_troubles SET since = since - interval '11 minutes'")
        )
    for _ in range(2):
        with pytest.raises(SayableError):
            await scene.poll()
    assert await scene.notices() == ["away"]
    scene.redash.is_away = False
    await scene.poll()
    await scene.poll()
    assert await scene.notices() == ["away", "away_over"]


async def test_a_query_with_parameters_is_run_by_us_and_its_job_waited_for(
    room: Room, market_reader_dsn: str, tmp_path: Path
) -> None:
    path = write_map(
        tmp_path,
        (
            "    severity: P1\n",
            "    severity: P1\n    when: always\n    parameters: {least: 1000}\n",
        ),
    )
    async with a_scene(room, market_reader_dsn, path) as scene:
        query = scene.redash.queries[318]
        query.parameters = ("least",)
        query.text = "SELECT * FROM orders WHERE total > {{ least }}"
        asked: list[object] = []

        def run(parameters: Any) -> list[dict[str, Any]]:
            asked.append(dict(parameters))
            return [a_row("O-1")]

        query.run = run
        # Its alert stays unknown whatever happens, and Redash itself never runs it.
        assert not await scene.redash.refresh(318)
        assert scene.redash.alerts[42].state == "unknown"
        await scene.poll()
        assert asked == [{"least": 1000}]
        assert any(one.startswith("GET /api/jobs/") for one in scene.redash.requests)
        assert await scene.subjects() == ["O-1"]
        # A result that is young enough is not asked for again.
        await scene.poll()
        assert asked == [{"least": 1000}]


async def test_with_keys_of_queries_alone_webhooks_still_work(
    room: Room, market_reader_dsn: str, tmp_path: Path
) -> None:
    async with (
        a_scene(room, market_reader_dsn, write_map(tmp_path)) as scene,
        aiohttp.ClientSession() as session,
    ):
        key = scene.redash.queries[318].api_key
        url = scene.desk.api.base_url
        scene.desk = replace(scene.desk, api=RedashApi(session, url, None, query_keys={318: key}))
        scene.redash.queries[318].run = lambda _: [a_row("O-1")]
        await scene.redash.refresh(318)
        await scene.poll()
        assert await scene.subjects() == []
        await scene.tell(payload())
        await scene.work()
        assert await scene.subjects() == ["O-1"]
        # It was triggered when we last heard, so what is new now counts as well.
        scene.redash.queries[318].run = lambda _: [a_row("O-1"), a_row("O-2")]
        await scene.redash.refresh(318)
        await scene.poll()
        assert await scene.subjects() == ["O-1", "O-2"]
        assert "GET /api/alerts" not in scene.redash.requests


async def test_more_rows_than_a_detection_may_return_are_refused_whole(scene: Scene) -> None:
    scene.desk = replace(scene.desk, most_rows=2)
    scene.redash.queries[318].run = lambda _: [a_row(f"O-{n}") for n in range(3)]
    await scene.redash.refresh(318)
    await scene.tell(payload())
    await scene.work()
    ((outcome,),) = await scene.rows("SELECT outcome FROM ledger.redash_events")
    assert "returned 3 rows, and 2 is the most" in outcome
    assert await scene.subjects() == []
    # Of the whole of Redash that says nothing; of this detection people hear that it fails.
    await scene.poll()
    await scene.poll()
    assert await scene.rows("SELECT count(*) FROM ledger.redash_troubles") == [(0,)]
    assert await scene.rows("SELECT detection, trouble FROM ledger.detection_troubles") == [
        ("redash_self_dealing", "failing")
    ]


async def test_old_events_are_forgotten_but_not_the_last_word_of_an_alert(scene: Scene) -> None:
    # Alert 43 is not in Redash any more.
    await scene.redash.refresh(318)
    for n in range(3):
        await scene.tell(payload(id=43, last_triggered_at=f"2026-09-0{n + 1}T00:00:00.000Z"))
    await scene.tell(b"garbage")
    await scene.work()
    async with scene.room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.redash_events SET received_at = received_at - interval '31 days'")
        )
    await scene.poll()
    left = await scene.rows("SELECT triggered_at FROM ledger.redash_events WHERE alert_id = 43")
    assert left == [(datetime(2026, 9, 3, tzinfo=UTC),)]
    assert await scene.rows("SELECT count(*) FROM ledger.redash_events WHERE raw IS NOT NULL") == [
        (0,)
    ]
