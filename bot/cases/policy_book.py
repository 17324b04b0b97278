"""Which policy is in force: taken up at the start, followed while we run, changed by a review or by two people."""

from __future__ import annotations

import logging

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases.adopting_policy import adopt_file, shown
from bot.cases.policy import Policy, parse_policy
from bot.cases.policy_changes import policy_changes
from bot.cases.proposing import propose, proposed_entry, supersede
from bot.cases.room import POSTS, Room
from bot.domain.audit import AuditEntry
from bot.domain.errors import SayableError
from bot.domain.proposals import ProposalKind, ProposalState
from bot.ledger import audit, policies, proposals
from bot.ledger.policies import KeptPolicy

logger = logging.getLogger(__name__)

IN_LEDGER = "in force (kept in the ledger)"


async def take_up_policy(room: Room, *, two_people: bool) -> None:
    """Compare the room's policy, as its file says it, with the one in force, once at the start.

    A file from a repository where changes are reviewed is adopted, and its changes are told. With
    `two_people` a changed file is only proposed, and the room goes on under the policy in force.

    Raises:
        SayableError: the policy in force cannot be read by this version.
    """
    async with room.engine.begin() as conn:
        await policies.lock(conn)
        kept = await policies.in_force(conn)
        if kept is not None and kept.hash == room.policy.hash:
            return
        if kept is None or not two_people:
            entries = [await _adopt(conn, room, kept)]
        else:
            entries = await _propose(conn, room, kept)
        if entries:
            await audit.append(conn, entries)
    room.bell.ring(POSTS)


async def follow_policy(room: Room) -> bool:
    """Take over the policy in force where it is another one by now; for every process, every few seconds."""
    async with room.engine.connect() as conn:
        hash_ = await policies.hash_in_force(conn)
        if hash_ is None or hash_ == room.policy.hash:
            return False
        kept = await policies.in_force(conn)
    if kept is None:
        return False
    try:
        room.adopt(parse_policy(kept.body, registry(), name=IN_LEDGER))
    except SayableError as error:
        # Another version of ours may know what this one does not: the old one stays in force here.
        logger.warning("the policy in force cannot be followed: %s", error)
        return False
    logger.info("another policy is in force")
    return True


async def _adopt(conn: AsyncConnection, room: Room, kept: KeptPolicy | None) -> AuditEntry:
    lines: tuple[str, ...] = ()
    if kept is not None:
        try:
            old = parse_policy(kept.body, registry(), name=IN_LEDGER)
        except SayableError as error:
            lines = (str(error),)
        else:
            lines = policy_changes(old, room.policy)
        logger.info("the policy's file has changed: %s", "; ".join(lines) or "in its words only")
    return await adopt_file(
        conn,
        room,
        hash_=room.policy.hash,
        body=room.policy.text,
        lines=lines,
        first=kept is None,
    )


async def _propose(conn: AsyncConnection, room: Room, kept: KeptPolicy) -> list[AuditEntry]:
    """Ask two people about the file, and go on under the policy in force."""
    wanted = room.policy
    room.adopt(_readable(kept))
    entries: list[AuditEntry] = []
    for other in await proposals.all_open(conn, ProposalKind.POLICY):
        if other.about != wanted.hash:
            entries += await supersede(conn, room, other)
    known = await proposals.newest_about(conn, ProposalKind.POLICY, wanted.hash)
    if known is not None and known.state in {ProposalState.OPEN, ProposalState.REJECTED}:
        logger.warning("the policy's file has changed; it is %s in Slack", known.state.value)
        return entries
    proposal = await propose(
        conn,
        room,
        kind=ProposalKind.POLICY,
        about=wanted.hash,
        body={
            "text": wanted.text,
            "lines": shown(policy_changes(room.policy, wanted)),
            "instead_of": kept.hash,
        },
        by="file",
        needed=2,
    )
    logger.warning("the policy's file has changed: two people must approve it in Slack")
    return [*entries, *([proposed_entry(proposal)] if proposal else [])]


def _readable(kept: KeptPolicy) -> Policy:
    try:
        return parse_policy(kept.body, registry(), name=IN_LEDGER)
    except SayableError as error:
        raise SayableError(
            f"{error} To take over the file as it is, start once with POLICY_CHANGES=reviewed."
        ) from error
