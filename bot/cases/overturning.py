"""Find a decision wrong later: it counts against the detections, and a case that was dismissed is open again."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.deciding import Decided
from bot.cases.freezing import circumstances
from bot.cases.gate import DISMISS, OVERTURN, enter
from bot.cases.room import CARDS, POSTS, Press, Room, deny
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView, Decision, DecisionState
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, cases, feedback, posts

MIN_WORDS = 10
"""What shows that it was wrong, in so many characters at the least."""


def decision_of(view: CaseView) -> Decision | None:
    """The decision that ended a case: the last one that stands and closed it; None while it is not ended."""
    if view.state not in {CaseState.DONE, CaseState.DISMISSED}:
        return None
    closing = [
        decision
        for decision in view.decisions
        if decision.state is DecisionState.APPROVED
        and (
            decision.action == DISMISS
            or (decision.action in registry() and registry()[decision.action].closes_case)
        )
    ]
    return closing[-1] if closing else None


def judge_overturn(view: CaseView, person: Person) -> Decision | Refusal:
    """The decision that this person may overturn: nobody one that they made or let through."""
    decision = decision_of(view)
    if decision is None:
        return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
    took_part = {decision.requested_by, decision.broken_glass_by}
    for approval in decision.approvals:
        took_part |= {approval.user_id, approval.on_behalf_of}
    if person.user_id in took_part:
        return Refusal(code=RefusalCode.OWN_DECISION, case_id=view.case_id)
    return decision


async def overturn(room: Room, press: Press, *, words: str) -> Decided | Refusal:
    """Judge a decided case the other way round; the marketplace is changed by its own buttons, not by this."""
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, OVERTURN)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = rules.judge_step(room.policy, OVERTURN, person)
        decision = judge_overturn(view, person) if refusal is None else refusal
        if isinstance(decision, Refusal):
            if decision.code is RefusalCode.NOTHING_TO_DO:
                return decision
            return await deny(conn, press.user_id, decision, action=OVERTURN, case_id=view.case_id)
        if len(words.strip()) < MIN_WORDS:
            return Refusal(code=RefusalCode.NO_REASON, count=MIN_WORDS, case_id=view.case_id)
        verdict = "fraud" if decision.action == DISMISS else "good"
        made = await feedback.insert_overturn(
            conn,
            decision_id=decision.decision_id,
            case_id=view.case_id,
            verdict=verdict,
            by=press.user_id,
        )
        if not made:
            return Refusal(code=RefusalCode.OVERTURNED, case_id=view.case_id)
        await _judge_anew(conn, view, decision, verdict, press)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.OVERTURNED,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
                note=words.strip(),
            ),
            dedupe_key=f"overturned:{decision.decision_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.DECISION_OVERTURNED,
                    case_id=view.case_id,
                    decision_id=decision.decision_id,
                    details={
                        **circumstances(person, view),
                        "action": decision.action,
                        "verdict": verdict,
                    },
                    private={"words": words.strip()},
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision.decision_id)


async def _judge_anew(
    conn: AsyncConnection, view: CaseView, decision: Decision, verdict: str, press: Press
) -> None:
    subjects = None if decision.action == DISMISS else {subject for _, subject in decision.targets}
    await cases.set_verdicts(conn, view.case_id, verdict, subjects, overturned=True)
    if decision.action == DISMISS:
        await cases.move_case(
            conn, view.case_id, version=press.version, to=CaseState.OPEN, by=press.user_id
        )
    else:
        await cases.touch_case(conn, view.case_id)
