"""Lists and snoozes: who may, for how long, what detections get of them, and what the log says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import text

from bot.cases.keeping_lists import (
    Wish,
    add_entry,
    hush,
    lists_in_force,
    preview_snooze,
    read_lists,
    remove_entry,
    snooze,
)
from bot.cases.opening import open_findings
from bot.cases.room import Room
from bot.domain.findings import Mode
from bot.domain.lists import Hidden, ListEntry, ListKind, ListName, Snooze
from bot.domain.refusals import Refusal, RefusalCode
from bot.ledger import audit
from tests.cases.stage import a_finding, an_account, an_order

AGENT, LEAD, OUTSIDER = "U0SATO", "U0TANAKA", "U0YAMADA"


def wish(value: str = "a-1", **changes: object) -> Wish:
    values: dict[str, object] = {
        "list": ListName.ALLOW,
        "kind": ListKind.ACCOUNT,
        "value": value,
        "days": 30,
        "reason": "the shop's own tester",
    }
    return Wish(**{**values, **changes})  # type: ignore[arg-type]


async def added(room: Room, made: Wish) -> ListEntry:
    entry = await add_entry(room, LEAD, made)
    assert isinstance(entry, ListEntry)
    return entry


def refused(answer: object) -> Refusal:
    assert isinstance(answer, Refusal)
    return answer


async def test_detections_get_what_is_on_the_lists_as_arrays(room: Room) -> None:
    await added(room, wish("a-2"))
    await added(room, wish("a-1"))
    await added(room, wish("Bad.Example", list=ListName.DENY, kind=ListKind.HOST))
    assert dict(await lists_in_force(room)) == {
        "allow_accounts": ["a-1", "a-2"],
        "deny_hosts": ["bad.example"],
    }


@pytest.mark.parametrize("who", [AGENT, OUTSIDER])
async def test_who_may_not_is_refused_and_nothing_is_listed(room: Room, who: str) -> None:
    assert refused(await add_entry(room, who, wish())).code is RefusalCode.NO_ROLE
    assert refused(await read_lists(room, who)).code is RefusalCode.NO_ROLE
    answer = await snooze(room, who, "self_dealing_link", an_account("a-1"), 7, "why")
    assert refused(answer).code is RefusalCode.NO_ROLE
    assert await lists_in_force(room) == {}


@pytest.mark.parametrize("days", [0, 366])
async def test_an_entry_lasts_for_a_day_to_a_year(room: Room, days: int) -> None:
    assert refused(await add_entry(room, LEAD, wish(days=days))).detail == "days"


async def test_nothing_is_allowed_and_denied_at_once(room: Room) -> None:
    await added(room, wish())
    answer = refused(await add_entry(room, LEAD, wish(list=ListName.DENY)))
    assert (answer.detail, answer.reason) == ("there", "allow")


async def test_what_is_taken_off_counts_no_more_and_may_be_listed_again(room: Room) -> None:
    await added(room, wish())
    assert isinstance(await remove_entry(room, LEAD, ListKind.ACCOUNT, "a-1"), ListEntry)
    assert await lists_in_force(room) == {}
    assert refused(await remove_entry(room, LEAD, ListKind.ACCOUNT, "a-1")).detail == "gone"
    await added(room, wish(list=ListName.DENY))
    assert dict(await lists_in_force(room)) == {"deny_accounts": ["a-1"]}


async def test_what_has_run_out_counts_no_more_and_may_be_listed_again(room: Room) -> None:
    entry = await added(room, wish())
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.list_entries SET added_at = added_at - interval '40 days',
                          expires_at = clock_timestamp() - interval '1 second'"""
            )
        )
    assert await lists_in_force(room) == {}
    again = await added(room, wish())
    assert again.entry_id != entry.entry_id


async def test_the_shop_sees_in_a_view_what_is_in_force(room: Room, ledger_owner_dsn: str) -> None:

    await added(room, wish("a-1"))
    await added(room, wish("a-2", list=ListName.DENY))
    await remove_entry(room, LEAD, ListKind.ACCOUNT, "a-1")
    conn = await asyncpg.connect(ledger_owner_dsn)
    try:
        rows = await conn.fetch("SELECT list, kind, value FROM lists.in_force")
    finally:
        await conn.close()
    assert [tuple(row) for row in rows] == [("deny", "accounts", "a-2")]


async def test_the_log_names_the_entry_and_nobodys_address(room: Room) -> None:
    await added(room, wish("東京都渋谷区神宮前1-2-3", kind=ListKind.ADDRESS))
    async with room.engine.connect() as conn:
        told = [entry.canonical async for entry in audit.stream(conn)]
    assert any("person:list:added" in line for line in told)
    assert not any("神宮前" in line or "tester" in line for line in told)


async def test_a_snoozed_detection_stores_what_it_finds_and_bothers_nobody(room: Room) -> None:
    now = datetime.now(UTC)
    loud, quiet = a_finding("O-1", at=now), a_finding("O-2", at=now)
    made = await snooze(room, LEAD, quiet.detection, an_order("O-2"), 7, "known to us")
    assert isinstance(made, Snooze)
    assert made.until - now > timedelta(days=6, hours=23)
    hushed = await hush(room, quiet.detection, [loud, quiet])
    assert [finding.mode for finding in hushed] == [Mode.REVIEW, Mode.SHADOW]
    # Another detection still says what it finds.
    others = await hush(room, "another_one", [quiet])
    assert [finding.mode for finding in others] == [Mode.REVIEW]


async def test_a_snoozed_account_is_quiet_in_the_orders_it_stands_behind(room: Room) -> None:
    finding = a_finding("O-1", at=datetime.now(UTC), account_ids=("a-7", "a-8"))
    await snooze(room, LEAD, finding.detection, an_account("a-8"), 7, "known to us")
    (hushed,) = await hush(room, finding.detection, [finding])
    assert hushed.mode is Mode.SHADOW


async def test_the_preview_counts_what_a_snooze_would_have_hidden(room: Room) -> None:
    finding = a_finding("O-1", at=datetime.now(UTC), account_ids=("a-7",))
    await open_findings(room, [finding], {})
    hidden = await preview_snooze(room, LEAD, finding.detection, an_account("a-7"), 7)
    assert hidden == Hidden(findings=1, cases=1, fraud=0)
    nobody = await preview_snooze(room, LEAD, finding.detection, an_account("a-9"), 7)
    assert nobody == Hidden(findings=0, cases=0, fraud=0)
