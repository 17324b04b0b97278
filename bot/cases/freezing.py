"""Freeze what was decided: targets, plans, amounts and operations, bound by one hash."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases.targets import Target, body_of
from bot.domain.actions import Action
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseView, Decision, DecisionState, MemberFacts
from bot.domain.plans import Plan
from bot.domain.roles import Person
from bot.domain.verbs import OperationClass, Verb
from bot.ledger import cases, operations, people
from bot.ledger.values import canonical_hash, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person chose: an action on targets, as planned and shown, and why.

    With `everything` it is all that the action could act on now, as for a button that asks nothing.
    """

    action: str
    targets: tuple[Target, ...]
    plans: tuple[Plan, ...]
    reason: str
    note: str | None = None
    everything: bool = False


def amounts_of(
    view: CaseView, targets: Collection[Target], plans: Collection[Plan] = ()
) -> tuple[tuple[int, str], ...]:
    """The money that these targets move, gross, one pair (amount, currency) a currency.

    A refund moves what its plan gives back, which may be less than the order's amount.
    """
    refunds = [
        plan for plan in plans if plan.verb is Verb.REFUND and (plan.verb, plan.subject) in targets
    ]
    if refunds:
        known = {member.subject: member.facts.currency for member in view.members}
        return tuple(
            (plan.refund_amount, plan.currency or known.get(plan.subject) or "?")
            for plan in refunds
        )
    moved = {subject for verb, subject in targets if verb in {Verb.CANCEL, Verb.REFUND}}
    sums: dict[str, int] = {}
    for member in view.members:
        facts = member.facts
        if member.subject in moved and facts.amount is not None:
            # An order without a currency counts as one that no limit covers.
            currency = facts.currency or "?"
            sums[currency] = sums.get(currency, 0) + facts.amount
    return tuple(sorted(((amount, currency) for currency, amount in sums.items()), reverse=True))


def freeze(
    view: CaseView,
    choice: Choice,
    *,
    requested_by: str,
    amounts: tuple[tuple[int, str], ...],
    now: datetime,
    slots: tuple[tuple[str, ...], ...] = (),
    approver_roles: tuple[str, ...] = (),
    expires_at: datetime | None = None,
    starts_at: datetime | None = None,
) -> Decision:
    chosen = set(choice.targets)
    plans = tuple(plan for plan in choice.plans if (plan.verb, plan.subject) in chosen)
    waits = bool(slots)
    return Decision(
        decision_id=f"dec_{uuid4().hex}",
        case_id=view.case_id,
        case_version=view.version,
        action=choice.action,
        state=DecisionState.AWAITING_APPROVAL if waits else DecisionState.APPROVED,
        requested_by=requested_by,
        requested_at=now,
        reason=choice.reason,
        note=choice.note,
        targets=choice.targets,
        plans=plans,
        params_hash=params_hash(view.case_id, choice, plans, amounts),
        amounts=amounts,
        approvals_needed=len(slots),
        slots=slots,
        approver_roles=approver_roles,
        expires_at=expires_at,
        decided_at=None if waits else now,
        starts_at=starts_at,
    )


def params_hash(
    case_id: int,
    choice: Choice,
    plans: Sequence[Plan],
    amounts: Sequence[tuple[int, str]],
) -> str:
    """What an approval is bound to: any amendment of these changes it."""
    return canonical_hash(
        {
            "case": case_id,
            "action": choice.action,
            "targets": sorted(
                [verb.value, subject.kind.value, subject.id] for verb, subject in choice.targets
            ),
            "tokens": sorted(
                [plan.verb.value, plan.subject.id, plan.token or ""] for plan in plans
            ),
            "amounts": sorted([amount, currency] for amount, currency in amounts),
        }
    )


def evidence_of(view: CaseView) -> dict[str, object]:
    """What the person saw when they decided, by id and revision."""
    return {
        "revision": view.revision,
        "findings": [finding.finding_id for finding in view.findings],
        "members": [f"{member.subject.kind}:{member.subject.id}" for member in view.members],
    }


async def carry_out(
    conn: AsyncConnection, view: CaseView, decision: Decision, action: Action
) -> None:
    """Queue the operations of a decision that nothing stands against any more, and label its members."""
    await queue_operations(conn, view, decision, action)
    subjects = {subject for _, subject in decision.targets}
    if action.closes_case:
        await cases.set_verdicts(conn, view.case_id, "fraud", subjects)
    elif action.undo is not None and registry()[action.undo].closes_case:
        await cases.set_verdicts(conn, view.case_id, "good", subjects)


async def queue_operations(
    conn: AsyncConnection, view: CaseView, decision: Decision, action: Action
) -> None:
    plans = {(plan.verb, plan.subject): plan for plan in decision.plans}
    facts = {member.subject: member.facts for member in view.members}
    classes = await people.read_capabilities(conn)
    new: list[operations.NewOperation] = []
    for verb, subject in decision.targets:
        plan = plans.get((verb, subject))
        body: dict[str, object] = {
            "reason": decision.reason,
            "actor": decision.requested_by,
            **body_of(action, verb, view),
        }
        amount = facts[subject].amount if subject in facts else None
        if verb is Verb.REFUND:
            ((amount, currency),) = decision.amounts
            body |= {"amount": amount, "currency": currency}
        if decision.note:
            body["note"] = decision.note
        if plan is not None and plan.token is not None:
            body["plan_token"] = plan.token
        capability = classes.get(verb)
        new.append(
            operations.NewOperation(
                operation_id=f"op_{uuid4().hex}",
                decision_id=decision.decision_id,
                case_id=view.case_id,
                verb=verb,
                subject=subject,
                body=body,
                plan_token=plan.token if plan else None,
                # A verb that was never declared is trusted least.
                operation_class=capability.operation_class if capability else OperationClass.NONE,
                amount=amount,
                currency=facts[subject].currency if subject in facts else None,
                starts_at=decision.starts_at,
            )
        )
    await operations.insert_operations(conn, new)


def circumstances(person: Person | None, view: CaseView | None) -> dict[str, object]:
    """Who somebody was and what they saw when they acted, for the log: roles, version, hash of the evidence."""
    roles = sorted(role.value for role in person.roles) if person is not None else []
    if view is None:
        return {"roles": roles}
    seen = {
        **evidence_of(view),
        "facts": [
            to_json(replace(member.facts, read_at=None), MemberFacts) for member in view.members
        ],
    }
    return {
        "roles": roles,
        "case_version": view.version,
        "evidence_hash": canonical_hash(seen),
    }


def decision_entries(
    decision: Decision,
    user_id: str,
    *,
    waits: bool,
    circumstances: Mapping[str, object] = MappingProxyType({}),
) -> list[AuditEntry]:
    details: dict[str, object] = {
        **circumstances,
        "action": decision.action,
        "reason": decision.reason,
        "params_hash": decision.params_hash,
        "amounts": [list(pair) for pair in decision.amounts],
        "targets": [f"{verb}:{subject.kind}:{subject.id}" for verb, subject in decision.targets],
        "approvals_needed": decision.approvals_needed,
    }
    requested = AuditEntry(
        actor=user_id,
        tag=AuditTag.DECISION_REQUESTED,
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        details=details,
        private={"note": decision.note or ""},
    )
    if waits:
        return [requested]
    approved = AuditEntry(
        actor=user_id,
        tag=AuditTag.DECISION_APPROVED,
        case_id=decision.case_id,
        decision_id=decision.decision_id,
        details={
            **circumstances,
            "params_hash": decision.params_hash,
            "complete": True,
            "alone": True,
        },
    )
    return [requested, approved]
