"""Pause all effects, or those of one action, and ask for them to be resumed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.agreeing import agree
from bot.cases.brakes import redraw_for_brakes, tell_all
from bot.cases.proposing import (
    Answered,
    expire,
    judge_proposal_step,
    propose,
    proposed_entry,
)
from bot.cases.room import POSTS, Room, deny, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.errors import SayableError
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import ALL, NOBODY, Pause, Proposal, ProposalKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.ledger import audit, people, proposals, switches

logger = logging.getLogger(__name__)

MAX_REASON = 300


async def pause(room: Room, user_id: str, name: str, reason: str) -> Pause | Refusal:
    """Pause everything (`all`) or an action, for anyone who has any role here."""
    async with room.engine.begin() as conn:
        found = await people.read_person(conn, user_id)
        person = found[0] if found else None
        # Roles that are too old stop money, never a brake.
        refusal = rules.judge_person(person, 0.0, room.home_team) or _judge_pause(room, person)
        if refusal is not None or person is None:
            return await deny(
                conn,
                user_id,
                refusal or Refusal(code=RefusalCode.UNKNOWN_PERSON),
                action="pause",
                case_id=None,
            )
        paused = await _pause(conn, room, name, by=user_id, told=person.display_name, reason=reason)
    return await _after(room, paused)


async def pause_unmanned(room: Room, name: str, *, by: str, reason: str) -> Pause | Refusal:
    """Pause from a shell or by a setting (`cli`, `env`): whoever can do that may stop, and no more."""
    if by not in NOBODY:
        raise ValueError(by)
    async with room.engine.begin() as conn:
        paused = await _pause(conn, room, name, by=by, told=None, reason=reason)
    return await _after(room, paused)


async def pause_at_start(room: Room, names: str) -> None:
    """Pause what the setting names, where it is not paused already.

    Raises:
        SayableError: it names no action that there is.
    """
    for name in scopes_of(names):
        paused = await pause_unmanned(room, name, by="env", reason="the setting PAUSED")
        if isinstance(paused, Pause):
            logger.warning("paused by the setting PAUSED: %s", name)


def scopes_of(names: str) -> Sequence[str]:
    """The actions that a setting lists.

    Raises:
        SayableError: one of them does not exist.
    """
    listed = [name.strip() for name in names.split(",") if name.strip()]
    for name in listed:
        if name != ALL and name not in registry():
            known = ", ".join(sorted(registry()))
            raise SayableError(f"There is no action {name!r} to pause: use `all`, or {known}.")
    return listed


async def propose_resume(room: Room, user_id: str, name: str) -> Answered | Refusal:
    """Ask another person to let what is paused go on; where somebody has asked already, agree."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person
            if isinstance(person, Refusal)
            else judge_proposal_step(room, ProposalKind.RESUME, person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="resume", case_id=None)
        asked = await _ask(conn, room, name, by=user_id)
    if isinstance(asked, Proposal) and asked.proposed_by != user_id:
        return await agree(room, user_id, asked.proposal_id)
    room.bell.ring(POSTS)
    if isinstance(asked, Proposal):
        return Refusal(code=RefusalCode.OWN_PROPOSAL, action="resume")
    return asked


async def propose_resume_unmanned(room: Room, name: str, *, by: str) -> Answered | Refusal:
    """The same from a shell, which proves no person: two people must agree in Slack."""
    async with room.engine.begin() as conn:
        asked = await _ask(conn, room, name, by=by)
    room.bell.ring(POSTS)
    return (
        Answered(proposal=asked, missing=asked.approvals_needed - len(asked.approved_by))
        if isinstance(asked, Proposal)
        else asked
    )


def _judge_pause(room: Room, person: Person | None) -> Refusal | None:
    rule = room.policy.file.actions.get("pause")
    if person is not None and rule is None and person.roles:
        return None
    return None if person is None else rules.judge_step(room.policy, "pause", person)


async def _pause(
    conn: AsyncConnection, room: Room, name: str, *, by: str, told: str | None, reason: str
) -> Pause | Refusal:
    reason = reason.strip()[:MAX_REASON]
    if not reason:
        return Refusal(code=RefusalCode.NO_REASON, count=1)
    await switches.lock_alone(conn)
    pulled = await switches.pull(conn, name, by=by, reason=reason)
    (standing,) = [one for one in await switches.pauses(conn) if one.name == name]
    if not pulled:
        return Refusal(
            code=RefusalCode.ALREADY_PAUSED,
            action=name,
            by=standing.by,
            at=standing.at,
            reason=standing.reason,
        )
    await tell_all(
        conn,
        room,
        Notice(
            kind=NoticeKind.PAUSED,
            action=name,
            by=by,
            by_name=told,
            reason=reason,
            at=standing.at,
        ),
        key=f"paused:{name}:{standing.at.isoformat()}",
    )
    await audit.append(
        conn,
        [
            AuditEntry(
                actor=by,
                tag=AuditTag.EFFECTS_PAUSED,
                details={"what": name},
                private={"reason": reason},
            )
        ],
    )
    return standing


async def _after(room: Room, paused: Pause | Refusal) -> Pause | Refusal:
    if isinstance(paused, Pause):
        room.bell.ring(POSTS)
        await redraw_for_brakes(room)
    return paused


async def _ask(
    conn: AsyncConnection, room: Room, name: str, *, by: str
) -> Answered | Proposal | Refusal:
    """A new proposal as what came of it, or the open one that stands already."""
    await switches.lock_alone(conn)
    standing = next((one for one in await switches.pauses(conn) if one.name == name), None)
    if standing is None:
        return Refusal(code=RefusalCode.NOT_PAUSED, action=name)
    entries: list[AuditEntry] = []
    known = await proposals.open_about(conn, ProposalKind.RESUME, name)
    if known is not None:
        if not await proposals.is_over(conn, known):
            return known
        entries += await expire(conn, room, known)
    proposal = await propose(
        conn,
        room,
        kind=ProposalKind.RESUME,
        about=name,
        body={
            "action": name,
            "paused_at": standing.at.isoformat(),
            "paused_by": standing.by,
            "reason": standing.reason,
        },
        by=by,
        needed=2 if by in NOBODY else 1,
    )
    if proposal is None:
        raise RuntimeError("a proposal stands that was not seen under the lock")
    await audit.append(conn, [*entries, proposed_entry(proposal)])
    return Answered(proposal=proposal, missing=proposal.approvals_needed)
