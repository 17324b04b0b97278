"""The frame that every modal stands in, and the small modals that need no plan."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bot.actions import registry
from bot.cards.blocks import (
    MODAL_TITLE,
    Block,
    context,
    mrkdwn_section,
    note_input,
    option,
    plain,
    section,
    select,
)
from bot.cards.wording import cap_words, case_name, case_title, size_of
from bot.domain.cases import CaseView, OperationState
from bot.domain.plans import Selection
from bot.domain.verbs import Verb
from bot.locale import N_, Messages

_TITLES = {
    "approve": N_("Approve"),
    "reject": N_("Reject"),
    "dismiss": N_("Not fraud"),
    "details": N_("Details"),
    "consult": N_("Ask or escalate"),
    "by_hand": N_("Done by hand"),
    "review_justified": N_("Justified"),
    "review_not": N_("Not justified"),
    "break_glass": N_("Break glass"),
    "extend_hold": N_("Extend the hold"),
    "overturn": N_("Overturn a decision"),
}

DISMISS_REASONS = (
    N_("Known customer or family"),
    N_("Gift or bulk purchase"),
    N_("Our own test or staff order"),
    N_("The evidence does not fit"),
    N_("Other (write it below)"),
)


def modal_title(name: str, messages: Messages) -> str:
    """The title of an action's or a step's modal; at most 24 characters in every language."""
    if name in registry():
        return messages.t(registry()[name].title)
    return messages.t(_TITLES[name]) if name in _TITLES else "Mimawari"


def modal(
    name: str,
    blocks: Sequence[Block],
    *,
    messages: Messages,
    submit: str | None = None,
    meta: Block | None = None,
) -> Block:
    """One modal; without `submit` it can only be closed."""
    view: Block = {
        "type": "modal",
        "callback_id": f"act:{name}",
        "title": plain(modal_title(name, messages), MODAL_TITLE),
        "close": plain(messages.t("Close"), MODAL_TITLE),
        "blocks": list(blocks)[:100],
    }
    if submit is not None:
        view["submit"] = plain(submit, MODAL_TITLE)
    if meta is not None:
        view["private_metadata"] = json.dumps(meta, separators=(",", ":"))
    return view


def meta_of(
    view: CaseView,
    *,
    plan_set_id: str | None = None,
    decision_id: str | None = None,
    picked: Selection | None = None,
) -> Block:
    """What comes back with a submission: ids, the version, and which revision of a selection was shown."""
    return {
        "case": view.case_id,
        "version": view.version,
        "plans": plan_set_id,
        "decision": decision_id,
        **({} if picked is None else {"picked": picked.revision}),
    }


def case_line(view: CaseView, messages: Messages) -> Block:
    """Which case a modal is about."""
    return context(
        [
            messages.t(
                "Case {case}: {title} — {size}",
                case=case_name(view.case_id),
                title=case_title(view, messages),
                size=size_of(view, messages),
            ),
            *cap_words(view, messages),
        ]
    )


def reason_select(reasons: Sequence[str], messages: Messages) -> Block:
    """A required choice; its values are catalogue keys, so that a reason reads in every language."""
    return select(
        messages.t("Reason"),
        block_id="reason",
        options=[option(messages.t(reason), reason) for reason in reasons],
        placeholder=messages.t("Choose a reason"),
    )


def note(messages: Messages) -> Block:
    return note_input(messages.t("Note"))


def loading_modal(name: str, *, messages: Messages) -> Block:
    """What stands there until the marketplace has answered."""
    return modal(name, [section(messages.t("One moment…"))], messages=messages)


def message_modal(sentence: str, *, messages: Messages) -> Block:
    """A refusal inside a modal; the sentence may hold a mention, so it comes escaped."""
    return modal("message", [mrkdwn_section(sentence)], messages=messages)


def dismiss_modal(view: CaseView, *, messages: Messages) -> Block:
    """Why this is no fraud."""
    ours = {
        o.subject
        for o in view.operations
        if o.verb is Verb.HOLD and o.state is OperationState.SUCCEEDED
    }
    held = sum(1 for m in view.members if m.subject in ours and m.facts.held_at is not None)
    blocks = [
        section(
            messages.t("The case will be closed as not fraud, and the detection learns from it.")
        )
    ]
    if held:
        blocks.append(
            section(
                messages.n(
                    "The hold on {count} order will be released: shipment and payout go on.",
                    "The holds on {count} orders will be released: shipment and payout go on.",
                    held,
                )
            )
        )
    return modal(
        "dismiss",
        [
            *blocks,
            reason_select(DISMISS_REASONS, messages),
            note(messages),
            case_line(view, messages),
        ],
        messages=messages,
        submit=messages.t("Close as not fraud"),
        meta=meta_of(view),
    )
