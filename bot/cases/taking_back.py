"""Take a decision back before anything of it was sent."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases import policy as rules
from bot.cases.deciding import Decided
from bot.cases.freezing import circumstances
from bot.cases.gate import enter
from bot.cases.recording import state_before, verdict_before
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny, stale
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView, Decision
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, caps, cases, operations, posts


async def take_back(room: Room, press: Press) -> Decided | Refusal:
    """End an approved decision as if it had not been made; the case is as it was before.

    Whoever asked for it may, and whoever may stop operations: standing still harms nobody. All of it
    or nothing: once one operation has begun, only the rest can be stopped.
    """
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, "take_back")
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        decision = view.decision
        if view.state is not CaseState.EXECUTING or decision is None:
            head = await cases.lock_case(conn, press.case_id)
            return await stale(conn, head) if head else _not_found(press)
        if person.user_id != decision.requested_by:
            refusal = rules.judge_step(room.policy, "stop_rest", person)
            if refusal is not None:
                return await deny(
                    conn, press.user_id, refusal, action="take_back", case_id=view.case_id
                )
        if decision.starts_at is None or not await operations.lock_unbegun(
            conn, decision.decision_id
        ):
            return Refusal(code=RefusalCode.TOO_LATE, action=decision.action, case_id=view.case_id)
        stopped = await operations.stop_queued(conn, decision.decision_id)
        if not await cases.take_decision_back(conn, decision.decision_id, press.user_id):
            return Refusal(code=RefusalCode.TOO_LATE, action=decision.action, case_id=view.case_id)
        await caps.give_back(conn, decision.decision_id)
        await _restore(conn, room, view, decision, press)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.TAKEN_BACK,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
                count=stopped,
            ),
            dedupe_key=f"taken_back:{decision.decision_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.DECISION_TAKEN_BACK,
                    case_id=view.case_id,
                    decision_id=decision.decision_id,
                    details={
                        **circumstances(person, view),
                        "action": decision.action,
                        "operations": stopped,
                    },
                )
            ],
        )
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision.decision_id)


async def _restore(
    conn: AsyncConnection, room: Room, view: CaseView, decision: Decision, press: Press
) -> None:
    """The state and the verdicts that stood before the decision."""
    to = state_before(view, decision)
    subjects = {subject for _, subject in decision.targets}
    judged = {subject: verdict_before(view, decision, subject) for subject in subjects}
    for verdict in set(judged.values()):
        mine = {subject for subject in subjects if judged[subject] == verdict}
        await cases.set_verdicts(conn, view.case_id, verdict, mine)
    await cases.move_case(
        conn,
        view.case_id,
        version=press.version,
        to=to,
        by=press.user_id,
        closed_at=room.clock.now() if to is CaseState.DONE else None,
    )


def _not_found(press: Press) -> Refusal:
    return Refusal(code=RefusalCode.CASE_NOT_FOUND, case_id=press.case_id)
