"""Read for people: the queue, and the trail of a subject."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from bot.cases.policy import judge_step
from bot.cases.room import Room, deny, know
from bot.domain.cases import QueueEntry
from bot.domain.refusals import Refusal
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import audit, cases, queue
from bot.ledger.audit import WrittenEntry

QUEUE_LENGTH = 20
TRAIL_LENGTH = 20


async def queue_for(room: Room, user_id: str) -> Sequence[QueueEntry] | Refusal:
    """Open cases, the most urgent and dearest first, for somebody who may see cases."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person if isinstance(person, Refusal) else judge_step(room.policy, "details", person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="queue", case_id=None)
        return await queue.read_queue(conn, QUEUE_LENGTH, now=room.clock.now())


async def trail_of(room: Room, user_id: str, name: str) -> Sequence[WrittenEntry] | Refusal:
    """The newest entries of the log about a case (`C-2041`) or a subject of any kind by its id."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person if isinstance(person, Refusal) else judge_step(room.policy, "audit", person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="audit", case_id=None)
        case = re.fullmatch(r"[Cc]-([0-9]{1,18})", name)
        if case is not None:
            return await audit.read_about(conn, case_id=int(case[1]), limit=TRAIL_LENGTH)
        found: dict[int, WrittenEntry] = {}
        for kind in SubjectKind:
            for entry in await audit.read_about(
                conn, subject=Subject(kind, name), limit=TRAIL_LENGTH
            ):
                found[entry.seq] = entry
        return sorted(found.values(), key=lambda entry: -entry.seq)[:TRAIL_LENGTH]


async def names_of(room: Room, user_ids: Collection[str | None]) -> dict[str, str]:
    """Display names by user id, for a list that names people."""
    async with room.engine.connect() as conn:
        return await cases.read_names(conn, {user_id for user_id in user_ids if user_id})
