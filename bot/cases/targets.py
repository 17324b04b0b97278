"""Which members an action would act on, as far as the ledger knows; pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from bot.domain.actions import Action
from bot.domain.cases import CaseView, Member, MemberFacts, OperationState
from bot.domain.subjects import Subject
from bot.domain.verbs import VERB_SUBJECT, Verb

Target = tuple[Verb, Subject]
FOLLOWS_SINCE = timedelta(days=30)
"""Follows that are older than this when a case opens are left alone."""


def can_take(verb: Verb, facts: MemberFacts) -> bool:
    """Whether a verb could still do something, from what was last read; the plan has the last word."""
    match verb:
        case Verb.HOLD:
            return facts.held_at is None and not _gone(facts)
        case Verb.RELEASE:
            return facts.held_at is not None and not _gone(facts)
        case Verb.CANCEL:
            return not _gone(facts)
        case Verb.REFUND:
            return bool(facts.amount) and facts.status != "pending"
        case Verb.SUSPEND:
            return facts.suspended_at is None and facts.status != "closed"
        case Verb.REINSTATE:
            return facts.suspended_at is not None
        case Verb.TAKEDOWN:
            # One that a suspension hides comes back with its seller: only what is removed stays away.
            return facts.status != "removed"
        case Verb.RESTORE:
            return facts.status in {"removed", "hidden"}
        case Verb.REMOVE_POST:
            return facts.status != "removed"
        case Verb.RESTORE_POST:
            return facts.status == "removed"
        case Verb.WARN | Verb.REMOVE_FOLLOWS:
            return True


def shows(verb: Verb, facts: MemberFacts) -> bool:
    """Whether the marketplace's own data tell that a verb took effect; False where they cannot tell."""
    match verb:
        case Verb.HOLD:
            return facts.held_at is not None
        case Verb.RELEASE:
            return facts.held_at is None and facts.status is not None
        case Verb.CANCEL:
            return facts.canceled_at is not None or facts.status == "canceled"
        case Verb.SUSPEND:
            return facts.suspended_at is not None or facts.status == "suspended"
        case Verb.REINSTATE:
            return facts.suspended_at is None and facts.status == "active"
        case Verb.TAKEDOWN:
            return facts.status == "removed"
        case Verb.RESTORE:
            return facts.status == "active"
        case Verb.REFUND | Verb.WARN | Verb.REMOVE_POST | Verb.RESTORE_POST | Verb.REMOVE_FOLLOWS:
            return False


UNDOES = {
    Verb.RELEASE: Verb.HOLD,
    Verb.REINSTATE: Verb.SUSPEND,
    Verb.RESTORE: Verb.TAKEDOWN,
    Verb.RESTORE_POST: Verb.REMOVE_POST,
}
_CHANGED = ("status", "held_at", "suspended_at")


def still_ours(view: CaseView, undone: Verb, subject: Subject) -> bool:
    """Whether what our last such operation changed is still as it left it; True where it was none of ours."""
    done = [
        operation
        for operation in view.operations
        if operation.verb is undone
        and operation.subject == subject
        and operation.state is OperationState.SUCCEEDED
    ]
    facts = next((m.facts for m in view.members if m.subject == subject), None)
    if not done or facts is None:
        return True
    after = {name: value for name, value in done[-1].after.items() if name in _CHANGED}
    return all(_same(getattr(facts, name), value) for name, value in after.items())


def _same(known: object, told: object) -> bool:
    if isinstance(known, datetime) and isinstance(told, str):
        try:
            apart = known - datetime.fromisoformat(told)
        except (ValueError, TypeError):
            return False
        # An API and a table of one shop may keep another share of a second.
        return abs(apart) < timedelta(seconds=1)
    return known == told


def _gone(facts: MemberFacts) -> bool:
    return (
        facts.canceled_at is not None
        or facts.shipped_at is not None
        or facts.status
        in {
            "shipped",
            "delivered",
            "completed",
            "canceled",
        }
    )


def targets_of(action: Action, view: CaseView) -> tuple[Target, ...]:
    """Every verb and member that the action could act on, optional verbs included, dearest first."""
    return tuple(
        (use.verb, member.subject)
        for use in action.uses
        if use.verb in view.offered
        for member in view.members
        if _fits(use.verb, member)
    )


def _fits(verb: Verb, member: Member) -> bool:
    return VERB_SUBJECT.get(verb) is member.subject.kind and can_take(verb, member.facts)


def params_of(action: Action, verb: Verb) -> dict[str, str | int]:
    """The parameters that the action gives this verb, such as the refund policy."""
    for use in action.uses:
        if use.verb is verb:
            return dict(use.params)
    raise KeyError(verb)


def body_of(action: Action, verb: Verb, view: CaseView) -> dict[str, str | int]:
    """What is sent along with a verb: its parameters, and those that come from the case."""
    params = params_of(action, verb)
    if verb is Verb.REMOVE_FOLLOWS:
        params["since"] = (view.opened_at - FOLLOWS_SINCE).isoformat()
    return params


def chosen(
    action: Action,
    targets: Collection[Target],
    *,
    subjects: Collection[Subject] | None,
    options: Collection[Verb],
) -> tuple[Target, ...]:
    """What of the targets a person ticked; `subjects` None stands for all of them."""
    optional = {use.verb for use in action.uses if use.optional}
    return tuple(
        (verb, subject)
        for verb, subject in targets
        if (subjects is None or subject in subjects) and (verb not in optional or verb in options)
    )
