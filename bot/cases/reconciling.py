"""Compare what the ledger believes with what the marketplace says, show what differs, and alarm with age."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.cases.opening import open_findings
from bot.cases.room import POSTS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import MemberFacts, OperationState
from bot.domain.findings import Evidence, EvidenceType, Finding, Mode, Severity
from bot.domain.notices import Notice, NoticeKind
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import StepState
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import audit, operations, posts, ticks
from bot.ledger.operations import EndedOperation
from bot.market.marketplace import Marketplace, StoredOperation

FactsOf = Callable[[Sequence[Subject]], Awaitable[Mapping[Subject, MemberFacts]]]
DRIFT = "ledger_drift"
KEY_PREFIX = "op_"
PAYING_STEPS = frozenset({"void_payment", "refund_payment"})
SETTLED_S = 120.0
"""What ended less long ago may still be on its way to where a look-up sees it."""
AGAIN_AFTER_START_S = 3600.0
BATCH = 400
PARALLEL = 8
REMIND_S, ALARM_S = 900.0, 1800.0
_WORDS = {
    "done": ("実行済み", "done"),
    "not_done": ("未実行", "not done"),
    "missing": ("受け取っていない", "never received"),
    "other_amount": ("金額が違う", "another amount"),
    "unfinished": ("途中", "not finished"),
    "not_ours": ("記録なし", "not in our ledger"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing on which ledger and marketplace disagree."""

    key: str
    subject: Subject
    verb: str
    ours: str
    theirs: str
    """Keys of `_WORDS`, or of an amount: the amount in the smallest unit."""
    amount: int | None = None
    currency: str | None = None
    case_id: int | None = None


def compare(operation: EndedOperation, outcome: Outcome | None) -> Drift | None:
    """What the two disagree on; None where they agree, or where nothing can be said yet."""
    believed = operation.state is OperationState.SUCCEEDED
    if outcome is None:
        told = "missing"
    elif outcome.kind is OutcomeKind.SUCCEEDED:
        told = "done"
    elif outcome.kind is OutcomeKind.REFUSED:
        told = "not_done"
    elif outcome.kind in {OutcomeKind.PARTLY_SUCCEEDED, OutcomeKind.PENDING}:
        told = "unfinished"
    else:
        return None
    if told == "done" and believed and outcome is not None and _pays_otherwise(operation, outcome):
        told = "other_amount"
    agrees = told == "done" if believed else told in {"missing", "not_done"}
    # Of what waits for a person anyway, only what did happen is news.
    if operation.state is OperationState.NEEDS_HUMAN and told != "done":
        agrees = True
    if agrees:
        return None
    return Drift(
        key=operation.operation_id,
        subject=operation.subject,
        verb=operation.verb.value,
        ours="done" if believed else "not_done",
        theirs=told,
        amount=operation.amount,
        currency=operation.currency,
        case_id=operation.case_id,
    )


def _pays_otherwise(operation: EndedOperation, outcome: Outcome) -> bool:
    """Whether a refund gave back another amount than was decided."""
    if operation.verb is not Verb.REFUND:
        return False
    paid = [
        step.amount
        for step in outcome.steps
        if step.name in PAYING_STEPS and step.state is StepState.DONE and step.amount is not None
    ]
    return bool(paid) and sum(paid) != operation.amount


async def reconcile(
    room: Room, api: Marketplace, facts_of: FactsOf, *, since: datetime | None
) -> int:
    """Ask about everything that ended and was not compared yet, then about what came under our keys.

    Returns how many disagreements there were; each is shown once, as a finding of its own.

    Raises:
        MarketUnreachable: the marketplace could not be asked; what was compared before that stays so.
    """
    found: list[Drift] = []
    async with room.engine.connect() as conn:
        ended = await operations.read_unreconciled(conn, settled_for_s=SETTLED_S, limit=BATCH)
    for start in range(0, len(ended), PARALLEL):
        batch = ended[start : start + PARALLEL]
        outcomes = await asyncio.gather(
            *(api.lookup(one.operation_id, verb=one.verb, subject=one.subject) for one in batch)
        )
        drifts = [d for d in map(compare, batch, outcomes) if d is not None]
        await _show(room, drifts, facts_of)
        async with room.engine.begin() as conn:
            await operations.mark_reconciled(conn, [one.operation_id for one in batch])
        found += drifts
    strangers = await _strangers(room, await api.received(since))
    await _show(room, strangers, facts_of)
    return len(found) + len(strangers)


