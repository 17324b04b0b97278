"""A preview shows cases as they would open."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from bot.cases.previewing import preview_cases
from bot.cases.room import Room
from tests.cases.stage import a_finding, an_order, some_facts


async def test_a_preview_groups_findings_as_cases_would_and_stores_nothing(room: Room) -> None:
    at = room.clock.now()
    findings = [
        a_finding("O-1", at=at),
        a_finding("O-2", at=at),
        a_finding("O-3", at=at + timedelta(hours=1), account_ids=("buyer-of-O-1",)),
    ]
    facts = {}
    for finding in findings:
        facts.update(some_facts(finding, at))
    first, second = preview_cases(findings, facts, at, in_channel=True)
    assert {member.subject for member in first.members if member.is_subject} == {
        an_order("O-1"),
        an_order("O-3"),
    }
    assert [finding.subject for finding in second.findings] == [an_order("O-2")]
    assert first.money_at_risk == ((24800, "JPY"),)
    async with room.engine.connect() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM ledger.cases")) == 0
