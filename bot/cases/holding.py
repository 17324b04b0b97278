"""Holds have an owner and an end: begun, extended with a reason, reminded of, released when they run out."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.deciding import Decided
from bot.cases.freezing import (
    Choice,
    carry_out,
    circumstances,
    decision_entries,
    evidence_of,
    freeze,
)
from bot.cases.gate import EXTEND_HOLD, brake, database_now, enter, state_refusal
from bot.cases.hold_terms import SYSTEM, standing_holds, warning_hours
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny, group_ids
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView, Hold
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import audit, cases, holds, posts
from bot.locale import N_

LEAST = timedelta(minutes=1)
"""Less than this is no extension."""
RAN_OUT = N_("The hold has run out")
_RUNNING = frozenset({CaseState.AWAITING_APPROVAL, CaseState.EXECUTING})


async def extend_hold(room: Room, press: Press, *, words: str) -> Decided | Refusal:
    """Let a hold last another period, for a reason; it belongs to whoever said so from then on."""
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, EXTEND_HOLD)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = rules.judge_step(room.policy, EXTEND_HOLD, person)
        if refusal is not None:
            return await deny(
                conn, press.user_id, refusal, action=EXTEND_HOLD, case_id=view.case_id
            )
        # Whoever may release may extend, in the same states: else the end waits anyway.
        refusal = state_refusal(view, "release")
        if refusal is not None:
            return refusal
        if view.hold is None or not standing_holds(view):
            return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
        if not words.strip():
            return Refusal(code=RefusalCode.NO_REASON, case_id=view.case_id)
        now = await database_now(conn)
        until = extended_until(room, view.hold, now)
        if until - view.hold.until < LEAST:
            return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
        await holds.extend_hold(conn, view.case_id, owner=press.user_id, until=until)
        # Two people who extend it at once extend it once.
        await cases.touch_case(conn, view.case_id, moves_version=True, by=press.user_id)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.HOLD_EXTENDED,
                by=press.user_id,
                by_name=person.display_name,
                note=words,
                expires_at=until,
            ),
            dedupe_key=f"hold_extended:{view.case_id}:{view.version}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.HOLD_EXTENDED,
                    case_id=view.case_id,
                    details={
                        **circumstances(person, view),
                        "from": view.hold.until.isoformat(),
                        "until": until.isoformat(),
                        "orders": [subject.id for subject in standing_holds(view)],
                    },
                    private={"words": words},
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=None)


def extended_until(room: Room, hold: Hold, now: datetime) -> datetime:
    """Another period from the end on, and never more than two from now, however often it is said."""
    calendar, hours = room.calendar, room.policy.file.hold_hours
    return min(calendar.add_hours(max(now, hold.until), hours), calendar.add_hours(now, 2 * hours))


async def follow_holds(room: Room) -> int:
    """Remind the owners of holds that end soon, and release those that ran out. Returns how many of both.

    While a request waits or operations run, the end of a hold waits with them. However many processes
    there are, each is done once: the case is read again under its lock.
    """
    async with room.engine.connect() as conn:
        now = await database_now(conn)
        soon = room.calendar.add_hours(now, warning_hours(room))
        found = await holds.holds_to_look_at(conn, soon)
    done = 0
    for case_id in found:
        async with room.engine.begin() as conn:
            done += await _follow(conn, room, case_id)
    if done:
        room.bell.ring(OPERATIONS, CARDS, POSTS)
    return done


async def _follow(conn: AsyncConnection, room: Room, case_id: int) -> bool:
    head = await cases.lock_case(conn, case_id)
    view = await cases.read_view(conn, case_id)
    if head is None or view is None or view.hold is None or view.state in _RUNNING:
        return False
    now = await database_now(conn)
    held = standing_holds(view)
    if not held:
        if view.hold.until > now:
            return False
        await holds.end_hold(conn, case_id)
        await cases.touch_case(conn, case_id)
        return True
    if view.hold.warned_at is None:
        return await _warn(conn, room, view, held, now)
    if view.hold.until > now:
        return False
    return await _release(conn, room, view, held, now)


async def _warn(
    conn: AsyncConnection, room: Room, view: CaseView, held: tuple[Subject, ...], now: datetime
) -> bool:
    calendar, hours = room.calendar, warning_hours(room)
    if view.hold is None or not calendar.is_staffed(now):
        return False
    if calendar.add_hours(now, hours) < view.hold.until:
        return False
    # Whoever is reminded late, as after we stood still, gets the time that was promised.
    until = view.hold.until
    if calendar.add_hours(now, hours / 2) > until:
        until = calendar.add_hours(now, hours)
    await holds.warn_of_hold(conn, view.case_id, until=until)
    await cases.touch_case(conn, view.case_id)
    await cases.show_card(conn, view.case_id)
    owner = view.hold.owner or view.assignee
    rule = room.policy.file.actions.get(EXTEND_HOLD)
    team = room.policy.groups_of(rule.request if rule else ())
    await posts.queue_story(
        conn,
        view.case_id,
        Story(
            kind=StoryKind.HOLD_WARNED,
            orders=len(held),
            expires_at=until,
            mention=owner,
            approver_groups=() if owner else await group_ids(conn, team),
        ),
        dedupe_key=f"hold_warned:{view.case_id}:{now.isoformat()}",
    )
    await audit.append(
        conn,
        [
            AuditEntry(
                actor=SYSTEM,
                tag=AuditTag.HOLD_WARNED,
                case_id=view.case_id,
                details={"owner": owner, "until": until.isoformat()},
            )
        ],
    )
    return True


async def _release(
    conn: AsyncConnection, room: Room, view: CaseView, held: tuple[Subject, ...], now: datetime
) -> bool:
    """The system's own decision: what was held and neither decided nor extended goes on."""
    action = registry()["release"]
    # What was judged fraud stays held: its money must not flow on because nobody looked.
    free = [s for s in held if not await cases.is_judged_fraud(conn, s)]
    if room.dry_run or Verb.RELEASE not in view.offered or await brake(conn, action.name):
        return False
    if not free:
        await holds.end_hold(conn, view.case_id)
        await cases.touch_case(conn, view.case_id)
        return True
    choice = Choice(
        action=action.name,
        targets=tuple((Verb.RELEASE, subject) for subject in free),
        plans=(),
        reason=RAN_OUT,
    )
    decision = freeze(view, choice, requested_by=SYSTEM, amounts=(), now=now)
    await cases.move_case(
        conn, view.case_id, version=view.version, to=CaseState.EXECUTING, by=SYSTEM
    )
    await cases.insert_decision(
        conn,
        decision,
        evidence=evidence_of(view),
        policy_hash=room.policy.hash,
        dry_run=room.dry_run,
    )
    await carry_out(conn, view, decision, action)
    await holds.end_hold(conn, view.case_id)
    await posts.queue_story(
        conn,
        view.case_id,
        Story(kind=StoryKind.HOLD_ENDED, orders=len(free)),
        dedupe_key=f"decision:{decision.decision_id}",
    )
    await audit.append(
        conn,
        [
            *decision_entries(
                decision, SYSTEM, waits=False, circumstances=circumstances(None, view)
            ),
            AuditEntry(
                actor=SYSTEM,
                tag=AuditTag.HOLD_ENDED,
                case_id=view.case_id,
                decision_id=decision.decision_id,
                details={"orders": [subject.id for subject in free]},
            ),
        ],
    )
    return True