async def compare_again(room: Room) -> None:
    """Have what ended within the last hour compared once more, as after a start."""
    async with room.engine.begin() as conn:
        await operations.compare_again(conn, ended_within_s=AGAIN_AFTER_START_S)
        await ticks.make_due(conn, "job:reconcile")


async def _strangers(room: Room, received: Sequence[StoredOperation]) -> list[Drift]:
    """What was done under keys like ours and no operation of ours has, as after a ledger was restored."""
    ours = {one.key: one for one in received if one.key.startswith(KEY_PREFIX) and one.is_done}
    if not ours:
        return []
    async with room.engine.connect() as conn:
        unknown = await operations.unknown_keys(conn, list(ours))
    return [
        Drift(
            key=key,
            subject=ours[key].subject,
            verb=ours[key].verb.value,
            ours="not_ours",
            theirs="done",
        )
        for key in sorted(unknown)
    ]


async def _show(room: Room, drifts: Sequence[Drift], facts_of: FactsOf) -> None:
    if not drifts:
        return
    facts = await facts_of([drift.subject for drift in drifts])
    now = room.clock.now()
    for drift in drifts:
        opened = await open_findings(room, [_finding(drift, now)], facts)
        if not opened.new:
            continue
        async with room.engine.begin() as conn:
            await audit.append(
                conn,
                [
                    AuditEntry(
                        actor="system",
                        tag=AuditTag.DRIFT_FOUND,
                        case_id=drift.case_id,
                        subject=drift.subject,
                        details={
                            "key": drift.key,
                            "verb": drift.verb,
                            "ours": drift.ours,
                            "theirs": drift.theirs,
                        },
                    )
                ],
            )


def _finding(drift: Drift, now: datetime) -> Finding:
    def told(name: str, ja: str, en: str, word: str) -> Evidence:
        word_ja, word_en = _WORDS[word]
        return Evidence(
            name=name,
            label_ja=ja,
            label_en=en,
            type=EvidenceType.TEXT,
            value=word,
            value_ja=word_ja,
            value_en=word_en,
        )

    key = Evidence(
        name="key",
        label_ja="操作ID",
        label_en="Operation",
        type=EvidenceType.TEXT,
        value=f"{drift.verb} {drift.key}",
    )
    return Finding(
        detection=DRIFT,
        detection_hash="",
        title_ja="台帳とマーケットの食い違い",
        title_en="Ledger and marketplace disagree",
        severity=Severity.P1,
        mode=Mode.REVIEW,
        subject=drift.subject,
        window_key=drift.key,
        occurred_at=now,
        amount=drift.amount,
        currency=drift.currency,
        evidence=(
            told("ours", "台帳", "Our ledger", drift.ours),
            told("theirs", "マーケット", "The marketplace", drift.theirs),
            key,
        ),
    )


async def alarm_overdue(room: Room) -> int:
    """Remind of what is unknown for 15 minutes, and tell everybody after 30; each once. Returns how many."""
    async with room.engine.begin() as conn:
        late = await operations.lock_overdue(conn, older_than_s=ALARM_S, alarm=2, limit=BATCH)
        for one in late:
            await posts.queue_notice(
                conn,
                Notice(
                    kind=NoticeKind.OVERDUE,
                    case_id=one.case_id,
                    subject_ids=(one.subject.id,),
                    action=one.verb.value,
                    detail=one.state.value,
                    count=int(one.for_s // 60),
                ),
                channel=room.loud_channel,
                dedupe_key=f"overdue:{one.operation_id}",
            )
        early = await operations.lock_overdue(conn, older_than_s=REMIND_S, alarm=1, limit=BATCH)
        for one in (*late, *early):
            await posts.queue_story(
                conn,
                one.case_id,
                Story(
                    kind=StoryKind.OPERATION_OVERDUE,
                    verb=one.verb.value,
                    subject_ids=(one.subject.id,),
                    count=int(one.for_s // 60),
                    mention=one.assignee or one.requested_by,
                ),
                dedupe_key=f"overdue:{one.operation_id}:reminder",
            )
    if late or early:
        room.bell.ring(POSTS)
    return len(late) + len(early)
