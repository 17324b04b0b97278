"""Break glass: in an emergency one person lets a waiting request through alone, loudly, and it is reviewed."""

from __future__ import annotations

from dataclasses import replace

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.approving import waiting_refusal
from bot.cases.brakes import tell_all
from bot.cases.caps import entries_of
from bot.cases.deciding import Decided, begins_at, refund_refusal
from bot.cases.freezing import carry_out, circumstances
from bot.cases.gate import BREAK_GLASS, brake, database_now, enter
from bot.cases.proposing import propose, proposed_entry
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, DecisionState
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import ProposalKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, caps, cases, posts

MIN_REASON = 10
CONFIRM = "BREAK GLASS"
"""What must be typed, the same in every language: nobody does this by pressing on."""


async def break_glass(
    room: Room, press: Press, decision_id: str, *, reason: str, word: str
) -> Decided | Refusal:
    """Carry a waiting request out without the approvals that it lacks, even one's own; not while paused.

    Everything else holds: the version, the frozen parameters, what a refund may be. It is told where
    cards go and where security looks, and stays open for review by somebody else.
    """
    reason = reason.strip()
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, BREAK_GLASS)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        decision = view.decision
        refusal = await waiting_refusal(conn, view, decision_id)
        if refusal is not None or decision is None:
            return refusal or Refusal(code=RefusalCode.CASE_CLOSED, case_id=view.case_id)
        refusal = rules.judge_step(room.policy, BREAK_GLASS, person)
        if refusal is not None:
            return await deny(
                conn, press.user_id, refusal, action=BREAK_GLASS, case_id=view.case_id
            )
        if len(reason) < MIN_REASON:
            return Refusal(code=RefusalCode.NO_REASON, count=MIN_REASON, case_id=view.case_id)
        if " ".join(word.upper().split()) != CONFIRM:
            return Refusal(code=RefusalCode.WRONG_WORD, detail=CONFIRM, case_id=view.case_id)
        refusal = await brake(conn, decision.action) or await refund_refusal(
            conn, decision.action, decision.targets, decision.plans
        )
        if refusal is not None:
            return refusal
        # No cap stops an emergency, but what it takes counts for everybody after it.
        await caps.take(
            conn,
            decision_id,
            "approval",
            press.user_id,
            decision.action,
            entries_of(view, decision.targets, decision.plans),
        )
        action = registry()[decision.action]
        decision = replace(decision, starts_at=begins_at(room, action, await database_now(conn)))
        await cases.end_decision(
            conn,
            decision_id,
            DecisionState.APPROVED,
            starts_at=decision.starts_at,
            broken_glass_by=press.user_id,
            broken_glass_reason=reason,
        )
        await cases.move_case(
            conn, view.case_id, version=press.version, to=CaseState.EXECUTING, by=press.user_id
        )
        await carry_out(conn, view, decision, action)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.GLASS_BROKEN,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
                note=reason,
                starts_at=decision.starts_at,
            ),
            dedupe_key=f"glass:{decision_id}",
        )
        await tell_all(
            conn,
            room,
            Notice(
                kind=NoticeKind.GLASS_BROKEN,
                by=press.user_id,
                by_name=person.display_name,
                action=decision.action,
                reason=reason,
                amounts=decision.amounts,
                case_id=view.case_id,
                subject_ids=tuple(dict.fromkeys(s.id for _, s in decision.targets)),
                at=await database_now(conn),
            ),
            key=f"glass:{decision_id}",
        )
        review = await propose(
            conn,
            room,
            kind=ProposalKind.REVIEW,
            about=decision_id,
            body={
                "case": view.case_id,
                "action": decision.action,
                "reason": reason,
                "params_hash": decision.params_hash,
                "requested_by": decision.requested_by,
            },
            by=press.user_id,
            barred=(decision.requested_by,),
        )
        entries = [
            AuditEntry(
                actor=press.user_id,
                tag=AuditTag.GLASS_BROKEN,
                case_id=view.case_id,
                decision_id=decision_id,
                details={
                    **circumstances(person, view),
                    "action": decision.action,
                    "params_hash": decision.params_hash,
                    "requested_by": decision.requested_by,
                    "approvals": len(decision.approvals),
                    "approvals_needed": decision.approvals_needed,
                },
                private={"reason": reason},
            )
        ]
        if review is not None:
            entries.append(proposed_entry(review))
        await audit.append(conn, entries)
    room.bell.ring(OPERATIONS, CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=decision_id, starts_at=decision.starts_at)
