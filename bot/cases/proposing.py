"""What needs two people beside the decisions of cases: propose it, agree to it, turn it down, let it run out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases import policy as rules
from bot.cases.adopting_policy import adopt_by
from bot.cases.brakes import resume_by
from bot.cases.modes import set_mode_by
from bot.cases.room import POSTS, Room, deny, group_ids, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import Proposal, ProposalKind, ProposalState
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person, Role
from bot.ledger import audit, cases, policies, posts, proposals, switches

MIN_WORDS = 10
"""A review says what was looked at, in so many characters at the least."""
LIFETIME_S: Mapping[ProposalKind, float | None] = {
    ProposalKind.RESUME: 8 * 3600.0,
    ProposalKind.POLICY: 3 * 24 * 3600.0,
    ProposalKind.MODE: 3 * 24 * 3600.0,
    ProposalKind.REVIEW: None,
}

_WHERE_CARDS_GO = frozenset({ProposalKind.RESUME, ProposalKind.MODE})

Effect = Callable[[AsyncConnection, Room, Proposal], Awaitable[Sequence[AuditEntry]]]
_EFFECTS: Mapping[ProposalKind, Effect] = {
    ProposalKind.RESUME: resume_by,
    ProposalKind.POLICY: adopt_by,
    ProposalKind.MODE: set_mode_by,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of proposing or answering."""

    proposal: Proposal
    missing: int
    """How many more people must agree; 0: it is done, or was turned down."""


async def propose(
    conn: AsyncConnection,
    room: Room,
    *,
    kind: ProposalKind,
    about: str,
    body: Mapping[str, object],
    by: str,
    barred: Collection[str] = (),
    needed: int = 1,
) -> Proposal | None:
    """Ask another person; the message with the buttons is queued. None where it was asked already.

    The caller appends the entry of `proposed_entry` last.
    """
    proposal = await proposals.insert(
        conn,
        kind=kind,
        about=about,
        body=body,
        proposed_by=by,
        approvals_needed=needed,
        barred=barred,
        lifetime_s=LIFETIME_S[kind],
    )
    if proposal is not None:
        await posts.queue_notice(
            conn,
            await notice_of(conn, room, proposal),
            channel=room.channel if kind in _WHERE_CARDS_GO else room.loud_channel,
            dedupe_key=_key(proposal),
        )
    return proposal


def proposed_entry(proposal: Proposal) -> AuditEntry:
    return _entry(AuditTag.PROPOSAL_MADE, proposal, proposal.proposed_by)


async def approve(
    room: Room, user_id: str, proposal_id: str, *, words: str | None = None
) -> Answered | Refusal:
    """Agree to what somebody else proposed; with enough people it takes effect in the same transaction."""
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, user_id, proposal_id, words=words)
        if isinstance(entered, Refusal):
            return entered
        person, proposal = entered
        roles = [role.value for role in person.roles]
        if not await proposals.insert_approval(conn, proposal, user_id, roles):
            return Refusal(code=RefusalCode.ALREADY_APPROVED)
        missing = max(0, proposal.approvals_needed - len(proposal.approved_by) - 1)
        entries = [_entry(AuditTag.PROPOSAL_APPROVED, proposal, user_id, missing=missing)]
        if missing == 0:
            await proposals.end(conn, proposal_id, ProposalState.APPROVED, by=user_id, words=words)
        proposal = await _reread(conn, proposal)
        if missing == 0:
            entries += await _take_effect(conn, room, proposal, user_id)
        await _redraw(conn, room, proposal)
        await audit.append(conn, entries)
    room.bell.ring(POSTS)
    return Answered(proposal=proposal, missing=missing)


async def reject(
    room: Room, user_id: str, proposal_id: str, *, words: str | None = None
) -> Answered | Refusal:
    """Turn a proposal down; who proposed it may take it back, but nobody reviews what they did themselves."""
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, user_id, proposal_id, words=words, rejecting=True)
        if isinstance(entered, Refusal):
            return entered
        _, proposal = entered
        await proposals.end(conn, proposal_id, ProposalState.REJECTED, by=user_id, words=words)
        proposal = await _reread(conn, proposal)
        await _redraw(conn, room, proposal)
        entries = [_entry(AuditTag.PROPOSAL_REJECTED, proposal, user_id)]
        if proposal.kind is ProposalKind.REVIEW:
            entries.append(_reviewed(proposal, user_id))
        await audit.append(conn, entries)
    room.bell.ring(POSTS)
    return Answered(proposal=proposal, missing=0)


