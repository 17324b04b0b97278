"""What follows from a brake that was pulled or let go: the log, the loud messages, the cards."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.room import CARDS, OPERATIONS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import Proposal
from bot.ledger import cases, people, posts, switches

_DRAWN = "brakes_drawn"


async def tell_all(conn: AsyncConnection, room: Room, notice: Notice, *, key: str) -> None:
    """Loudly: where cards go and where security looks, once where the two are one."""
    for channel in dict.fromkeys((room.channel, room.loud_channel)):
        await posts.queue_notice(conn, notice, channel=channel, dedupe_key=f"{key}:{channel}")


async def resume_by(conn: AsyncConnection, room: Room, proposal: Proposal) -> Sequence[AuditEntry]:
    """Let a brake go: enough people have agreed. The caller holds the brakes alone, and appends the entries."""
    if not await switches.let_go(conn, proposal.about, proposal_id=proposal.proposal_id):
        return []
    names = await cases.read_names(conn, {proposal.proposed_by, *proposal.approved_by})
    await tell_all(
        conn,
        room,
        Notice(
            kind=NoticeKind.RESUMED,
            action=proposal.about,
            by=proposal.proposed_by,
            by_name=names.get(proposal.proposed_by),
            names=tuple(names.get(user, user) for user in proposal.approved_by),
        ),
        key=f"resumed:{proposal.proposal_id}",
    )
    return [
        AuditEntry(
            actor=proposal.approved_by[-1],
            tag=AuditTag.EFFECTS_RESUMED,
            details={
                "what": proposal.about,
                "proposal": proposal.proposal_id,
                "proposed_by": proposal.proposed_by,
                "approved_by": list(proposal.approved_by),
            },
        )
    ]


async def redraw_for_brakes(room: Room) -> bool:
    """Draw the open cards anew where the brakes are not those that they were drawn with.

    In a transaction of its own: a pause must wait for no case that somebody is deciding. The ticker
    does it again, so that a crash in between leaves no card that says something else.
    """
    async with room.engine.begin() as conn:
        pulled = await switches.pauses(conn)
        now = " ".join(f"{pause.name}@{pause.at.isoformat()}" for pause in pulled) or "none"
        if (await people.read_preference(conn, _DRAWN) or "none") == now:
            return False
        await cases.redraw_open_cards(conn)
        await people.store_preference(conn, _DRAWN, now)
    room.bell.ring(CARDS, OPERATIONS)
    return True
