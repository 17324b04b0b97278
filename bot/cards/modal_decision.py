"""The modals of the second person: what is being approved or rejected, exactly as it was requested."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from bot.actions import registry
from bot.cards.blocks import Block, context, section, sections_of
from bot.cards.modal_frames import case_line, meta_of, modal, note, reason_select
from bot.cards.plan_words import (
    affected_lines,
    by_hand_sentences,
    foretold_sentences,
    message_texts,
    methods_of,
    money_sentences,
    undo_sentences,
)
from bot.cards.wording import (
    action_name,
    action_sentence,
    counts_of,
    named,
    reason_words,
    subject_id,
    verb_name,
)
from bot.domain.cases import CaseView, Decision
from bot.domain.text import user_text
from bot.domain.verbs import Verb
from bot.locale import N_, Messages

_TARGET_SECTIONS = 6

REJECT_REASONS = (
    N_("The evidence is not enough"),
    N_("The wrong orders or accounts"),
    N_("The customer should be asked first"),
    N_("I take my request back"),
    N_("Other (write it below)"),
)


def approve_modal(view: CaseView, decision: Decision, *, messages: Messages, tz: tzinfo) -> Block:
    """Everything that the approval is bound to, before it is given."""
    return modal(
        "approve",
        [*request_blocks(view, decision, messages, tz), case_line(view, messages)],
        messages=messages,
        submit=messages.t("Approve"),
        meta=meta_of(view, decision_id=decision.decision_id),
    )


def reject_modal(view: CaseView, decision: Decision, *, messages: Messages, tz: tzinfo) -> Block:
    """Turn a request down, or take back one's own."""
    return modal(
        "reject",
        [
            section(_who_asked(view, decision, messages, tz)),
            reason_select(REJECT_REASONS, messages),
            note(messages),
            case_line(view, messages),
        ],
        messages=messages,
        submit=messages.t("Reject"),
        meta=meta_of(view, decision_id=decision.decision_id),
    )


def request_blocks(
    view: CaseView, decision: Decision, messages: Messages, tz: tzinfo
) -> Iterator[Block]:
    """A request as it was made: what it would do, who asked, for whom."""
    action = registry().get(decision.action)
    yield section(
        action_sentence(action, counts_of(decision.targets), messages, done=False)
        if action is not None
        else action_name(decision.action, messages)
    )
    separator = "" if messages.locale == "ja" else " "
    sentences = [
        *money_sentences(decision.plans, methods_of(view), messages),
        *undo_sentences(decision.plans, messages),
        *foretold_sentences(decision.plans, messages),
        *by_hand_sentences(decision.plans, view.by_hand, messages),
        messages.t(
            "It is carried out once enough people have approved; until it starts, it can be taken back on the card."
        ),
    ]
    yield section(separator.join(sentences))
    yield section(_who_asked(view, decision, messages, tz))
    yield from sections_of(list(target_lines(view, decision, messages)), _TARGET_SECTIONS)
    affected = affected_lines(decision.plans, messages)
    if affected:
        yield section("\n".join([messages.t("This also touches:"), *(f"・{a}" for a in affected)]))
    for text in message_texts(decision.plans, messages):
        yield context([text])


def _who_asked(view: CaseView, decision: Decision, messages: Messages, tz: tzinfo) -> str:
    lines = [
        messages.t(
            "Requested by {name}, {when}",
            name=named(decision.requested_by, view.names, messages),
            when=messages.moment(decision.requested_at, tz),
        )
    ]
    if decision.expires_at is not None:
        when = messages.moment(decision.expires_at, tz)
        lines.append(messages.t("The request ends at {when}.", when=when))
    reason = reason_words(decision.reason, decision.note, messages)
    if reason:
        lines.append(messages.t("Reason: {reason}", reason=reason))
    return "\n".join(lines)


def target_lines(view: CaseView, decision: Decision, messages: Messages) -> Iterator[str]:
    """Every target by id, verb by verb."""
    facts = {member.subject: member.facts for member in view.members}
    for verb in dict.fromkeys(verb for verb, _ in decision.targets):
        yield f"{_capital(verb_name(verb, messages))}:"
        for one, subject in decision.targets:
            if one is not verb:
                continue
            known = facts.get(subject)
            parts = [subject_id(subject)]
            if known is not None and known.amount is not None and verb is not Verb.SUSPEND:
                parts.append(messages.money(known.amount, known.currency))
            if known is not None and known.name_masked:
                parts.append(user_text(known.name_masked, 30))
            yield f"・{messages.dots(parts)}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
