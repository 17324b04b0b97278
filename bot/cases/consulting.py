"""Let a case wait for an answer: of the customer, or of the people of another group."""

from __future__ import annotations

from datetime import timedelta

from bot.cases import policy as rules
from bot.cases.deciding import Decided
from bot.cases.freezing import circumstances
from bot.cases.gate import database_now, enter, state_refusal
from bot.cases.room import CARDS, POSTS, Press, Room, deny, group_ids
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import Wait, WaitKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, cases, posts

CONSULT = "consult"


async def consult(room: Room, press: Press, *, group: str | None, words: str) -> Decided | Refusal:
    """Note that the customer was asked (`group` None), or pass the case to a user group of the policy.

    Args:
        group: the user group's handle.
        words: the text that the customer is to get, or what the group should know.
    """
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, CONSULT)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = state_refusal(view, CONSULT)
        if refusal is not None:
            return refusal
        refusal = rules.judge_step(room.policy, CONSULT, person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=CONSULT, case_id=view.case_id)
        if group is not None and group not in room.policy.handles:
            return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
        now = await database_now(conn)
        hours = (
            room.policy.file.customer_wait_hours
            if group is None
            else room.policy.file.escalation_wait_hours
        )
        wait = Wait(
            kind=WaitKind.CUSTOMER if group is None else WaitKind.GROUP,
            by=press.user_id,
            since=now,
            until=now + timedelta(hours=hours),
            group=group,
        )
        await cases.set_wait(conn, view.case_id, wait)
        # Who asked the customer awaits the answer; what was passed on is for the others to take.
        await cases.assign_case(
            conn, view.case_id, (view.assignee or press.user_id) if group is None else None
        )
        await cases.touch_case(conn, view.case_id, moves_version=True, by=press.user_id)
        await cases.show_card(conn, view.case_id)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.ASKED if group is None else StoryKind.ESCALATED,
                by=press.user_id,
                by_name=person.display_name,
                note=words or None,
                expires_at=wait.until,
                approver_groups=await group_ids(conn, (group,)) if group is not None else (),
            ),
            dedupe_key=f"consulted:{view.case_id}:{view.version}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.CASE_ASKED if group is None else AuditTag.CASE_ESCALATED,
                    case_id=view.case_id,
                    details={**circumstances(person, view), "group": group},
                    private={"words": words},
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=None)


async def end_waits(room: Room) -> int:
    """Bring back the cases whose answer did not come in time. Returns how many."""
    async with room.engine.connect() as conn:
        overdue = await cases.overdue_waits(conn)
    ended = 0
    for case_id in overdue:
        async with room.engine.begin() as conn:
            head = await cases.lock_case(conn, case_id)
            view = await cases.read_view(conn, case_id)
            now = await database_now(conn)
            wait = view.wait if view else None
            if head is None or wait is None or wait.until is None or wait.until > now:
                continue
            await cases.set_wait(conn, case_id, None)
            await cases.touch_case(conn, case_id)
            await posts.queue_story(
                conn,
                case_id,
                Story(kind=StoryKind.WAIT_OVER, by=wait.by, mention=wait.by),
                dedupe_key=f"wait_over:{case_id}:{wait.since.isoformat()}",
            )
            await audit.append(
                conn,
                [AuditEntry(actor="system", tag=AuditTag.CASE_WAIT_OVER, case_id=case_id)],
            )
            ended += 1
    if ended:
        room.bell.ring(CARDS, POSTS)
    return ended
