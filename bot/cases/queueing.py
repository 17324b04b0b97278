"""Work through the queue: hand out the next case, sum up an hour, fold what is done."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from bot.cases.policy import judge_step
from bot.cases.room import CARDS, POSTS, Room, deny, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseView
from bot.domain.findings import Severity
from bot.domain.refusals import Refusal, RefusalCode
from bot.ledger import audit, cases, queue

FIRST_LINES = 5
FOLD_BATCH = 200


async def take_next(room: Room, user_id: str) -> CaseView | Refusal:
    """Give a person the most urgent and dearest case that nobody has, and make them its owner."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person if isinstance(person, Refusal) else judge_step(room.policy, "claim", person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="claim", case_id=None)
        case_id = await queue.take_next(conn, user_id, now=room.clock.now())
        if case_id is None:
            return Refusal(code=RefusalCode.QUEUE_EMPTY)
        await cases.touch_case(conn, case_id)
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=user_id,
                    tag=AuditTag.CASE_CLAIMED,
                    case_id=case_id,
                    details={"assignee": user_id},
                )
            ],
        )
        view = await cases.read_view(conn, case_id)
    room.bell.ring(CARDS)
    return view or Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=case_id)


async def roll_up(room: Room, *, since: datetime, until: datetime) -> bool:
    """Tell the channel what came to the queue; nothing where nothing came. Returns whether it did."""
    beside = [s for s in Severity if s not in room.policy.file.cards_for]
    async with room.engine.begin() as conn:
        summed = await queue.read_roll_up(
            conn, since=since, until=until, severities=beside, lines=FIRST_LINES
        )
        if not summed.new or not summed.left:
            return False
        told = await queue.queue_roll_up(
            conn,
            summed,
            post_id=f"post_{uuid4().hex}",
            channel=room.channel,
            dedupe_key=f"roll_up:{since.isoformat()}",
        )
    room.bell.ring(POSTS)
    return told


async def fold_closed(room: Room, *, closed_for_s: float) -> int:
    """Fold the cards of cases that closed a while ago to one line. Returns how many."""
    async with room.engine.begin() as conn:
        folded = await cases.fold_cards(conn, closed_for_s=closed_for_s, limit=FOLD_BATCH)
    if folded:
        room.bell.ring(CARDS)
    return folded
