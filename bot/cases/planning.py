"""Ask the marketplace what an action would do now, before anybody decides."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from bot.actions import registry
from bot.cases.caps import caps_left
from bot.cases.freezing import Choice
from bot.cases.gate import may_open_modal, needs_second_person
from bot.cases.room import Press, Room, know
from bot.cases.selecting import begin
from bot.cases.targets import Target, params_of, targets_of
from bot.domain.actions import Action
from bot.domain.cases import CaseView
from bot.domain.plans import Plan, Selection
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject
from bot.domain.verbs import Verb
from bot.ledger import cases, posts
from bot.ledger.engine import snapshot
from bot.market.marketplace import Marketplace, MarketUnreachable, SubjectNotFound

PARALLEL = 8
PLAN_TIMEOUT_S = 8.0
RECHECK_TIMEOUT_S = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a modal shows: the case, the plans of this moment, and whether a second person is needed."""

    view: CaseView
    plan_set_id: str
    plans: tuple[Plan, ...]
    second_person: bool
    selection: Selection | None = None
    """Where there are too many for one modal: whom it is for is chosen first."""


async def fetch_plans(
    api: Marketplace,
    action: Action,
    targets: Sequence[Target],
    *,
    timeout_s: float,
    amount: int | None = None,
) -> tuple[Plan, ...] | Refusal:
    """The marketplace's plans for these targets; a subject that it does not know has none.

    Args:
        amount: of a refund, in the currency's smallest unit; None: all that is left.
    """
    typed = {} if amount is None else {"amount": amount}
    gate = asyncio.Semaphore(PARALLEL)

    async def one(target: Target) -> Plan | None:
        verb, subject = target
        async with gate:
            try:
                return await api.plan(verb, subject, {**params_of(action, verb), **typed})
            except SubjectNotFound:
                return None

    try:
        async with asyncio.timeout(timeout_s):
            plans = await asyncio.gather(*(one(target) for target in targets))
    except (TimeoutError, MarketUnreachable):
        return Refusal(code=RefusalCode.MARKET_UNREACHABLE, action=action.name)
    return tuple(plan for plan in plans if plan is not None)


async def prepare(
    room: Room,
    api: Marketplace,
    press: Press,
    action_name: str,
    *,
    only: Subject | None = None,
    amount: int | None = None,
    kept: Collection[Subject] | None = None,
    timeout_s: float = PLAN_TIMEOUT_S,
) -> Prepared | Refusal:
    """Fetch and keep the plans of an action for a case, for a modal to show to this person.

    Args:
        only: of this member alone among those of its kind; what comes along with it stays.
        amount: of a refund that is not of all that is left.
        kept: whom this person had chosen among many, under plans that are out of date now.
        timeout_s: how long the marketplace may take; a submission has no more than Slack waits for.
    """
    view = await may_open_modal(room, press, action_name)
    if isinstance(view, Refusal):
        return view
    action = registry()[action_name]
    targets = tuple(
        (verb, subject)
        for verb, subject in targets_of(action, view)
        if only is None or subject == only or subject.kind is not only.kind
    )
    if not targets:
        return Refusal(code=RefusalCode.NOTHING_TO_DO, action=action_name, case_id=view.case_id)
    plans = await fetch_plans(api, action, targets, timeout_s=timeout_s, amount=amount)
    if isinstance(plans, Refusal):
        return plans
    if not plans:
        return Refusal(code=RefusalCode.SUBJECT_NOT_FOUND, action=action_name, case_id=view.case_id)
    async with room.engine.begin() as conn:
        person = await know(conn, room, press.user_id)
        if isinstance(person, Refusal):
            return person
        plan_set_id = await posts.insert_plan_set(
            conn,
            case_id=view.case_id,
            case_version=view.version,
            action=action_name,
            shown_to=press.user_id,
            plans=plans,
        )
        selection = await begin(conn, view, action, plans, plan_set_id, kept=kept)
        second_person = await needs_second_person(conn, room, person, view, action_name, plans)
        left = await caps_left(conn, room.policy, [action_name], press.user_id)
        view = replace(view, caps_left=left)
    return Prepared(
        view=view,
        plan_set_id=plan_set_id,
        plans=plans,
        second_person=second_person,
        selection=selection,
    )


async def shown_plans(room: Room, press: Press, plan_set_id: str) -> tuple[Plan, ...] | Refusal:
    """The plans that a modal showed to this person; a made-up id gets the answer of a stale click."""
    async with room.engine.connect() as conn:
        plans = await posts.read_plan_set(
            conn, plan_set_id, case_id=press.case_id, shown_to=press.user_id
        )
    if plans is None:
        return Refusal(code=RefusalCode.PLAN_CHANGED, case_id=press.case_id)
    return plans


async def still_as_shown(api: Marketplace, choice: Choice) -> bool:
    """Whether the plans still stand, asked once more at the submission.

    A marketplace that does not answer in time is no reason to refuse: the plan token goes with every
    operation, and a changed plan stops it there (invariant 3).
    """
    refund = next((plan for plan in choice.plans if plan.verb is Verb.REFUND), None)
    now = await fetch_plans(
        api,
        registry()[choice.action],
        choice.targets,
        timeout_s=RECHECK_TIMEOUT_S,
        amount=refund.refund_amount or None if refund else None,
    )
    if isinstance(now, Refusal):
        return True
    # Without a token nothing stops a changed plan later, so all that was shown must still be so.
    stands = {(plan.verb, plan.subject): plan.token or plan for plan in now}
    shown = {(plan.verb, plan.subject): plan.token or plan for plan in choice.plans}
    return all(stands.get(target) == shown.get(target) for target in choice.targets)


async def read_case(room: Room, case_id: int) -> CaseView | None:
    """One case as it stands."""
    async with snapshot(room.engine) as conn:
        return await cases.read_view(conn, case_id)
