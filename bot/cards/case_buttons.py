"""The buttons of a card: only what a member can still take, the reversible one first."""

from __future__ import annotations

from collections.abc import Iterator

from bot.actions import registry
from bot.cards.blocks import Block, button, option, overflow
from bot.cards.progress import can_take_back, is_by_hand, needs_word
from bot.cards.wording import HOPELESS, button_label, counts_of, ranked_findings
from bot.cases.hold_terms import standing_holds
from bot.cases.overturning import decision_of
from bot.cases.targets import can_take, targets_of
from bot.domain.actions import Action
from bot.domain.cases import CaseState, CaseView, OperationState
from bot.domain.subjects import SubjectKind
from bot.locale import Messages

_PROPOSALS = 2
_MENU = 5
_BY_HAND = {
    SubjectKind.ORDER: ("hold", "cancel"),
    SubjectKind.ACCOUNT: ("suspend",),
    SubjectKind.LISTING: ("takedown",),
    SubjectKind.POST: ("remove_posts",),
    SubjectKind.DETECTION: (),
}
_UNDOING = ("release", "reinstate", "restore", "restore_posts")


def folded_menu(view: CaseView, messages: Messages) -> Block:
    """All that a closed case can still be asked, in one menu."""
    return _menu(view, messages, list(_undoing(view)) if view.state is CaseState.DONE else [])


def buttons(view: CaseView, messages: Messages) -> list[Block]:
    """At most three buttons and a menu; empty never, since the details can always be seen."""
    shown, more = _shown(view, messages)
    return [*shown, _menu(view, messages, more)]


def _shown(view: CaseView, messages: Messages) -> tuple[list[Block], list[Action]]:
    """The buttons, and the actions for which there is room in the menu alone."""
    match view.state:
        case CaseState.OPEN:
            return _open(view, messages)
        case CaseState.PARTLY_DONE:
            return _partly_done(view, messages)
        case CaseState.AWAITING_APPROVAL:
            approve = _button(view, "approve", messages.t("Approve…"), style="primary")
            return [approve, _button(view, "reject", messages.t("Reject…"))], []
        case CaseState.EXECUTING:
            if can_take_back(view):
                return [_button(view, "take_back", messages.t("Take back"), style="danger")], []
            by_hand = any(is_by_hand(o) for o in view.operations)
            waiting = by_hand or any(o.state is OperationState.QUEUED for o in view.operations)
            stop = _button(view, "stop_rest", messages.t("Stop the rest"), style="danger")
            record = _button(view, "by_hand", messages.t("Record what was done…"), style="primary")
            return [*([record] if by_hand else []), *([stop] if waiting else [])], []
        case CaseState.DONE:
            return [_action_button(view, action, messages) for action in _undoing(view)], []
        case CaseState.DISMISSED:
            return [], []


def _open(view: CaseView, messages: Messages) -> tuple[list[Block], list[Action]]:
    proposals = list(_proposals(view))
    shown: list[Block] = []
    room = _PROPOSALS
    if view.final_step is not None:
        shown.append(_button(view, "keep", messages.t("Keep"), style="primary"))
        room -= 1
    shown += [_action_button(view, action, messages) for action in proposals[:room]]
    shown.append(_button(view, "dismiss", messages.t("Not fraud…")))
    if _extends_in_view(view, shown):
        shown.append(_button(view, "extend_hold", messages.t("Extend the hold…")))
    return shown, [*proposals[room:], *_undoing(view)]


def _extends_in_view(view: CaseView, shown: list[Block]) -> bool:
    """Once its owner was reminded, the way to extend a hold stands beside the decisions, if it fits."""
    warned = view.hold is not None and view.hold.warned_at is not None
    return warned and can_extend(view) and len(shown) <= _PROPOSALS


def _partly_done(view: CaseView, messages: Messages) -> tuple[list[Block], list[Action]]:
    last = view.decision.action if view.decision else None
    proposals = [action for action in _proposals(view) if action.name != last]
    shown: list[Block] = []
    if any(needs_word(operation) for operation in view.operations):
        shown.append(_button(view, "by_hand", messages.t("Record what was done…"), style="primary"))
        room = 1
    elif _can_retry(view):
        shown.append(_button(view, "retry", messages.t("Try again…"), style="primary"))
        room = 1
    else:
        proposals = list(_proposals(view))
        room = _PROPOSALS
    shown += [_action_button(view, action, messages) for action in proposals[:room]]
    shown.append(_button(view, "dismiss", messages.t("Not fraud…")))
    return shown, [*proposals[room:], *_undoing(view)]


