"""Outside staffed hours: hold at once what a listed detection found, under a cap, and tell the next shift."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases.caps import entries_of, leeway_for
from bot.cases.freezing import (
    Choice,
    carry_out,
    circumstances,
    decision_entries,
    evidence_of,
    freeze,
)
from bot.cases.gate import brake, database_now
from bot.cases.policy import Money, OffHours
from bot.cases.room import CARDS, OPERATIONS, POSTS, Room
from bot.cases.targets import targets_of
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView
from bot.domain.findings import Finding, Mode, Severity
from bot.domain.notices import Notice, NoticeKind
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import audit, caps, cases, nights, posts
from bot.ledger.nights import Held, NightOrder, ToldOrder
from bot.locale import N_

HOLD = "hold"
REASON = N_("Found outside staffed hours")
CASES = 10


async def hold_at_night(
    conn: AsyncConnection, room: Room, case_id: int, finding: Finding
) -> list[AuditEntry]:
    """Hold the orders that a listed detection names while nobody is there, in the case that it opened or joined.

    Never anything but a hold, only what the night's caps leave room for, the dearest first, and nothing
    that anybody has decided on before. Returns what the log must say; the caller appends it.
    """
    rule = room.policy.file.off_hours
    if rule is None or not _is_listed(rule, finding):
        return []
    now = await database_now(conn)
    if room.calendar.is_staffed(now):
        return []
    view = await cases.read_view(conn, case_id)
    if view is None or view.state is not CaseState.OPEN or Verb.HOLD in view.by_hand:
        return []
    wanted = orders_of(view, finding, await nights.known_orders(conn, view.case_id))
    if not wanted:
        return []
    opens_at = room.calendar.next_opening(now)
    actor = f"detection:{finding.detection}"
    # After the case's row and before the log's head, as in every transaction that decides.
    await caps.lock_caps(conn)
    orders = await _judge(conn, room, rule, view, wanted, actor=actor, opens_at=opens_at)
    held = [order for order in orders if order.why_not is None]
    entries, decision_id = await hold_in_name(
        conn, room, view, held, actor=actor, now=now, reason=REASON, tag=AuditTag.NIGHT_HELD
    )
    await nights.insert_night_orders(
        conn,
        case_id,
        orders,
        detection=finding.detection,
        opens_at=opens_at,
        decision_id=decision_id,
    )
    left = [order for order in orders if order.why_not is not None]
    key = f"night:{case_id}:{orders[0].subject.id}"
    await _tell_thread(conn, case_id, held, left, dedupe_key=key)
    if left:
        entries.append(
            AuditEntry(
                actor=actor,
                tag=AuditTag.NIGHT_NOT_HELD,
                case_id=case_id,
                details={
                    "orders": [order.subject.id for order in left],
                    "why": sorted({order.why_not or "" for order in left}),
                },
            )
        )
    return entries


def _is_listed(rule: OffHours, finding: Finding) -> bool:
    return (
        finding.detection in rule.detections
        and finding.severity is Severity.P1
        and finding.mode is Mode.REVIEW
    )


async def hold_newcomers(room: Room) -> int:
    """Hold what joined a case while its first orders were being held; returns in how many cases."""
    if room.policy.file.off_hours is None:
        return 0
    async with room.engine.connect() as conn:
        now = await database_now(conn)
        if room.calendar.is_staffed(now):
            return 0
        found = await nights.open_cases_of(conn, room.calendar.next_opening(now))
    joined = 0
    for case_id in found:
        async with room.engine.begin() as conn:
            await cases.lock_case(conn, case_id)
            view = await cases.read_view(conn, case_id)
            entries: list[AuditEntry] = []
            for finding in view.findings if view else ():
                # After the first hold the case is under way, and the rest waits for the next look.
                entries = entries or await hold_at_night(conn, room, case_id, finding)
            if entries:
                await audit.append(conn, entries)
                joined += 1
    if joined:
        room.bell.ring(OPERATIONS, CARDS, POSTS)
    return joined


def orders_of(view: CaseView, finding: Finding, known: Collection[str]) -> list[NightOrder]:
    """The orders of a finding that could be held and that nobody has decided on, dearest first."""
    named = {finding.subject.id, *finding.order_ids}
    facts = {member.subject: member.facts for member in view.members}
    decided = {subject for decision in view.decisions for _, subject in decision.targets}
    found = [
        NightOrder(
            subject=subject,
            amount=facts[subject].amount or 0,
            currency=facts[subject].currency or "?",
        )
        for _, subject in targets_of(registry()[HOLD], view)
        if subject.id in named and subject not in decided and subject.id not in known
    ]
    return sorted(found, key=lambda order: (-order.amount, order.subject.id))


async def _judge(
    conn: AsyncConnection,
    room: Room,
    rule: OffHours,
    view: CaseView,
    wanted: Sequence[NightOrder],
    *,
    actor: str,
    opens_at: datetime,
) -> list[NightOrder]:
    """Each order with why it may not be held, if it may not."""
    if await brake(conn, HOLD) is not None:
        return [left_out(order, "paused") for order in wanted]
    taken = await nights.held_in(conn, opens_at)
    judged = within(rule.caps, rule.count, taken, wanted)
    subjects = [order.subject for order in judged if order.why_not is None]
    leeway = await leeway_for(conn, room.policy, HOLD, actor, cap_entries(view, subjects))
    if leeway.own or leeway.refusal:
        return [left_out(order, "cap") for order in wanted]
    return judged


def within(limits: Money, most: int, taken: Held, wanted: Sequence[NightOrder]) -> list[NightOrder]:
    """What these caps leave room for; a smaller order may fit where a dearer one did not."""
    count, sums = taken.count, dict(taken.amounts)
    judged: list[NightOrder] = []
    for order in wanted:
        amount = sums.get(order.currency, 0) + order.amount
        fits = order.currency in limits and amount <= limits[order.currency]
        if count >= most or not fits:
            judged.append(left_out(order, "cap"))
            continue
        count += 1
        sums[order.currency] = amount
        judged.append(order)
    return judged


def left_out(order: NightOrder, why_not: str) -> NightOrder:
    return NightOrder(
        subject=order.subject, amount=order.amount, currency=order.currency, why_not=why_not
    )


def cap_entries(view: CaseView, subjects: Collection[Subject]) -> tuple[caps.CapEntry, ...]:
    return entries_of(view, [(Verb.HOLD, subject) for subject in subjects], ())


async def hold_in_name(
    conn: AsyncConnection,
    room: Room,
    view: CaseView,
    orders: Sequence[NightOrder],
    *,
    actor: str,
    now: datetime,
    reason: str,
    tag: AuditTag,
) -> tuple[list[AuditEntry], str | None]:
    """The system's own decision, in the detection's name."""
    if not orders:
        return [], None
    action = registry()[HOLD]
    subjects = [order.subject for order in orders]
    choice = Choice(
        action=HOLD,
        targets=tuple((Verb.HOLD, subject) for subject in subjects),
        plans=(),
        reason=reason,
    )
    decision = freeze(view, choice, requested_by=actor, amounts=(), now=now)
    await cases.move_case(
        conn, view.case_id, version=view.version, to=CaseState.EXECUTING, by=actor
    )
    await cases.insert_decision(
        conn,
        decision,
        evidence=evidence_of(view),
        policy_hash=room.policy.hash,
        dry_run=room.dry_run,
    )
    await caps.take(conn, decision.decision_id, "request", actor, HOLD, cap_entries(view, subjects))
    await carry_out(conn, view, decision, action)
    made = AuditEntry(
        actor=actor,
        tag=tag,
        case_id=view.case_id,
        decision_id=decision.decision_id,
        details={
            "orders": [subject.id for subject in subjects],
            "amounts": [list(pair) for pair in sums_of(orders)],
        },
    )
    entries = decision_entries(
        decision, actor, waits=False, circumstances=circumstances(None, view)
    )
    return [*entries, made], decision.decision_id


async def _tell_thread(
    conn: AsyncConnection,
    case_id: int,
    held: Sequence[NightOrder],
    left: Sequence[NightOrder],
    *,
    dedupe_key: str,
) -> None:
    await posts.queue_story(
        conn,
        case_id,
        Story(
            kind=StoryKind.NIGHT_HELD,
            orders=len(held),
            amounts=sums_of(held),
            count=len(left),
            detail=left[0].why_not if left else None,
        ),
        dedupe_key=dedupe_key,
    )


def sums_of(orders: Sequence[NightOrder | ToldOrder]) -> tuple[tuple[int, str], ...]:
    """Money a currency, dearest first; what has no known currency is no sum."""
    sums: dict[str, int] = {}
    for order in orders:
        if order.currency not in {"", "?"}:
            sums[order.currency] = sums.get(order.currency, 0) + order.amount
    return tuple(sorted(((amount, currency) for currency, amount in sums.items()), reverse=True))


async def tell_shift(room: Room) -> bool:
    """Once somebody is there: what was held since they left, for how much, and what was not. Once."""
    async with room.engine.begin() as conn:
        if not room.calendar.is_staffed(await database_now(conn)):
            return False
        untold = await nights.take_untold(conn)
        if untold is None:
            return False
        opens_at, orders = untold
        held = [order for order in orders if order.why_not is None]
        sure = [order for order in held if order.state == "succeeded"]
        capped = [order for order in orders if order.why_not == "cap"]
        paused = [order for order in orders if order.why_not == "paused"]
        counts = {
            "held": len(sure),
            "unsure": len(held) - len(sure),
            "cap": len(capped),
            "paused": len(paused),
        }
        case_ids = list(dict.fromkeys(order.case_id for order in orders))
        await posts.queue_notice(
            conn,
            Notice(
                kind=NoticeKind.SHIFT,
                at=opens_at,
                count=len(case_ids),
                counts=tuple(counts.items()),
                amounts=sums_of(sure),
                left_amounts=sums_of([*capped, *paused]),
                case_ids=tuple(case_ids[:CASES]),
            ),
            channel=room.channel,
            dedupe_key=f"shift:{opens_at.isoformat()}:{orders[0].case_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor="system",
                    tag=AuditTag.SHIFT_TOLD,
                    details={"cases": case_ids, **counts},
                )
            ],
        )
    room.bell.ring(POSTS)
    return True
