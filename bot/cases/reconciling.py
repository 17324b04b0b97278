"""Compare what the ledger believes with what the marketplace says, show what differs, and alarm with age."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.opening import open_findings
from bot.cases.room import POSTS, Room
from bot.cases.targets import shows
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import MemberFacts, OperationState
from bot.domain.findings import LEDGER_DRIFT, Evidence, EvidenceType, Finding, Mode, Severity
from bot.domain.notices import Notice, NoticeKind
from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import StepState
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import audit, cases, operations, posts, ticks
from bot.ledger.operations import EndedOperation, Overdue
from bot.market.marketplace import Marketplace, MarketUnreachable, StoredOperation

FactsOf = Callable[[Sequence[Subject]], Awaitable[Mapping[Subject, MemberFacts]]]
KEY_PREFIX = "op_"
PAYING_STEPS = frozenset({"void_payment", "refund_payment"})
SETTLED_S = 120.0
"""What ended less long ago may still be on its way to where a look-up sees it."""
AGAIN_AFTER_START_S = 3600.0
BATCH = 400
PARALLEL = 8
SHOWN_BY = frozenset({Verb.HOLD, Verb.RELEASE, Verb.CANCEL, Verb.SUSPEND, Verb.TAKEDOWN})
"""Verbs whose effect the marketplace's own data must show as long as nobody changed it back."""
OVER = frozenset({"canceled", "shipped", "delivered", "completed", "refunded"})
NOT_DONE_FOR_US = frozenset(
    {OperationState.STOPPED, OperationState.FAILED, OperationState.NEEDS_HUMAN}
)
REMIND_S, ALARM_S = 900.0, 1800.0
_WORDS = {
    "once": ("1回", "once"),
    "twice": ("2回以上実行済み", "done more than once"),
    "not_shown": ("反映なし", "not in its data"),
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
    if not operation.can_be_asked:
        return None
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


def missing_from(operation: EndedOperation, facts: MemberFacts | None) -> Drift | None:
    """A success of which the marketplace's own data show nothing, though nothing was begun since."""
    if (
        operation.state is not OperationState.SUCCEEDED
        or operation.verb not in SHOWN_BY
        or not operation.is_last
        or facts is None
        or shows(operation.verb, facts)
    ):
        return None
    # A cancel or a shipment ends a hold, whoever did it.
    ends_holds = facts.canceled_at is not None or facts.shipped_at is not None
    if operation.verb is Verb.HOLD and (ends_holds or facts.status in OVER):
        return None
    return Drift(
        key=operation.operation_id,
        subject=operation.subject,
        verb=operation.verb.value,
        ours="done",
        theirs="not_shown",
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
    away: MarketUnreachable | None = None
    async with room.engine.connect() as conn:
        ended = await operations.read_unreconciled(conn, settled_for_s=SETTLED_S, limit=BATCH)
    for start in range(0, len(ended), PARALLEL):
        batch = ended[start : start + PARALLEL]
        answers = await asyncio.gather(*(_told(api, one) for one in batch))
        away = away or next((a for a in answers if isinstance(a, MarketUnreachable)), None)
        told = {
            one: answer
            for one, answer in zip(batch, answers, strict=True)
            if not isinstance(answer, MarketUnreachable)
        }
        if away is not None and not told:
            # It answers nothing: the next comparison asks again, from the oldest on.
            raise away
        facts = await facts_of([one.subject for one in told if one.verb in SHOWN_BY])
        drifts = [
            drift
            for one, answer in told.items()
            if (drift := compare(one, answer) or missing_from(one, facts.get(one.subject)))
        ]
        await _show(room, drifts, facts_of)
        async with room.engine.begin() as conn:
            await operations.mark_reconciled(conn, [one.operation_id for one in told])
        found += drifts
    known = {drift.key for drift in found}
    others = [d for d in await _received(room, await api.received(since)) if d.key not in known]
    await _show(room, others, facts_of)
    if away is not None:
        raise away
    return len(found) + len(others)


async def _told(api: Marketplace, one: EndedOperation) -> Outcome | MarketUnreachable | None:
    """What the marketplace says of one operation; that one cannot be asked about keeps no other from it."""
    if not one.can_be_asked:
        return None
    try:
        return await api.lookup(one.operation_id, verb=one.verb, subject=one.subject)
    except MarketUnreachable as error:
        return error


async def compare_again(room: Room) -> None:
    """Have what ended within the last hour compared once more, as after a start."""
    async with room.engine.begin() as conn:
        await operations.compare_again(conn, ended_within_s=AGAIN_AFTER_START_S)
        await ticks.make_due(conn, "job:reconcile")


async def _received(room: Room, received: Sequence[StoredOperation]) -> list[Drift]:
    """What was done under keys like ours and stands in no operation of ours, as after a ledger was restored;
    and what was done although we hold it for not done.
    """
    ours = [one for one in received if one.key.startswith(KEY_PREFIX) and one.is_done]
    done = {one.key: one for one in ours}
    times = Counter(one.key for one in ours)
    if not done:
        return []
    async with room.engine.connect() as conn:
        known = await operations.read_states(conn, list(done))
    drifts = []
    for key in sorted(done):
        state, case_id = known.get(key, (None, None))
        believed = state is not None and state not in NOT_DONE_FOR_US
        if believed and times[key] == 1:
            continue
        drifts.append(
            Drift(
                key=key,
                subject=done[key].subject,
                verb=done[key].verb.value,
                ours="not_ours" if state is None else "once" if believed else "not_done",
                theirs="twice" if times[key] > 1 else "done",
                case_id=case_id,
            )
        )
    return drifts


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
        detection=LEDGER_DRIFT,
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
    given = 0
    for alarm, older_than_s in ((2, ALARM_S), (1, REMIND_S)):
        async with room.engine.connect() as conn:
            overdue = await operations.find_overdue(
                conn, older_than_s=older_than_s, alarm=alarm, limit=BATCH
            )
        for operation_id, case_id in overdue:
            async with room.engine.begin() as conn:
                await cases.lock_case(conn, case_id)
                one = await operations.take_alarm(
                    conn, operation_id, older_than_s=older_than_s, alarm=alarm
                )
                if one is not None:
                    await _alarm(conn, room, one, aloud=alarm == 2)
                    given += 1
    if given:
        room.bell.ring(POSTS)
    return given


async def _alarm(conn: AsyncConnection, room: Room, one: Overdue, *, aloud: bool) -> None:
    minutes = int(one.for_s // 60)
    if aloud:
        await posts.queue_notice(
            conn,
            Notice(
                kind=NoticeKind.OVERDUE,
                case_id=one.case_id,
                subject_ids=(one.subject.id,),
                action=one.verb.value,
                detail=one.state.value,
                count=minutes,
            ),
            channel=room.loud_channel,
            dedupe_key=f"overdue:{one.operation_id}",
        )
    await posts.queue_story(
        conn,
        one.case_id,
        Story(
            kind=StoryKind.OPERATION_OVERDUE,
            verb=one.verb.value,
            subject_ids=(one.subject.id,),
            count=minutes,
            mention=one.assignee or one.requested_by,
        ),
        dedupe_key=f"overdue:{one.operation_id}:reminder",
    )