def _proposals(view: CaseView) -> Iterator[Action]:
    """What the detections propose and what can still be done, the reversible ones first."""
    named = [name for finding in ranked_findings(view) for name in finding.actions]
    if not named:
        kinds = {member.subject.kind for member in view.members if member.is_subject}
        named = [name for kind in SubjectKind if kind in kinds for name in _BY_HAND[kind]]
    known = [registry()[name] for name in dict.fromkeys(named) if name in registry()]
    for action in sorted(known, key=lambda action: action.undo is None or action.dangerous):
        if _has_work(action, view):
            yield action


def _undoing(view: CaseView) -> Iterator[Action]:
    for name in _UNDOING:
        if name in registry() and _has_work(registry()[name], view):
            yield registry()[name]


def can_extend(view: CaseView) -> bool:
    """Whether a hold of ours stands whose end does not wait for anything."""
    busy = {CaseState.AWAITING_APPROVAL, CaseState.EXECUTING}
    return view.hold is not None and view.state not in busy and bool(standing_holds(view))


def proposed(view: CaseView) -> tuple[str, ...]:
    """The names of the actions that a card would offer as decisions, were the case open."""
    return tuple(action.name for action in (*_proposals(view), *_undoing(view)))


def _has_work(action: Action, view: CaseView) -> bool:
    needed = {use.verb for use in action.uses if not use.optional}
    return any(verb in needed for verb, _ in targets_of(action, view))


def _can_retry(view: CaseView) -> bool:
    """Only where trying again can help: not against an answer that will stay the same."""
    decision = view.decision
    if decision is None:
        return False
    facts = {member.subject: member.facts for member in view.members}
    return any(
        operation.state in {OperationState.FAILED, OperationState.STOPPED}
        and operation.failure_code not in HOPELESS
        and operation.subject in facts
        and can_take(operation.verb, facts[operation.subject])
        for operation in view.operations
        if operation.decision_id == decision.decision_id
    )


def _value(view: CaseView) -> str:
    return f"{view.case_id}|{view.version}"


def _button(view: CaseView, name: str, text: str, *, style: str | None = None) -> Block:
    return button(text, action_id=f"act:{name}", value=_value(view), style=style)


def _action_button(view: CaseView, action: Action, messages: Messages) -> Block:
    text = button_label(action, counts_of(targets_of(action, view)), messages)
    # Red only for what cannot be taken back.
    irreversible = action.dangerous and action.undo is None
    style = "danger" if irreversible else None if action.dangerous else "primary"
    return _button(view, action.name, text, style=style)


def _menu(view: CaseView, messages: Messages, more: list[Action]) -> Block:
    entries: list[Block] = []
    closed = view.state in {CaseState.DONE, CaseState.DISMISSED}
    if not closed:
        claim = (
            messages.t("Take this case over, or give it back")
            if view.assignee
            else messages.t("Take this case")
        )
        entries.append(_entry(view, "claim", claim))
    entries.append(_entry(view, "details", messages.t("Details…")))
    if view.state in {CaseState.OPEN, CaseState.PARTLY_DONE}:
        entries.append(_entry(view, "consult", messages.t("Ask the customer or escalate…")))
    if view.state is CaseState.AWAITING_APPROVAL:
        entries.append(_entry(view, "break_glass", messages.t("Emergency: break glass…")))
    if closed and decision_of(view) is not None:
        entries.append(_entry(view, "overturn", messages.t("This decision was wrong…")))
    if can_extend(view):
        entries.append(_entry(view, "extend_hold", messages.t("Extend the hold…")))
    admin_url = next((m.facts.admin_url for m in view.members if _is_web(m.facts.admin_url)), None)
    room = _MENU - len(entries) - (1 if admin_url else 0)
    for action in more[:room]:
        text = button_label(action, counts_of(targets_of(action, view)), messages)
        entries.append(_entry(view, action.name, text))
    if admin_url:
        entry = _entry(view, "open_admin", messages.t("Open in the back office"))
        entries.append({**entry, "url": admin_url})
    return overflow(entries, action_id="act:more")


def _entry(view: CaseView, name: str, text: str) -> Block:
    return option(text, f"{name}|{_value(view)}")


def _is_web(url: str | None) -> bool:
    return url is not None and url.startswith(("https://", "http://")) and len(url) <= 3000
