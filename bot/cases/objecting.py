"""The final step of a detection in automatic: it waits for objections, and is kept from happening, made, or asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases import policy as rules
from bot.cases.caps import entries_of, leeway_for
from bot.cases.deciding import Decided
from bot.cases.freezing import (
    Choice,
    amounts_of,
    carry_out,
    circumstances,
    decision_entries,
    evidence_of,
    freeze,
)
from bot.cases.gate import KEEP, brake, database_now, enter
from bot.cases.planning import PLAN_TIMEOUT_S, fetch_plans
from bot.cases.policy import Automatic, Slots
from bot.cases.room import CARDS, OPERATIONS, POSTS, Press, Room, deny, group_ids
from bot.cases.targets import Target, targets_of
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseState, CaseView
from bot.domain.findings import Mode
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.domain.story import Story, StoryKind
from bot.ledger import audit, automatic, caps, cases, modes, posts
from bot.ledger.automatic import Step
from bot.ledger.caps import lock_caps
from bot.ledger.engine import snapshot
from bot.locale import N_
from bot.market.marketplace import Marketplace

REASON = N_("Nobody objected to what a detection proposed")


async def keep(room: Room, press: Press) -> Decided | Refusal:
    """Keep a detection from its final step: the case is one for people again, and it counts against the detection."""
    async with room.engine.begin() as conn:
        entered = await enter(conn, room, press, KEEP)
        if isinstance(entered, Refusal):
            return entered
        person, view = entered
        refusal = rules.judge_step(room.policy, KEEP, person)
        if refusal is not None:
            return await deny(conn, press.user_id, refusal, action=KEEP, case_id=view.case_id)
        step = await automatic.read_step(conn, view.case_id)
        if step is None or not await automatic.end_step(
            conn, view.case_id, "kept", by=press.user_id
        ):
            return Refusal(code=RefusalCode.NOTHING_TO_DO, case_id=view.case_id)
        await cases.touch_case(conn, view.case_id)
        await posts.queue_story(
            conn,
            view.case_id,
            Story(
                kind=StoryKind.AUTOMATIC_KEPT,
                by=press.user_id,
                by_name=person.display_name,
                action=step.action,
            ),
            dedupe_key=f"kept:{view.case_id}",
        )
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=press.user_id,
                    tag=AuditTag.AUTOMATIC_KEPT,
                    case_id=view.case_id,
                    details={
                        **circumstances(person, view),
                        "action": step.action,
                        "detection": step.detection,
                    },
                )
            ],
        )
    room.bell.ring(CARDS, POSTS)
    return Decided(case_id=view.case_id, decision_id=None)


async def take_final_steps(room: Room, api: Marketplace) -> int:
    """Make the steps whose objection window has passed; returns of how many cases something came.

    However many processes there are, each is made once: the case is read again under its lock.
    """
    if room.policy.file.automatic is None:
        return 0
    async with room.engine.connect() as conn:
        due = await automatic.due_steps(conn)
    ended = 0
    for case_id in due:
        ended += await _final_step(room, api, case_id)
    if ended:
        room.bell.ring(OPERATIONS, CARDS, POSTS)
    return ended


async def _final_step(room: Room, api: Marketplace, case_id: int) -> bool:
    async with snapshot(room.engine) as conn:
        view = await cases.read_view(conn, case_id)
        step = await automatic.read_step(conn, case_id)
        held = await automatic.orders_held_by(conn, case_id)
    if view is None or step is None or view.state is CaseState.EXECUTING:
        return False
    targets = _targets(room, view, step, held)
    plans: tuple[Plan, ...] | Refusal = ()
    if targets and view.state is CaseState.OPEN:
        action = registry()[step.action]
        plans = await fetch_plans(api, action, targets, timeout_s=PLAN_TIMEOUT_S)
    if isinstance(plans, Refusal):
        # The marketplace does not answer: the next look is soon.
        return False
    async with room.engine.begin() as conn:
        head = await cases.lock_case(conn, case_id)
        again = await automatic.read_step(conn, case_id)
        if head is None or again is None or again.state != "waiting" or again.due_at > step.due_at:
            return False
        if head.version != view.version or head.state is CaseState.EXECUTING:
            return False
        entries = await _make(conn, room, view, step, plans)
        if entries is None:
            return False
        await cases.touch_case(conn, case_id)
        await audit.append(conn, entries)
    return True


async def _make(
    conn: AsyncConnection, room: Room, view: CaseView, step: Step, plans: tuple[Plan, ...]
) -> Sequence[AuditEntry] | None:
    """Decide it, or ask people; None: it waits on. Returns what the log must say."""
    rule = room.policy.file.automatic
    actor = f"detection:{step.detection}"
    plans = tuple(plan for plan in plans if plan.allowed)
    if (
        rule is None
        or step.action not in rule.actions
        or view.state is not CaseState.OPEN
        or not plans
        or not await _is_trusted(conn, view, step)
    ):
        await automatic.end_step(conn, view.case_id, "dropped", by=actor)
        return [_entry(view, step, actor, "dropped")]
    if await brake(conn, step.action) is not None:
        return None
    action = registry()[step.action]
    choice = Choice(
        action=step.action,
        targets=tuple((plan.verb, plan.subject) for plan in plans),
        plans=plans,
        reason=REASON,
    )
    amounts = amounts_of(view, choice.targets, plans)
    taken = entries_of(view, choice.targets, plans)
    await lock_caps(conn)
    leeway = await leeway_for(conn, room.policy, step.action, actor, taken)
    if leeway.refusal is not None:
        # Over a cap that nobody lifts: it waits until there is room again.
        return None
    asks = (
        leeway.own is not None
        or _is_above(rule, amounts)
        or rules.needs_step_up(room.policy, amounts)
    )
    slots = _slots(room, step.action, amounts) if asks else ()
    now = await database_now(conn)
    decision = freeze(
        view,
        choice,
        requested_by=actor,
        amounts=amounts,
        now=now,
        slots=tuple(tuple(role.value for role in slot) for slot in slots),
        approver_roles=tuple(dict.fromkeys(role.value for slot in slots for role in slot)),
        expires_at=room.calendar.add_hours(now, room.policy.file.request_lifetime_hours)
        if asks
        else None,
    )
    await cases.move_case(
        conn,
        view.case_id,
        version=view.version,
        to=CaseState.AWAITING_APPROVAL if asks else CaseState.EXECUTING,
        by=actor,
    )
    await cases.insert_decision(
        conn,
        decision,
        evidence=evidence_of(view),
        policy_hash=room.policy.hash,
        dry_run=room.dry_run,
    )
    await caps.take(conn, decision.decision_id, "request", actor, step.action, taken)
    if not asks:
        await carry_out(conn, view, decision, action)
    ended = "asked" if asks else "done"
    await automatic.end_step(conn, view.case_id, ended, by=actor, decision_id=decision.decision_id)
    roles = tuple(dict.fromkeys(role for slot in slots for role in slot))
    await posts.queue_story(
        conn,
        view.case_id,
        Story(
            kind=StoryKind.REQUESTED if asks else StoryKind.DECIDED,
            by=actor,
            action=step.action,
            reason=REASON,
            expires_at=decision.expires_at,
            approver_groups=await group_ids(conn, room.policy.groups_of(roles)),
        ),
        dedupe_key=f"decision:{decision.decision_id}",
    )
    return [
        *decision_entries(decision, actor, waits=asks, circumstances=circumstances(None, view)),
        _entry(view, step, actor, ended, decision.decision_id),
    ]


def _targets(room: Room, view: CaseView, step: Step, held: set[str]) -> tuple[Target, ...]:
    """Of all that the action could act on only what a detection has put on hold, and what it still is."""
    # In a dry run nothing is ever on hold, and what would follow is to be seen all the same.
    on_hold = {m.subject for m in view.members if m.facts.held_at is not None or room.dry_run}
    return tuple(
        (verb, subject)
        for verb, subject in targets_of(registry()[step.action], view)
        if subject.id in held and subject in on_hold
    )


async def _is_trusted(conn: AsyncConnection, view: CaseView, step: Step) -> bool:
    """Whether the detection is still in automatic, for the very file that found this."""
    row = (await modes.read_modes(conn, [step.detection])).get(step.detection)
    return (
        row is not None
        and row.mode is Mode.AUTOMATIC
        and any(
            finding.detection == step.detection and finding.detection_hash == row.file_hash
            for finding in view.findings
        )
    )


def _is_above(rule: Automatic, amounts: Sequence[tuple[int, str]]) -> bool:
    """A currency that is not listed always is."""
    return any(
        currency not in rule.up_to or amount > rule.up_to[currency] for amount, currency in amounts
    )


def _slots(room: Room, action: str, amounts: Sequence[tuple[int, str]]) -> Slots:
    """Whom a request of a detection waits for: at least one person, whatever the amount."""
    rule = room.policy.file.actions.get(action)
    if rule is None:
        return ()
    anybody = Person(
        user_id="", team_id=room.home_team, display_name="", roles=frozenset(rule.request)
    )
    permitted = rules.judge_request(room.policy, action, anybody, amounts, cap_reached=True)
    if isinstance(permitted, rules.Permitted) and permitted.slots:
        return permitted.slots
    return (rule.approve or rule.request,)


def _entry(
    view: CaseView, step: Step, actor: str, ended: str, decision_id: str | None = None
) -> AuditEntry:
    return AuditEntry(
        actor=actor,
        tag=AuditTag.AUTOMATIC_DECIDED,
        case_id=view.case_id,
        decision_id=decision_id,
        details={"action": step.action, "ended": ended},
    )
