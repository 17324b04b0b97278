"""Keep what people write in a case's thread as notes of the case."""

from __future__ import annotations

from bot.cases.room import CARDS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.ledger import audit, cases, posts

MAX_NOTE = 4000


async def note_reply(
    room: Room, *, user_id: str, channel: str, thread_ts: str, message_ts: str, body: str
) -> bool:
    """Note a reply under a card; False if the thread is not a card's, or the note is known already."""
    async with room.engine.begin() as conn:
        case_id = await posts.case_of_thread(conn, channel, thread_ts)
        if case_id is None:
            return False
        if not await posts.insert_note(
            conn, case_id=case_id, author=user_id, body=body[:MAX_NOTE], message_ts=message_ts
        ):
            return False
        await cases.touch_case(conn, case_id)
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=user_id,
                    tag=AuditTag.CASE_NOTED,
                    case_id=case_id,
                    details={"message_ts": message_ts, "length": len(body)},
                    private={"note": body[:MAX_NOTE]},
                )
            ],
        )
    room.bell.ring(CARDS)
    return True
