"""What a card says about decisions and operations: who asked, how far it is, what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo

from bot.actions import registry
from bot.cards.wording import (
    action_name,
    action_sentence,
    approver_name,
    counts_of,
    failed_line,
    money_of,
    named,
    person_name,
    reason_words,
)
from bot.cases.hold_terms import standing_holds
from bot.domain.cases import (
    CaseState,
    CaseView,
    Decision,
    DecisionState,
    Operation,
    OperationState,
    Wait,
    WaitKind,
)
from bot.domain.verbs import OperationClass, Verb
from bot.locale import Messages

_REASONS = 6
_WAITS = frozenset({OperationState.UNKNOWN, OperationState.PENDING})
_FAILED = frozenset({OperationState.FAILED, OperationState.NEEDS_HUMAN})


def state_lines(view: CaseView, messages: Messages, *, tz: tzinfo, wall: datetime) -> Iterator[str]:
    """The state of a case in one or two sentences; nothing for one that nobody has touched."""
    decision = view.decision
    mine = operations_of(view, decision)
    if view.wait is not None:
        yield _waits(view, view.wait, messages, tz, wall)
    match view.state:
        case CaseState.OPEN:
            if decision is not None:
                yield _before(view, decision, mine, messages, tz, wall)
        case CaseState.AWAITING_APPROVAL:
            if decision is not None:
                yield _waiting(view, decision, messages, tz, wall)
        case CaseState.EXECUTING:
            if decision is not None and can_take_back(view):
                yield _about_to_start(view, decision, messages, tz)
                return
            yield _under_way(mine, messages)
            if any(is_by_hand(operation) for operation in mine):
                yield messages.t(
                    "✋ Please do these in the back office, then record it: the marketplace has no"
                    " way to do them from here."
                )
            unknown = _unknown(mine, messages, wall)
            if unknown:
                yield unknown
        case CaseState.PARTLY_DONE:
            yield "\n".join(_partly(decision, mine, messages))
        case CaseState.DONE:
            if decision is not None:
                yield _done(view, decision, mine, messages)
                yield from _earlier(view, decision, messages, tz, wall)
        case CaseState.DISMISSED:
            yield _dismissed(view, decision, messages, tz)


def final_step_lines(view: CaseView, messages: Messages, *, tz: tzinfo) -> Iterator[str]:
    """What a detection does by itself unless somebody objects, and until when."""
    step = view.final_step
    if step is not None and view.state is CaseState.OPEN:
        yield messages.t(
            "🤖 {action} follows by itself at {when}. “Keep” stops that.",
            action=action_name(step.action, messages),
            when=messages.clock_time(step.due_at, tz),
        )


def hold_lines(view: CaseView, messages: Messages, *, tz: tzinfo, wall: datetime) -> Iterator[str]:
    """Whose the hold is and when it ends; while a request waits or operations run, its end waits."""
    hold = view.hold
    if hold is None or not standing_holds(view):
        return
    owner = person_name(hold.owner, view.names, messages) if hold.owner else messages.t("the team")
    until = messages.t("until {when}", when=messages.moment(hold.until, tz, wall))
    parts = [messages.t("🔒 On hold: {name}", name=owner), until]
    if view.state in {CaseState.AWAITING_APPROVAL, CaseState.EXECUTING} or hold.until <= wall:
        parts = [parts[0]]
    if hold.extended:
        parts.append(messages.n("extended once", "extended {count} times", hold.extended))
    yield messages.dots(parts)


def can_take_back(view: CaseView) -> bool:
    """Whether nothing of the present decision has begun, as far as the card knows."""
    decision = view.decision
    mine = operations_of(view, decision)
    return (
        view.state is CaseState.EXECUTING
        and decision is not None
        and decision.starts_at is not None
        and bool(mine)
        and all(o.state is OperationState.QUEUED and o.attempts == 0 for o in mine)
    )


def is_by_hand(operation: Operation) -> bool:
    """Whether an operation waits for somebody to do it in the back office."""
    return (
        operation.operation_class is OperationClass.MANUAL
        and operation.state is OperationState.PENDING
    )


def needs_word(operation: Operation) -> bool:
    """Whether somebody must say what became of an operation."""
    return is_by_hand(operation) or operation.state is OperationState.NEEDS_HUMAN


def _about_to_start(view: CaseView, decision: Decision, messages: Messages, tz: tzinfo) -> str:
    action = registry().get(decision.action)
    what = (
        action_sentence(action, counts_of(decision.targets), messages, done=False)
        if action is not None
        else action_name(decision.action, messages)
    )
    when = messages.clock_time(decision.starts_at, tz) if decision.starts_at else "—"
    first = messages.t("⏳ Starts at {when}; until then it can be taken back.", when=when)
    return f"{messages.dots([first, *_people(view, decision, messages)])}\n{what}"


def _waits(view: CaseView, wait: Wait, messages: Messages, tz: tzinfo, wall: datetime) -> str:
    """Whose answer is awaited, and until when."""
    name = named(wait.by, view.names, messages)
    since = messages.moment(wait.since, tz, wall)
    if wait.kind is WaitKind.CUSTOMER:
        told = messages.t(
            "🟡 Waiting for the customer — {when}: {name} asked", when=since, name=name
        )
    else:
        told = messages.t(
            "🟡 Escalated to {group} — {when}: by {name}",
            group=f"@{wait.group}",
            when=since,
            name=name,
        )
    if wait.until is None:
        return told
    until = messages.moment(wait.until, tz, wall)
    return messages.dots([told, messages.t("until {when}", when=until)])


def lasting(operations: Iterable[Operation]) -> list[Operation]:
    """The operations that worked and are more than a hold for the time being."""
    passing = {Verb.HOLD, Verb.RELEASE}
    return [o for o in operations if o.state is OperationState.SUCCEEDED and o.verb not in passing]


def operations_of(view: CaseView, decision: Decision | None) -> list[Operation]:
    """The operations of one decision."""
    if decision is None:
        return []
    return [o for o in view.operations if o.decision_id == decision.decision_id]


def _waiting(
    view: CaseView, decision: Decision, messages: Messages, tz: tzinfo, wall: datetime
) -> str:
    left = max(decision.approvals_needed - len(decision.approvals), 1)
    first = messages.n(
        "🟠 Waiting for approval ({count} more person) — {when}: {name} requested {action}",
        "🟠 Waiting for approval ({count} more people) — {when}: {name} requested {action}",
        left,
        when=messages.moment(decision.requested_at, tz, wall),
        name=named(decision.requested_by, view.names, messages),
        action=action_name(decision.action, messages),
    )
    parts = [first]
    if decision.expires_at is not None:
        when = messages.moment(decision.expires_at, tz, wall)
        parts.append(messages.t("until {when}", when=when))
    lines = [messages.dots(parts)]
    action = registry().get(decision.action)
    if action is not None:
        lines.append(action_sentence(action, counts_of(decision.targets), messages, done=False))
    reason = reason_words(decision.reason, decision.note, messages)
    if reason:
        lines.append(messages.t("Reason: {reason}", reason=reason))
    return "\n".join(lines)


def _under_way(mine: Sequence[Operation], messages: Messages) -> str:
    done = sum(1 for o in mine if o.state is OperationState.SUCCEEDED)
    failed = sum(1 for o in mine if o.state in _FAILED)
    waits = sum(1 for o in mine if o.state in _WAITS)
    stopped = sum(1 for o in mine if o.state is OperationState.STOPPED)
    parts = [messages.t("⏳ Under way: {done}/{total}", done=done, total=len(mine))]
    if failed:
        parts.append(messages.t("failed: {count}", count=failed))
    if waits:
        parts.append(messages.t("being checked: {count}", count=waits))
    if stopped:
        parts.append(messages.t("stopped: {count}", count=stopped))
    return messages.dots(parts)


def _unknown(mine: Sequence[Operation], messages: Messages, wall: datetime) -> str:
    """While nobody knows whether it happened, doing it by hand would do it twice."""
    unknown = [o for o in mine if o.state is OperationState.UNKNOWN]
    if not unknown:
        return ""
    since = min((o.unknown_since for o in unknown if o.unknown_since), default=None)
    if since is None:
        return messages.t(
            "The result is being checked. Please do nothing in the back office: it could happen twice."
        )
    return messages.t(
        "The result is being checked (for {span}). Please do nothing in the back office:"
        " it could happen twice.",
        span=messages.span(wall - since),
    )


def _partly(
    decision: Decision | None, mine: Sequence[Operation], messages: Messages
) -> Iterator[str]:
    ended = [o for o in mine if o.state is not OperationState.SUCCEEDED]
    failed = sum(1 for o in ended if o.state is OperationState.FAILED)
    human = sum(1 for o in ended if o.state is OperationState.NEEDS_HUMAN)
    stopped = sum(1 for o in ended if o.state is OperationState.STOPPED)
    parts = []
    if failed:
        parts.append(messages.t("failed: {count}", count=failed))
    if human:
        parts.append(messages.t("to be checked by hand: {count}", count=human))
    if stopped:
        parts.append(messages.t("stopped: {count}", count=stopped))
    done = [o for o in mine if o.state is OperationState.SUCCEEDED]
    what = _what_was_done(decision, done, messages) if done else messages.t("nothing was done")
    yield messages.t(
        "⚠️ Not complete — {done} of {total}: {what} ({rest})",
        done=len(done),
        total=len(mine),
        what=what,
        rest=messages.dots(parts) or "—",
    )
    for operation in ended[:_REASONS]:
        yield failed_line(operation, messages)
    if len(ended) > _REASONS:
        left = len(ended) - _REASONS
        yield messages.n("and {count} more", "and {count} more", left)


def _done(view: CaseView, decision: Decision, mine: Sequence[Operation], messages: Messages) -> str:
    parts = [
        messages.t("✅ Done — {what}", what=_what_was_done(decision, mine, messages)),
        *_people(view, decision, messages),
    ]
    ended = [o.ended_at for o in mine if o.ended_at is not None]
    if ended:
        parts.append(messages.span(max(ended) - decision.requested_at, seconds=True))
    line = messages.dots(parts)
    reason = reason_words(decision.reason, decision.note, messages)
    return f"{line}\n{messages.t('Reason: {reason}', reason=reason)}" if reason else line


def _earlier(
    view: CaseView, last: Decision, messages: Messages, tz: tzinfo, wall: datetime
) -> Iterator[str]:
    """What was done before the last decision, so that a retry does not hide what it completed."""
    for decision in view.decisions:
        done = lasting(operations_of(view, decision))
        if decision.decision_id != last.decision_id and done:
            yield messages.t(
                "Before that: {what} ({when}, {name})",
                what=_what_was_done(decision, done, messages),
                when=messages.moment(decision.requested_at, tz, wall),
                name=person_name(decision.requested_by, view.names, messages),
            )


def _people(view: CaseView, decision: Decision, messages: Messages) -> Iterator[str]:
    by = person_name(decision.requested_by, view.names, messages)
    yield messages.t("requested by {name}", name=by)
    if decision.approvals:
        who = messages.all_of(
            approver_name(approval, view.names, messages) for approval in decision.approvals
        )
        yield messages.t("approved by {name}", name=who)
    if decision.broken_glass_by is not None:
        alone = person_name(decision.broken_glass_by, view.names, messages)
        yield messages.t("let through alone by {name} (emergency)", name=alone)


def _what_was_done(decision: Decision | None, done: Sequence[Operation], messages: Messages) -> str:
    action = registry().get(decision.action) if decision else None
    counts = counts_of((o.verb, o.subject) for o in done)
    if action is None or not counts:
        # "Not fraud" releases our holds: that is no action of its own.
        released = counts.get(Verb.RELEASE, 0)
        if released:
            return action_sentence(registry()["release"], counts, messages, done=True)
        return action_name(decision.action if decision else None, messages)
    what = action_sentence(action, counts, messages, done=True)
    refunded = money_of(o for o in done if o.verb is Verb.REFUND)
    if refunded:
        return messages.dots([what, messages.monies(refunded[:3])])
    cancelled = money_of(o for o in done if o.verb is Verb.CANCEL)
    if cancelled:
        money = messages.monies(cancelled[:3])
        return messages.dots([what, messages.t("{money} cancelled", money=money)])
    return what


def _before(
    view: CaseView,
    decision: Decision,
    mine: Sequence[Operation],
    messages: Messages,
    tz: tzinfo,
    wall: datetime,
) -> str:
    """What happened to an open case last."""
    action = action_name(decision.action, messages)
    match decision.state:
        case DecisionState.REJECTED:
            return messages.t(
                "Last: {name} rejected the request ({action}). Reason: {reason}",
                name=named(decision.rejected_by, view.names, messages),
                action=action,
                reason=reason_words(decision.rejected_reason, None, messages) or "—",
            )
        case DecisionState.EXPIRED:
            return messages.t(
                "Last: the request ({action}) was not approved in time.", action=action
            )
        case DecisionState.SUPERSEDED:
            return messages.t("Last: the request ({action}) was superseded.", action=action)
        case DecisionState.TAKEN_BACK:
            return messages.t(
                "Last: {name} took the decision back ({action}); nothing was done.",
                name=named(decision.taken_back_by, view.names, messages),
                action=action,
            )
        case DecisionState.APPROVED | DecisionState.AWAITING_APPROVAL:
            done = [o for o in mine if o.state is OperationState.SUCCEEDED]
            return messages.t(
                "Last: {what} ({when}, {name})",
                what=_what_was_done(decision, done, messages),
                when=messages.moment(decision.requested_at, tz, wall),
                name=person_name(decision.requested_by, view.names, messages),
            )


def _dismissed(view: CaseView, decision: Decision | None, messages: Messages, tz: tzinfo) -> str:
    by = decision.requested_by if decision else view.closed_by
    at = decision.requested_at if decision else view.closed_at
    note = decision.note if decision else None
    parts = [
        messages.t("Not fraud — judged by {name}", name=named(by, view.names, messages)),
    ]
    if at is not None:
        parts.append(messages.moment(at, tz))
    reason = reason_words(view.dismiss_reason, note, messages)
    if reason:
        parts.append(messages.t("Reason: {reason}", reason=reason))
    released = sum(
        1
        for o in operations_of(view, decision)
        if o.verb is Verb.RELEASE and o.state is OperationState.SUCCEEDED
    )
    if released:
        parts.append(
            action_sentence(registry()["release"], {Verb.RELEASE: released}, messages, done=True)
        )
    return messages.dots(parts)
