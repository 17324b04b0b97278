"""Let somebody stand in for an approver who is away: from when until when, told to everybody, in the log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases import policy as rules
from bot.cases.policy import judge_person
from bot.cases.room import POSTS, Room, deny, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import Approval, CaseView, Decision
from bot.domain.notices import Notice, NoticeKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Delegation, Person, Role
from bot.ledger import audit, cases, delegations, people, posts

LONGEST = timedelta(days=60)
STEP = "delegate"
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(\|[^>]*)?>|([UW][A-Z0-9]{5,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who is to stand in for whom, on which days of the team's zone, both included."""

    from_user: str
    to_user: str
    first: date
    last: date


async def delegate(room: Room, user_id: str, wish: Wish) -> Delegation | Refusal:
    """Let a colleague approve in somebody's place: for oneself, or as an admin for another."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        if isinstance(person, Refusal):
            return await deny(conn, user_id, person, action=STEP, case_id=None)
        refusal = rules.judge_step(room.policy, STEP, person)
        if refusal is None and wish.from_user != user_id and Role.ADMIN not in person.roles:
            refusal = rules.no_role(room.policy, STEP, [Role.ADMIN])
        if refusal is not None:
            return await deny(conn, user_id, refusal, action=STEP, case_id=None)
        starts_at = datetime.combine(wish.first, time(0), room.zone)
        ends_at = datetime.combine(wish.last + timedelta(days=1), time(0), room.zone)
        problem = await _problem(conn, room, wish, starts_at, ends_at)
        if problem is not None:
            return problem
        delegation = Delegation(
            delegation_id=f"del_{uuid4().hex}",
            from_user=wish.from_user,
            to_user=wish.to_user,
            starts_at=starts_at,
            ends_at=ends_at,
            created_by=user_id,
        )
        await delegations.insert_delegation(conn, delegation)
        await _tell(conn, room, delegation, NoticeKind.DELEGATED)
        await audit.append(conn, [_entry(delegation, user_id, AuditTag.DELEGATED)])
    room.bell.ring(POSTS)
    return delegation


async def end_delegation(room: Room, user_id: str) -> Sequence[Delegation] | Refusal:
    """End everything that somebody delegated; they are back."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        if isinstance(person, Refusal):
            return await deny(conn, user_id, person, action=STEP, case_id=None)
        ended = await delegations.end_delegations(conn, user_id, user_id)
        if not ended:
            return Refusal(code=RefusalCode.NOTHING_TO_DO)
        for delegation in ended:
            await _tell(conn, room, delegation, NoticeKind.DELEGATION_ENDED)
        await audit.append(conn, [_entry(one, user_id, AuditTag.DELEGATION_ENDED) for one in ended])
    room.bell.ring(POSTS)
    return ended


async def delegations_now(
    room: Room, user_id: str
) -> tuple[Sequence[Delegation], dict[str, str]] | Refusal:
    """Who stands in for whom, now and later, with display names."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        if isinstance(person, Refusal):
            return await deny(conn, user_id, person, action=STEP, case_id=None)
        found = await delegations.not_over(conn)
        ids = {one.from_user for one in found} | {one.to_user for one in found}
        return found, await cases.read_names(conn, ids)


async def find_by_name(room: Room, told: str) -> str | None:
    """The user id behind a mention, an id, or an @name that only one person has."""
    mention = _MENTION.fullmatch(told)
    if mention is not None:
        return mention[1] or mention[3]
    async with room.engine.connect() as conn:
        found = await people.find_by_display_name(conn, told.removeprefix("@"))
    return found[0] if len(found) == 1 else None


async def stand_in(
    conn: AsyncConnection, room: Room, person: Person, view: CaseView, decision: Decision
) -> Approval | None:
    """The approval that a person may give in somebody else's place; None: in nobody's.

    It lends a right, not a request: whoever asked, opened the case or has approved already cannot be
    stood in for, and what somebody stands in for cannot be passed on.
    """
    taken = {decision.requested_by, view.opened_by}
    for approval in decision.approvals:
        taken |= {approval.user_id, approval.on_behalf_of}
    if person.user_id in taken:
        return None
    for delegation in await delegations.active_for(conn, person.user_id):
        if delegation.from_user in taken:
            continue
        lender = await know(conn, room, delegation.from_user)
        if isinstance(lender, Refusal):
            continue
        lent = replace(person, roles=lender.roles)
        if rules.judge_waiting(room.policy, decision, lent, opened_by=view.opened_by) is None:
            return Approval(
                user_id=person.user_id,
                at=view.updated_at,
                roles=tuple(sorted(role.value for role in lender.roles)),
                on_behalf_of=lender.user_id,
            )
    return None


async def _problem(
    conn: AsyncConnection, room: Room, wish: Wish, starts_at: datetime, ends_at: datetime
) -> Refusal | None:
    now = datetime.now(room.zone)
    if wish.from_user == wish.to_user:
        return Refusal(code=RefusalCode.BAD_DELEGATION, detail="self")
    if ends_at <= now or ends_at <= starts_at:
        return Refusal(code=RefusalCode.BAD_DELEGATION, detail="past")
    if ends_at - max(starts_at, now) > LONGEST:
        return Refusal(code=RefusalCode.BAD_DELEGATION, detail="long")
    for user_id, role_needed in ((wish.from_user, True), (wish.to_user, False)):
        found = await people.read_person(conn, user_id)
        person = found[0] if found else None
        refusal = judge_person(person, 0.0, room.home_team)
        if refusal is not None or person is None:
            return Refusal(code=RefusalCode.BAD_DELEGATION, detail="person")
        lends = {role for rule in room.policy.file.actions.values() for role in rule.approve}
        if role_needed and not lends & person.roles:
            return Refusal(code=RefusalCode.BAD_DELEGATION, detail="nothing")
        # Somebody without any role here has no business with money, whoever asks them to.
        if not role_needed and not person.roles:
            return Refusal(code=RefusalCode.BAD_DELEGATION, detail="outsider")
    return None


async def _tell(
    conn: AsyncConnection, room: Room, delegation: Delegation, kind: NoticeKind
) -> None:
    names = await cases.read_names(
        conn, {delegation.from_user, delegation.to_user, delegation.created_by}
    )
    await posts.queue_notice(
        conn,
        Notice(
            kind=kind,
            by=delegation.from_user,
            by_name=names.get(delegation.from_user),
            person=delegation.to_user,
            person_name=names.get(delegation.to_user),
            names=(names.get(delegation.created_by, delegation.created_by),),
            at=delegation.starts_at,
            # The last moment, so that the day that is shown is the last one.
            until=delegation.ends_at - timedelta(minutes=1),
        ),
        channel=room.loud_channel,
        dedupe_key=f"{kind}:{delegation.delegation_id}",
    )


def _entry(delegation: Delegation, actor: str, tag: AuditTag) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        tag=tag,
        details={
            "delegation": delegation.delegation_id,
            "from": delegation.from_user,
            "to": delegation.to_user,
            "starts_at": delegation.starts_at.isoformat(),
            "ends_at": delegation.ends_at.isoformat(),
        },
    )
