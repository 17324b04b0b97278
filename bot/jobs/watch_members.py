"""Look at members of open cases that may have changed in the marketplace."""

from __future__ import annotations

from bot.cases.room import Room
from bot.cases.watching import members_to_watch, note_changes
from bot.cases.working_by_hand import cases_by_hand, note_seen
from bot.market.reader import MarketReader

BATCH = 500


async def watch_members(room: Room, reader: MarketReader) -> int:
    """Read every open member again, in batches; returns how many changed in a way that matters."""
    asked_at, by_case = await members_to_watch(room)
    awaited = await cases_by_hand(room)
    subjects = list(dict.fromkeys(subject for members in by_case.values() for subject in members))
    facts = {}
    for start in range(0, len(subjects), BATCH):
        facts.update(await reader.facts(subjects[start : start + BATCH]))
    changed = 0
    for case_id, members in by_case.items():
        changed += await note_changes(room, case_id, members, facts, asked_at=asked_at)
        if case_id in awaited:
            changed += await note_seen(room, case_id, facts)
    return changed
