"""Put another policy in force: from a reviewed file, or as two people have agreed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.room import Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import Proposal
from bot.ledger import cases, policies, posts

LINES = 15


def shown(lines: Sequence[str]) -> list[str]:
    """As many changes as a message shows."""
    left = len(lines) - LINES
    return [*lines[:LINES], *([f"… +{left}"] if left > 0 else [])]


async def adopt_file(
    conn: AsyncConnection, room: Room, *, hash_: str, body: str, lines: Sequence[str], first: bool
) -> AuditEntry:
    """The file comes from a repository where changes are reviewed; the caller appends the entry last."""
    await policies.insert(conn, hash_=hash_, body=body)
    if not first:
        await _tell(conn, room, Notice(kind=NoticeKind.POLICY_ADOPTED, by="file"), hash_, lines)
    return AuditEntry(
        actor="system",
        tag=AuditTag.POLICY_ADOPTED,
        details={"hash": hash_, "source": "file", "changes": shown(lines)},
    )


async def adopt_by(conn: AsyncConnection, room: Room, proposal: Proposal) -> Sequence[AuditEntry]:
    """Two people have agreed. The caller holds the policies' lock, and appends the entries."""
    hash_, body = proposal.about, str(proposal.body["text"])
    first, second = proposal.approved_by[:2]
    await policies.insert(conn, hash_=hash_, body=body, proposed_by=first, approved_by=second)
    told = proposal.body["lines"]
    lines = [str(line) for line in told] if isinstance(told, list) else []
    names = await cases.read_names(conn, proposal.approved_by)
    notice = Notice(
        kind=NoticeKind.POLICY_ADOPTED,
        by=first,
        by_name=names.get(first),
        names=tuple(names.get(user, user) for user in proposal.approved_by),
    )
    await _tell(conn, room, notice, proposal.proposal_id, lines)
    return [
        AuditEntry(
            actor=second,
            tag=AuditTag.POLICY_ADOPTED,
            details={
                "hash": hash_,
                "source": "people",
                "proposal": proposal.proposal_id,
                "approved_by": list(proposal.approved_by),
                "changes": shown(lines),
            },
        )
    ]


async def _tell(
    conn: AsyncConnection, room: Room, notice: Notice, key: str, lines: Sequence[str]
) -> None:
    # The same file may come, go and come again: each time is told.
    earlier = await policies.count(conn)
    await posts.queue_notice(
        conn,
        Notice(
            kind=notice.kind,
            by=notice.by,
            by_name=notice.by_name,
            names=notice.names,
            lines=tuple(shown(lines)),
        ),
        channel=room.loud_channel,
        dedupe_key=f"policy:{key}:{earlier}",
    )
