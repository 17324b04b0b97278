from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot import digests as rooms
from bot.digests._kit import Ask, Section
from bot.domain.clock import WallClock
from bot.domain.digests import Digest, Part, count, t
from bot.jobs.digest import DigestPlan, due_day, make_digest
from bot.jobs.ticker import Tick
from bot.ledger import digests
from bot.ledger.values import from_json, to_json
from bot.market.reader import MarketUnreachableError
from bot.market.selecting import SelectFault
from tests.digests.stage import DAY, MORNING_AFTER, TOKYO, Shop, at, figure_of, part_of

PLAN = DigestPlan(channel="C0DIGEST", at=time(9), zone=TOKYO)
TICK = Tick(name="job:digest", watermark=None)
ONE_DAY = timedelta(days=1)


async def tick(shop: Shop, when: datetime, plan: DigestPlan = PLAN) -> None:
    shop.clock.time = when
    await make_digest(shop.room, shop.reader, plan, TICK)


async def told(shop: Shop) -> list[date]:
    async with shop.room.engine.connect() as conn:
        rows = await conn.execute(text("SELECT day FROM ledger.digests ORDER BY day, channel"))
        return [row.day for row in rows]


@pytest.mark.parametrize(
    ("when", "day"),
    [
        (at(32.99), DAY - ONE_DAY),
        (at(33), DAY),
        (at(47.99), DAY),
        (at(56.99), DAY),
        (at(57), DAY + ONE_DAY),
    ],
)
def test_a_day_is_due_on_the_next_one_at_the_set_time(when: datetime, day: date) -> None:
    assert due_day(when, PLAN) == day


def test_due_goes_by_the_team_s_zone() -> None:
    assert due_day(MORNING_AFTER, PLAN) == DAY
    assert due_day(MORNING_AFTER, replace(PLAN, zone=ZoneInfo("America/New_York"))) == DAY - ONE_DAY


async def test_processes_that_tick_at_once_make_one_digest(shop: Shop) -> None:
    await tick(shop, at(12))
    shop.clock.time = MORNING_AFTER
    await asyncio.gather(*(make_digest(shop.room, shop.reader, PLAN, TICK) for _ in range(6)))
    assert await told(shop) == [DAY]


async def test_a_stretch_without_the_bot_is_one_digest_that_names_its_days(shop: Shop) -> None:
    await tick(shop, at(12, days_ago=5))
    await tick(shop, at(33, days_ago=5))
    await tick(shop, MORNING_AFTER)
    assert await told(shop) == [DAY - 5 * ONE_DAY, DAY]
    async with shop.room.engine.connect() as conn:
        digest = await digests.read_digest(conn, DAY)
    assert digest is not None
    assert digest.missed == (DAY - 4 * ONE_DAY, DAY - ONE_DAY)


async def test_a_first_stop_that_lasts_days_names_the_days_since_the_first_tick(
    shop: Shop,
) -> None:
    await tick(shop, at(12, days_ago=2))
    await tick(shop, MORNING_AFTER)
    async with shop.room.engine.connect() as conn:
        digest = await digests.read_digest(conn, DAY)
    assert digest is not None
    assert digest.missed == (DAY - 2 * ONE_DAY, DAY - ONE_DAY)


async def test_a_clock_that_is_set_back_tells_no_day_again(shop: Shop) -> None:
    await tick(shop, at(12, days_ago=3))
    await tick(shop, MORNING_AFTER)
    await tick(shop, at(12))
    await tick(shop, MORNING_AFTER)
    assert await told(shop) == [DAY]


