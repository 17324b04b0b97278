"""Record what people did in the back office themselves, where the marketplace has no endpoint for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from bot.cases import policy as rules
from bot.cases.deciding import Decided
from bot.cases.gate import enter
from bot.cases.recording import settle
from bot.cases.room import CARDS, POSTS, Press, Room, deny
from bot.cases.targets import shows
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView, MemberFacts, Operation, OperationState
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.domain.verbs import OperationClass
from bot.ledger import audit, cases, operations, posts

NOT_DONE = "not_done_by_hand"


def by_hand(view: CaseView) -> tuple[Operation, ...]:
    """The operations that wait for somebody to do them in the back office, or to say what became of them."""
    return tuple(
        operation
        for operation in view.operations
        if operation.state is OperationState.NEEDS_HUMAN
        or (
            operation.operation_class is OperationClass.MANUAL
            and operation.state is OperationState.PENDING
        )
    )


async def record_by_hand(
    room: Room,
    press: Press,
    done: Collection[str],
    *,
    shown: Collection[str],
    words: str = "",
) -> Decided | Refusal:
    """Write down which of the waiting operations (by id) a person has done; the others count as not done.

    Args:
        shown: those that the person could tick; of what came since nothing was said.
        words: how they know; needed for what the bot sent and nobody knows the outcome of.
    """
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, "by_hand")
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = rules.judge_step(room.policy, "by_hand", person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action="by_hand", case_id=view.case_id)
        waiting = tuple(one for one in by_hand(view) if one.operation_id in shown)
        if view.state not in {CaseState.EXECUTING, CaseState.PARTLY_DONE} or not waiting:
            return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
        judged = any(o.state is OperationState.NEEDS_HUMAN for o in waiting)
        if judged and not words.strip():
            return Refusal(code=RefusalCode.NO_REASON, case_id=view.case_id)
        undone: list[str] = []
        entries: list[AuditEntry] = []
        for operation in waiting:
            is_done = operation.operation_id in done
            if not is_done:
                undone.append(operation.subject.id)
            await operations.end_by_hand(
                conn,
                operation.operation_id,
                done=is_done,
                resolved_by="human",
                failure_code=None if is_done else NOT_DONE,
            )
            entry = _entry(view.case_id, operation, press.user_id, "human", done=is_done)
            entries.append(replace(entry, private={"words": words}) if words.strip() else entry)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.BY_HAND,
                by=press.user_id,
                by_name=person.display_name,
                count=len(waiting) - len(undone),
                subject_ids=tuple(undone[:10]),
                note=words.strip() or None,
            ),
            dedupe_key=f"by_hand:{waiting[0].operation_id}",
        )
        settled = await settle(conn, room, view.case_id, view.version, view.state)
        if settled is None:
            # What a person said of a case that was not complete changes what can be decided next.
            again = view.state is CaseState.PARTLY_DONE
            await cases.touch_case(conn, view.case_id, moves_version=again, by=press.user_id)
        else:
            entries.append(settled)
        await audit.append(conn, entries)
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=waiting[0].decision_id)


async def note_seen(room: Room, case_id: int, facts: Mapping[Subject, MemberFacts]) -> int:
    """End what waits for a hand and stands in the marketplace as done already; returns how many."""
    async with room.engine.begin() as conn:
        head = await cases.lock_case(conn, case_id)
        if head is None or head.state is not CaseState.EXECUTING:
            return 0
        view = await cases.read_view(conn, case_id)
        seen = [
            operation
            for operation in (by_hand(view) if view else ())
            if operation.state is OperationState.PENDING
            and operation.subject in facts
            and shows(operation.verb, facts[operation.subject])
        ]
        if not seen:
            return 0
        entries = []
        for operation in seen:
            await operations.end_by_hand(
                conn, operation.operation_id, done=True, resolved_by="seen"
            )
            await cases.store_facts(conn, case_id, operation.subject, facts[operation.subject])
            entries.append(_entry(case_id, operation, "system", "seen", done=True))
        settled = await settle(conn, room, case_id, head.version, head.state)
        if settled is None:
            await cases.touch_case(conn, case_id)
        else:
            entries.append(settled)
        await audit.append(conn, entries)
    room.bell.ring(CARDS, POSTS)
    return len(seen)


async def cases_by_hand(room: Room) -> frozenset[int]:
    """Cases of which something is still to be done by hand."""
    async with room.engine.connect() as conn:
        return frozenset(await operations.cases_by_hand(conn))


def _entry(
    case_id: int, operation: Operation, actor: str, resolved_by: str, *, done: bool
) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        tag=AuditTag.OPERATION_BY_HAND if actor != "system" else AuditTag.OPERATION_ENDED,
        case_id=case_id,
        decision_id=operation.decision_id,
        operation_id=operation.operation_id,
        subject=operation.subject,
        details={
            "verb": operation.verb.value,
            "state": "succeeded" if done else "failed",
            "resolved_by": resolved_by,
            "code": None if done else NOT_DONE,
        },
    )
