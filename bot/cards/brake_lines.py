"""What a card says of brakes: who paused it and why, and that a dry run changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

from bot.cards.wording import actor_name, scope_name
from bot.domain.cases import CaseState, CaseView
from bot.domain.proposals import ALL
from bot.domain.text import user_text
from bot.locale import Messages

DRY_RUN = "dry_run"
_CLOSED = frozenset({CaseState.DONE, CaseState.DISMISSED})
_DECIDED = frozenset({CaseState.AWAITING_APPROVAL, CaseState.EXECUTING, CaseState.PARTLY_DONE})


def brake_lines(
    view: CaseView, messages: Messages, *, tz: tzinfo, wall: datetime, dry_run: bool
) -> Iterator[str]:
    """Before anything else, since it changes what all the rest means."""
    if was_dry_run(view):
        yield messages.t(
            "🧪 Dry run: what is shown as done here was only recorded. Nothing was changed in the marketplace."
        )
    elif dry_run and view.state not in _CLOSED:
        yield messages.t(
            "🧪 Dry run: what is decided here is recorded, and nothing is changed in the marketplace."
        )
    concerned = _concerned(view)
    for pause in view.pauses:
        if pause.name in concerned:
            yield "🛑 " + messages.t(
                "{name} paused {what} at {when} (reason: {reason})."
                " Nothing of it can be carried out until it is resumed.",
                name=actor_name(pause.by, messages),
                what=scope_name(pause.name, messages),
                when=messages.moment(pause.at, tz, wall),
                reason=user_text(pause.reason, 150) or messages.t("no reason given"),
            )


def was_dry_run(view: CaseView) -> bool:
    """Whether anything that the present decision shows as done was only recorded."""
    decision = view.decision
    return decision is not None and any(
        operation.resolved_by == DRY_RUN
        for operation in view.operations
        if operation.decision_id == decision.decision_id
    )


def _concerned(view: CaseView) -> set[str]:
    """The brakes that matter here: on everything, on what was decided, on what is proposed."""
    if view.state in _CLOSED:
        return set()
    decided = {view.decision.action} if view.decision and view.state in _DECIDED else set()
    return {ALL, *decided, *(name for finding in view.findings for name in finding.actions)}