async def may_answer(room: Room, user_id: str, proposal_id: str) -> Proposal | Refusal:
    """Whether it makes sense to ask this person for words; decides nothing."""
    async with room.engine.begin() as conn:
        entered = await _enter(conn, room, user_id, proposal_id, words="x" * MIN_WORDS)
        return entered if isinstance(entered, Refusal) else entered[1]


async def expire_proposals(room: Room) -> int:
    """Let proposals whose time has run out end. Returns how many."""
    async with room.engine.connect() as conn:
        overdue = await proposals.overdue(conn)
    for proposal_id in overdue:
        async with room.engine.begin() as conn:
            proposal = await proposals.lock(conn, proposal_id)
            if proposal is None:
                continue
            entries = await expire(conn, room, proposal)
            await audit.append(conn, entries)
    if overdue:
        room.bell.ring(POSTS)
    return len(overdue)


async def expire(conn: AsyncConnection, room: Room, proposal: Proposal) -> Sequence[AuditEntry]:
    """End a proposal whose time has run out; the caller appends the entries last."""
    return await _end(conn, room, proposal, ProposalState.EXPIRED)


async def supersede(conn: AsyncConnection, room: Room, proposal: Proposal) -> Sequence[AuditEntry]:
    """End a proposal in whose place another one stands; the caller appends the entries last."""
    return await _end(conn, room, proposal, ProposalState.SUPERSEDED)


async def notice_of(conn: AsyncConnection, room: Room, proposal: Proposal) -> Notice:
    """The message of a proposal as it stands."""
    people = {proposal.proposed_by, proposal.ended_by or "", *proposal.approved_by}
    names = await cases.read_names(conn, people)
    rule = room.policy.file.actions.get(proposal.kind.value)
    waits = proposal.state is ProposalState.OPEN
    handles = room.policy.groups_of(rule.request) if rule and waits else ()
    body = proposal.body
    lines = body.get("lines")
    case_id = body.get("case")
    counts = body.get("counts")
    return Notice(
        kind=NoticeKind.PROPOSAL,
        proposal_id=proposal.proposal_id,
        detail=proposal.kind.value,
        state=proposal.state.value,
        action=str(body.get("action") or ""),
        by=proposal.proposed_by,
        by_name=names.get(proposal.proposed_by),
        person=proposal.ended_by,
        person_name=names.get(proposal.ended_by or ""),
        at=proposal.proposed_at,
        until=proposal.expires_at,
        reason=str(body.get("reason") or "") or None,
        note=proposal.words,
        lines=tuple(str(line) for line in lines) if isinstance(lines, list) else (),
        names=tuple(names.get(user, user) for user in proposal.approved_by),
        count=max(0, proposal.approvals_needed - len(proposal.approved_by)),
        case_id=case_id if isinstance(case_id, int) else None,
        groups=await group_ids(conn, handles),
        mode=str(body.get("mode") or "") or None,
        title_ja=str(body.get("title_ja") or ""),
        title_en=str(body.get("title_en") or ""),
        counts=tuple(counts.items()) if isinstance(counts, dict) else (),
    )


async def _enter(
    conn: AsyncConnection,
    room: Room,
    user_id: str,
    proposal_id: str,
    *,
    words: str | None,
    rejecting: bool = False,
) -> tuple[Person, Proposal] | Refusal:
    """The person and the locked proposal, if this person may answer it now."""
    person = await know(conn, room, user_id)
    proposal = await proposals.read(conn, proposal_id)
    if proposal is None:
        return Refusal(code=RefusalCode.PROPOSAL_ENDED)
    step = proposal.kind.value
    if isinstance(person, Refusal):
        return await deny(conn, user_id, person, action=step, case_id=None)
    # Before the row, as whoever proposes does.
    if proposal.kind is ProposalKind.RESUME:
        await switches.lock_alone(conn)
    elif proposal.kind is ProposalKind.POLICY:
        await policies.lock(conn)
    proposal = await proposals.lock(conn, proposal_id)
    if proposal is None or proposal.state is not ProposalState.OPEN:
        return Refusal(code=RefusalCode.PROPOSAL_ENDED)
    if await proposals.is_over(conn, proposal):
        return Refusal(code=RefusalCode.PROPOSAL_ENDED)
    takes_back = rejecting and proposal.proposed_by == user_id
    if takes_back and proposal.kind is not ProposalKind.REVIEW:
        return person, proposal
    refusal = judge_answer(room, person, proposal)
    if refusal is not None:
        return await deny(conn, user_id, refusal, action=step, case_id=None)
    if proposal.kind is ProposalKind.REVIEW and len((words or "").strip()) < MIN_WORDS:
        return Refusal(code=RefusalCode.NO_REASON, count=MIN_WORDS)
    return person, proposal


