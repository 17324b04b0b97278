from __future__ import annotations

from datetime import timedelta

import asyncpg

from bot.domain.digests import share
from bot.ledger import digests
from tests.digests.stage import DAY, Shop, at, begins, number_of, part_of


async def test_a_detection_s_precision_counts_cases_and_names_the_undecided(shop: Shop) -> None:
    for n in range(5):
        await shop.open(f"O-{n}", at(8, days_ago=2))
    await shop.cancel("O-0", at(9), effect=False)
    await shop.cancel("O-1", at(9), effect=False)
    await shop.dismiss("O-2", at(9))
    await shop.open("O-old", at(8, days_ago=40))
    await shop.dismiss("O-old", at(9, days_ago=40))
    (line,) = part_of(await shop.digest(), "precision").lines
    assert (line.count, line.values["rate"]) == (3, share(2, 3))
    assert number_of(line, "undecided") == 2
    assert line.values["title"].text == "Suspected self-dealing"


async def test_a_detection_without_verdicts_has_no_precision(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    (line,) = part_of(await shop.digest(), "precision").lines
    assert line.one.startswith("{title}: no verdicts yet")
    assert "rate" not in line.values


async def test_where_nothing_was_found_no_detection_is_named(shop: Shop) -> None:
    assert part_of(await shop.digest(), "precision").lines == ()


async def test_the_head_is_told_in_full_beside_that_of_the_digest_before(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    yesterday = await shop.digest(DAY - timedelta(days=1))
    async with shop.room.engine.begin() as conn:
        assert await digests.insert_digest(conn, yesterday, "C0DIGEST")
    await shop.open("O-2", at(9))
    digest = await shop.digest()
    head = await shop.scalar("SELECT hash FROM ledger.audit_head")
    assert digest.audit_hash == head
    mine, kept = part_of(digest, "audit_head").foot
    assert mine.values["hash"].text == head
    assert kept.values["hash"].text == yesterday.audit_hash != head
    assert kept.values["day"].day == DAY - timedelta(days=1)
    assert part_of(digest, "audit_head").lines == ()


async def test_a_rewritten_log_is_told(shop: Shop, ledger_owner_dsn: str) -> None:
    await shop.open("O-1", at(8))
    yesterday = await shop.digest(DAY - timedelta(days=1))
    async with shop.room.engine.begin() as conn:
        await digests.insert_digest(conn, yesterday, "C0DIGEST")
    owner = await asyncpg.connect(ledger_owner_dsn)
    # Who owns the database can rewrite the log, whole and with a chain that fits.
    await owner.execute(
        """ALTER TABLE ledger.audit_entries DISABLE TRIGGER ALL;
           UPDATE ledger.audit_entries SET hash = repeat('a', 63) || seq WHERE seq < 10;
           ALTER TABLE ledger.audit_entries ENABLE TRIGGER ALL"""
    )
    await owner.close()
    told = begins(part_of(await shop.digest(), "audit_head"), "The audit log no longer holds")
    assert told is not None


async def test_a_past_day_s_head_is_the_last_entry_of_that_day(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    head = await shop.scalar("SELECT hash FROM ledger.audit_head")
    began = await shop.scalar("SELECT clock_timestamp()")
    # The day after began just now, by the database's clock.
    for n, when in ((0, began - timedelta(hours=1)), (1, began)):
        await shop.execute(
            "INSERT INTO ledger.market_days VALUES (:day, :began)",
            day=DAY + timedelta(days=n),
            began=when,
        )
    await shop.open("O-2", at(25))
    digest = await shop.digest(present=False)
    assert digest.audit_hash == head
    assert digest.audit_hash != await shop.scalar("SELECT hash FROM ledger.audit_head")