async def test_a_digest_comes_back_from_the_ledger_as_it_was_made(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    await shop.sold("O-1", canceled_at=at(13))
    await shop.cancel("O-1", at(12))
    digest = await shop.digest()
    assert from_json(to_json(digest, Digest), Digest) == digest


async def test_the_ledger_refuses_to_change_what_a_digest_says(shop: Shop) -> None:
    await tick(shop, at(12))
    await tick(shop, MORNING_AFTER)
    for change in (
        "content = '{}'",
        f"audit_hash = '{'a' * 64}'",
        "day = day - 1",
        "channel = 'C0OTHER'",
    ):
        with pytest.raises(DBAPIError, match="frozen"):
            await shop.execute(f"UPDATE ledger.digests SET {change}")
    await shop.execute("UPDATE ledger.digests SET state = 'sent', message_ts = '1.0'")
    with pytest.raises(DBAPIError, match="posted once"):
        await shop.execute("UPDATE ledger.digests SET message_ts = '2.0'")
    with pytest.raises(DBAPIError, match="posted once"):
        await shop.execute("UPDATE ledger.digests SET state = 'queued', message_ts = NULL")


async def test_where_the_clocks_are_one_no_day_is_marked(shop: Shop) -> None:
    live = replace(shop.room, clock=WallClock())
    await make_digest(live, shop.reader, PLAN, TICK)
    assert await shop.scalar("SELECT count(*) FROM ledger.market_days") == 0


async def test_where_they_differ_a_day_is_marked_as_of_its_midnight_at_the_market_s_pace(
    shop: Shop,
) -> None:
    before = await shop.scalar("SELECT clock_timestamp()")
    await tick(shop, at(1), replace(PLAN, pace=60.0))
    began = await shop.scalar("SELECT began_at FROM ledger.market_days WHERE day = :day", day=DAY)
    # One market hour is one minute of ours.
    assert abs((before - began).total_seconds() - 60) < 5
    await tick(shop, at(5), replace(PLAN, pace=60.0))
    again = await shop.scalar("SELECT began_at FROM ledger.market_days WHERE day = :day", day=DAY)
    assert again == began


async def test_a_clock_that_jumps_does_not_pull_what_was_decided_into_the_next_day(
    shop: Shop,
) -> None:
    await shop.open("O-1", at(9))
    await tick(shop, at(10))
    decided = await shop.scalar("SELECT clock_timestamp()")
    await shop.cancel("O-1", decided)
    await shop.execute(
        """INSERT INTO ledger.ticks (name, every_s, watermark, last_run_at)
           VALUES ('job:digest', 15, :market, clock_timestamp())""",
        market=at(10.1),
    )
    # The next tick sees the noon of the next day: by its pace alone that day began hours ago.
    await tick(shop, at(36))
    digest = await shop.digest(now=at(36))
    assert figure_of(digest, "cases_decided").value == count(1)


async def test_what_was_decided_before_the_clocks_first_differed_keeps_its_day(
    shop: Shop,
) -> None:
    await shop.open("O-1", at(9))
    await shop.cancel("O-1", at(10))
    await shop.execute(
        "INSERT INTO ledger.market_days VALUES (:day, :began)",
        day=DAY + ONE_DAY,
        began=at(24) - timedelta(minutes=2),
    )
    assert figure_of(await shop.digest(), "cases_decided").value == count(1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MarketUnreachableError("away"), "The marketplace's database did not answer."),
        (SelectFault("no"), "The marketplace's database refused the question."),
    ],
)
async def test_a_section_that_cannot_read_the_marketplace_says_so_in_its_place(
    shop: Shop, error: Exception, words: str
) -> None:
    async def fails(_: Ask) -> Part:
        raise error

    section = Section(name="failing", order=0, title=t("What is broken"), read=fails)
    async with shop.room.engine.connect() as conn:
        part = await rooms._read(section, await an_ask(shop, conn))
    assert part == Part(name="failing", title=t("What is broken"), lines=(t(words),))


async def an_ask(shop: Shop, conn: AsyncConnection) -> Ask:
    return Ask(
        conn=conn,
        reader=shop.reader,
        days=await digests.read_days(conn, DAY - 9 * ONE_DAY, DAY, TOKYO),
        now=MORNING_AFTER,
        wall=MORNING_AFTER,
        present=True,
        first_day=DAY,
        zone=TOKYO,
        head=(0, "0" * 64),
        kept=None,
    )


async def test_a_section_that_fails_keeps_no_other_from_being_told(shop: Shop) -> None:
    await shop.open("O-1", at(8))

    async def fails(ask: Ask) -> Part:
        await ask.conn.execute(text("SELECT 1 / 0"))
        return Part()

    failing = Section(name="failing", order=0, title=t("What is broken"), read=fails)
    async with shop.room.engine.connect() as conn:
        ask = await an_ask(shop, conn)
        broken = await rooms._read(failing, ask)
        assert broken.lines == (t("This part could not be made; the reason is in the bot's log."),)
        well = [await rooms._read(section, ask) for section in rooms.sections()]
    assert broken.lines[0] not in [line for part in well for line in part.lines]


def test_every_section_is_found_by_its_file() -> None:
    names = [section.name for section in rooms.sections()]
    assert names[0] == "volumes"
    assert names[-1] == "audit_head"
    assert len(names) == len(set(names)) == 7


async def test_a_day_of_daylight_saving_has_its_own_length(shop: Shop) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    async with shop.room.engine.connect() as conn:
        short, usual = await digests.read_days(conn, date(2026, 3, 29), date(2026, 3, 30), berlin)
    assert short.ends - short.starts == timedelta(hours=23)
    assert usual.starts == short.ends
    assert usual.ends - usual.starts == timedelta(hours=24)


async def test_the_parts_of_a_digest_carry_their_section_s_name(shop: Shop) -> None:
    digest = await shop.digest()
    assert [part.name for part in digest.parts] == [section.name for section in rooms.sections()]
    assert part_of(digest, "broken").title == t("What is broken")