def judge_answer(room: Room, person: Person, proposal: Proposal) -> Refusal | None:
    """Whether this person may answer a proposal; nobody their own, no exemption."""
    refusal = judge_proposal_step(room, proposal.kind, person)
    if refusal is not None:
        return refusal
    if person.user_id == proposal.proposed_by or person.user_id in proposal.barred:
        return Refusal(code=RefusalCode.OWN_PROPOSAL, action=proposal.kind.value)
    return None


_UNSAID: Mapping[ProposalKind, tuple[Role, ...]] = {
    # A policy from before there were brakes must not leave one on for ever.
    ProposalKind.RESUME: (Role.APPROVER, Role.ENGINEER, Role.ADMIN),
    ProposalKind.POLICY: (Role.ADMIN,),
    ProposalKind.MODE: (Role.APPROVER, Role.ENGINEER),
    ProposalKind.REVIEW: (Role.APPROVER, Role.ADMIN),
}


def judge_proposal_step(room: Room, kind: ProposalKind, person: Person) -> Refusal | None:
    """Whether this person has a role for this kind of proposal."""
    if kind.value in room.policy.file.actions:
        return rules.judge_step(room.policy, kind.value, person)
    if set(_UNSAID[kind]) & person.roles:
        return None
    return rules.no_role(room.policy, kind.value, _UNSAID[kind])


async def _take_effect(
    conn: AsyncConnection, room: Room, proposal: Proposal, user_id: str
) -> Sequence[AuditEntry]:
    if proposal.kind is ProposalKind.REVIEW:
        return [_reviewed(proposal, user_id)]
    return await _EFFECTS[proposal.kind](conn, room, proposal)


async def _end(
    conn: AsyncConnection, room: Room, proposal: Proposal, state: ProposalState
) -> Sequence[AuditEntry]:
    if not await proposals.end(conn, proposal.proposal_id, state, by=None):
        return []
    proposal = await _reread(conn, proposal)
    await _redraw(conn, room, proposal)
    return [_entry(AuditTag.PROPOSAL_EXPIRED, proposal, "system", state=state.value)]


async def _reread(conn: AsyncConnection, proposal: Proposal) -> Proposal:
    return await proposals.read(conn, proposal.proposal_id) or proposal


async def _redraw(conn: AsyncConnection, room: Room, proposal: Proposal) -> None:
    await posts.redraw_notice(
        conn, await notice_of(conn, room, proposal), dedupe_key=_key(proposal)
    )


def _key(proposal: Proposal) -> str:
    return f"proposal:{proposal.proposal_id}"


def _reviewed(proposal: Proposal, user_id: str) -> AuditEntry:
    entry = _entry(AuditTag.GLASS_REVIEWED, proposal, user_id)
    justified = proposal.state is ProposalState.APPROVED
    return replace(
        entry,
        decision_id=proposal.about,
        details={**entry.details, "justified": justified, "broken_by": proposal.proposed_by},
        private={"words": proposal.words or ""},
    )


def _entry(tag: AuditTag, proposal: Proposal, actor: str, **details: object) -> AuditEntry:
    case_id = proposal.body.get("case")
    return AuditEntry(
        actor=actor,
        tag=tag,
        case_id=case_id if isinstance(case_id, int) else None,
        details={
            "proposal": proposal.proposal_id,
            "kind": proposal.kind.value,
            "about": proposal.about,
            "body_hash": proposal.body_hash,
            **details,
        },
    )
