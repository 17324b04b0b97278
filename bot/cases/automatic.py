"""What a detection in automatic does by itself: it holds what it finds, under caps, and asks where these end."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases.caps import leeway_for
from bot.cases.gate import brake, database_now
from bot.cases.nights import HOLD, cap_entries, hold_in_name, left_out, orders_of, sums_of, within
from bot.cases.policy import Automatic
from bot.cases.room import CARDS, OPERATIONS, POSTS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView
from bot.domain.findings import Finding, Mode
from bot.domain.story import Story, StoryKind
from bot.domain.verbs import Verb
from bot.ledger import audit, automatic, caps, cases, posts
from bot.ledger.nights import NightOrder
from bot.locale import N_

REASON = N_("Found by a detection in automatic")


async def hold_automatically(
    conn: AsyncConnection, room: Room, case_id: int, finding: Finding
) -> list[AuditEntry]:
    """Hold the orders that a finding of a detection in automatic names, in the case that it opened or joined.

    Only what the policy's caps of 24 hours leave room for, the dearest first, and nothing that anybody has
    decided on before; whatever is left over stays with people, as in review. Returns what the log must
    say; the caller appends it.
    """
    rule = room.policy.file.automatic
    if rule is None or finding.mode is not Mode.AUTOMATIC or HOLD not in finding.actions:
        return []
    view = await cases.read_view(conn, case_id)
    if view is None or view.state is not CaseState.OPEN or Verb.HOLD in view.by_hand:
        return []
    wanted = orders_of(view, finding, await automatic.known_orders(conn, case_id))
    if not wanted:
        return []
    actor = f"detection:{finding.detection}"
    # After the case's row and before the log's head, as in every transaction that decides.
    await caps.lock_caps(conn)
    orders = await _judge(conn, room, rule, view, wanted, actor=actor)
    held = [order for order in orders if order.why_not is None]
    left = [order for order in orders if order.why_not is not None]
    now = await database_now(conn)
    entries, decision_id = await hold_in_name(
        conn, room, view, held, actor=actor, now=now, reason=REASON, tag=AuditTag.AUTOMATIC_HELD
    )
    await automatic.insert_orders(
        conn, case_id, orders, detection=finding.detection, decision_id=decision_id
    )
    due_at = await _plan_final_step(conn, rule, view, finding) if held else None
    await posts.queue_story(
        conn,
        case_id,
        Story(
            kind=StoryKind.AUTOMATIC_HELD,
            orders=len(held),
            amounts=sums_of(held),
            count=len(left),
            detail=left[0].why_not if left else None,
            action=_final_of(rule, finding) if due_at else None,
            starts_at=due_at,
        ),
        dedupe_key=f"automatic:{case_id}:{orders[0].subject.id}",
    )
    if left:
        entries.append(
            AuditEntry(
                actor=actor,
                tag=AuditTag.AUTOMATIC_LEFT,
                case_id=case_id,
                details={
                    "orders": [order.subject.id for order in left],
                    "why": sorted({order.why_not or "" for order in left}),
                },
            )
        )
    return entries


async def follow_newcomers(room: Room) -> int:
    """Hold what joined a case while its first orders were being held; returns in how many cases."""
    if room.policy.file.automatic is None:
        return 0
    async with room.engine.connect() as conn:
        found = await automatic.cases_with_newcomers(conn)
    joined = 0
    for case_id in found:
        async with room.engine.begin() as conn:
            await cases.lock_case(conn, case_id)
            view = await cases.read_view(conn, case_id)
            entries: list[AuditEntry] = []
            for finding in view.findings if view else ():
                # After the first hold the case is under way, and the rest waits for the next look.
                entries = entries or await hold_automatically(conn, room, case_id, finding)
            if entries:
                await audit.append(conn, entries)
                joined += 1
    if joined:
        room.bell.ring(OPERATIONS, CARDS, POSTS)
    return joined


async def _judge(
    conn: AsyncConnection,
    room: Room,
    rule: Automatic,
    view: CaseView,
    wanted: list[NightOrder],
    *,
    actor: str,
) -> list[NightOrder]:
    """Each order with why it may not be held, if it may not."""
    if await brake(conn, HOLD) is not None:
        return [left_out(order, "paused") for order in wanted]
    judged = within(rule.caps, rule.count, await automatic.held_lately(conn), wanted)
    subjects = [order.subject for order in judged if order.why_not is None]
    leeway = await leeway_for(conn, room.policy, HOLD, actor, cap_entries(view, subjects))
    if leeway.own or leeway.refusal:
        return [left_out(order, "cap") for order in wanted]
    return judged


def _final_of(rule: Automatic, finding: Finding) -> str | None:
    """The step that follows the hold: the first that both the detection and the policy name."""
    named = [name for name in finding.actions if name in rule.actions and name in registry()]
    return named[0] if named else None


async def _plan_final_step(
    conn: AsyncConnection, rule: Automatic, view: CaseView, finding: Finding
) -> datetime | None:
    action = _final_of(rule, finding)
    if action is None:
        return None
    return await automatic.plan_step(
        conn,
        view.case_id,
        detection=finding.detection,
        action=action,
        delay_s=rule.objection_minutes * 60,
    )
