from __future__ import annotations

from datetime import timedelta

from bot.digests._kit import LONGEST_HOLD
from bot.domain.digests import money, span
from bot.domain.findings import Severity
from tests.digests.stage import MORNING_AFTER, Shop, at, number_of, part_of

MINUTE = timedelta(minutes=1)


async def test_a_hold_is_past_its_time_after_a_day_by_the_market_s_clock(shop: Shop) -> None:
    for order, held_for in (("O-old", LONGEST_HOLD), ("O-new", LONGEST_HOLD - MINUTE)):
        when = MORNING_AFTER - held_for
        await shop.open(order, when - MINUTE)
        await shop.hold(order, when)
    (row,) = part_of(await shop.digest(), "holds").rows
    assert row.told.count == 1
    assert row.told.values["span"] == span(LONGEST_HOLD.total_seconds())
    assert row.told.values["money"] == money({"JPY": 12_400})


async def test_what_was_cancelled_or_released_is_held_no_more(shop: Shop) -> None:
    for order in ("O-cancelled", "O-released", "O-by-hand"):
        await shop.open(order, at(8, days_ago=3))
    await shop.hold("O-cancelled", at(9, days_ago=3))
    await shop.hold("O-released", at(9, days_ago=3))
    await shop.execute(
        """UPDATE ledger.case_members SET facts = facts || jsonb_build_object('canceled_at', now())
            WHERE subject_id = 'O-cancelled'"""
    )
    await shop.execute(
        """UPDATE ledger.case_members SET facts = facts || '{"held_at": null}'
            WHERE subject_id = 'O-released'"""
    )
    # Somebody held this one in the back office: it is no hold of ours.
    await shop.execute(
        """UPDATE ledger.case_members SET facts = facts || '{"held_at": "2026-11-01T00:00:00Z"}'
            WHERE subject_id = 'O-by-hand'"""
    )
    assert part_of(await shop.digest(), "holds").rows == ()


async def test_the_oldest_holds_come_first_and_the_rest_is_counted(shop: Shop) -> None:
    for n in range(7):
        await shop.open(f"O-{n}", at(8, days_ago=3 + n))
        await shop.hold(f"O-{n}", at(9, days_ago=3 + n))
    part = part_of(await shop.digest(), "holds")
    assert len(part.rows) == 5
    assert part.more == 2
    spans = [number_of(row.told, "span") or 0 for row in part.rows]
    assert spans == sorted(spans, reverse=True)


async def test_each_severity_has_its_time(shop: Shop) -> None:
    late = {
        Severity.P1: timedelta(minutes=15),
        Severity.P2: timedelta(hours=24),
        Severity.P3: timedelta(days=7),
    }
    for severity, time in late.items():
        for order, age in ((f"{severity}-late", time), (f"{severity}-in-time", time - MINUTE)):
            await shop.open(order, MORNING_AFTER - age)
            await shop.execute(
                """UPDATE ledger.cases SET severity = :severity WHERE case_id =
                   (SELECT case_id FROM ledger.case_members WHERE subject_id = :order)""",
                severity=severity.value,
                order=order,
            )
    rows = part_of(await shop.digest(), "overdue").rows
    assert [row.severity for row in rows] == [Severity.P1, Severity.P2, Severity.P3]
    assert [number_of(row.told, "span") for row in rows] == [
        time.total_seconds() for time in late.values()
    ]


async def test_closed_cases_and_those_that_wait_for_an_answer_are_not_past_their_time(
    shop: Shop,
) -> None:
    for order in ("O-closed", "O-waits", "O-open"):
        await shop.open(order, at(8, days_ago=2))
    await shop.dismiss("O-closed", at(9, days_ago=2))
    await shop.execute(
        """UPDATE ledger.cases SET wait_kind = 'customer', wait_by = 'U0SATO', wait_since = now()
            WHERE case_id = (SELECT case_id FROM ledger.case_members WHERE subject_id = 'O-waits')"""
    )
    await shop.execute(
        """UPDATE ledger.cases SET assignee = 'U0SATO'
            WHERE case_id = (SELECT case_id FROM ledger.case_members WHERE subject_id = 'O-open')"""
    )
    (row,) = part_of(await shop.digest(), "overdue").rows
    case_id = await shop.scalar(
        "SELECT case_id FROM ledger.case_members WHERE subject_id = 'O-open'"
    )
    assert row.case_id == case_id
    assert row.told.values["name"].text == "佐藤"


async def test_a_case_is_told_with_the_holds_or_with_the_open_ones_and_not_twice(
    shop: Shop,
) -> None:
    await shop.open("O-1", at(8, days_ago=2))
    assert len(part_of(await shop.digest(), "overdue").rows) == 1
    await shop.hold("O-1", at(9, days_ago=2))
    digest = await shop.digest()
    assert len(part_of(digest, "holds").rows) == 1
    assert part_of(digest, "overdue").rows == ()


async def test_a_row_carries_the_version_and_where_its_card_stands(shop: Shop) -> None:
    view = await shop.open("O-1", at(8))
    await shop.execute("UPDATE ledger.cards SET message_ts = '1.000001'")
    (row,) = part_of(await shop.digest(), "overdue").rows
    assert (row.case_id, row.version) == (view.case_id, view.version)
    assert (row.channel, row.message_ts) == ("C0ALERTS", "1.000001")


async def test_of_a_day_that_is_long_over_nobody_says_what_waits_or_is_broken(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    names = {part.name for part in (await shop.digest(present=False)).parts}
    assert names == {"volumes", "early_cancel", "precision", "audit_head"}
