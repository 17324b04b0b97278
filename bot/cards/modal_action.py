"""The modal of a dangerous action, drawn from the marketplace's plans of that moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import tzinfo

from bot.cards.blocks import (
    CHECKBOXES,
    OPTION_VALUE,
    Block,
    checkboxes,
    context,
    option,
    section,
)
from bot.cards.modal_frames import case_line, meta_of, modal, note, reason_select
from bot.cards.plan_words import (
    affected_lines,
    by_hand_sentences,
    foretold_sentences,
    message_texts,
    methods_of,
    money_sentences,
    refused_lines,
    undo_sentences,
)
from bot.cards.wording import action_sentence, counts_of, post_words, status_words, verb_name
from bot.cases.selecting import PAGE, choosable, ticked_at_first
from bot.domain.actions import Action
from bot.domain.cases import CaseView, MemberFacts
from bot.domain.plans import Plan, Selection
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.text import user_text
from bot.domain.verbs import VERB_SUBJECT, Verb
from bot.locale import N_, Messages

_TARGETS = {
    SubjectKind.ORDER: N_("Orders"),
    SubjectKind.ACCOUNT: N_("Accounts"),
    SubjectKind.LISTING: N_("Listings"),
    SubjectKind.POST: N_("Posts"),
    SubjectKind.DETECTION: N_("Detections"),
}


def action_modal(
    action: Action,
    view: CaseView,
    plans: Sequence[Plan],
    *,
    plan_set_id: str,
    second_person: bool,
    messages: Messages,
    tz: tzinfo,  # noqa: ARG001 - every modal is drawn with the same things
    changed: bool = False,
    picked: Selection | None = None,
) -> Block:
    """What will happen, to whom, with which money and messages, and what can be taken back.

    Args:
        picked: whom it is for was chosen before, among many; the others are left out.
        changed: the plan is another than the one that was shown before; nothing was done under that.
    """
    allowed = [p for p in plans if p.allowed and (picked is None or p.subject in picked.chosen)]
    required = {use.verb for use in action.uses if not use.optional}
    # What merely would come along and has nothing to do would read as if the action itself were refused.
    idle = [p for p in plans if p.verb not in required and p.refusal_code == "nothing_to_remove"]
    refused = refused_lines([plan for plan in plans if plan not in idle], messages)
    blocks: list[Block] = []
    if changed:
        blocks.append(
            section(
                messages.t(
                    "⚠️ The situation changed while this was open. Nothing was done. Please look again."
                )
            )
        )
    if not any(plan.verb in required for plan in allowed):
        blocks.append(section(messages.t("There is nothing left that this could do.")))
        if refused:
            blocks.append(_list(messages.t("Not possible:"), refused))
        blocks.append(case_line(view, messages))
        return modal(action.name, blocks, messages=messages)
    ticked = allowed if picked is not None else ticked_at_first(action, view, allowed)
    blocks += _consequences(action, view, ticked, second_person=second_person, messages=messages)
    if refused:
        blocks.append(_list(messages.t("Not possible:"), refused))
    if picked is None:
        blocks += member_checkboxes(
            view, choosable(allowed), {plan.subject for plan in ticked}, messages
        )
    blocks += _optional_verbs(action, allowed, ticked, messages)
    if action.reasons:
        blocks.append(reason_select(action.reasons, messages))
    blocks += [note(messages), case_line(view, messages)]
    return modal(
        action.name,
        blocks,
        messages=messages,
        submit=messages.t("Request approval") if second_person else messages.t("Carry out"),
        meta=meta_of(view, plan_set_id=plan_set_id, picked=picked),
    )


def _consequences(
    action: Action,
    view: CaseView,
    ticked: Sequence[Plan],
    *,
    second_person: bool,
    messages: Messages,
) -> Iterator[Block]:
    counts = counts_of((plan.verb, plan.subject) for plan in ticked)
    yield section(action_sentence(action, counts, messages, done=False))
    second = (
        messages.t("One other person must approve before it is carried out.")
        if second_person
        else messages.t(
            "It is carried out once you have sent this; until it starts, it can be taken back on the card."
        )
    )
    separator = "" if messages.locale == "ja" else " "
    sentences = [
        *money_sentences(ticked, methods_of(view), messages),
        *undo_sentences(ticked, messages),
        *foretold_sentences(ticked, messages),
        *by_hand_sentences(ticked, view.by_hand, messages),
        second,
    ]
    yield section(separator.join(sentences))
    affected = affected_lines(ticked, messages)
    if affected:
        yield _list(messages.t("This also touches:"), affected)
    for text in message_texts(ticked, messages):
        yield context([text])


def member_checkboxes(
    view: CaseView,
    subjects: Sequence[Subject],
    chosen: Collection[Subject],
    messages: Messages,
    *,
    name: str = "targets",
) -> Iterator[Block]:
    """At most a page of members to tick, in groups of one kind.

    Args:
        name: how the ids of the blocks begin. Slack keeps what a person ticked in a block of a known id,
            whatever is drawn in it later.
    """
    facts = {member.subject: member.facts for member in view.members}
    # A subject whose id does not fit into an option's value cannot be told apart when it comes back.
    if len(subjects) > PAGE or any(len(_value(s)) > OPTION_VALUE for s in subjects):
        return
    number = 0
    for kind in SubjectKind:
        mine = [subject for subject in subjects if subject.kind is kind]
        for start in range(0, len(mine), CHECKBOXES):
            part = mine[start : start + CHECKBOXES]
            options = [_option(s, facts.get(s, MemberFacts()), messages) for s in part]
            yield checkboxes(
                messages.t(_TARGETS[kind]),
                block_id=name if number == 0 else f"{name}_{number}",
                action_id="targets",
                options=options,
                ticked=[one for one, s in zip(options, part, strict=True) if s in chosen],
            )
            number += 1


def _optional_verbs(
    action: Action, allowed: Sequence[Plan], ticked: Sequence[Plan], messages: Messages
) -> Iterator[Block]:
    """The verbs that may be left out."""
    verbs = [use.verb for use in action.uses if use.optional]
    offered = [verb for verb in verbs if any(plan.verb is verb for plan in allowed)]
    if offered:
        options = [option(_optional_words(verb, messages), verb.value) for verb in offered]
        yield checkboxes(
            messages.t("Along with it"),
            block_id="options",
            action_id="options",
            options=options,
            ticked=[
                one
                for one, verb in zip(options, offered, strict=True)
                if any(plan.verb is verb for plan in ticked)
            ],
        )


def _optional_words(verb: Verb, messages: Messages) -> str:
    if VERB_SUBJECT[verb] is SubjectKind.ACCOUNT and verb is Verb.SUSPEND:
        return messages.t("Suspend the accounts")
    if verb is Verb.REMOVE_POST:
        return messages.t("Remove the posts")
    if verb is Verb.REMOVE_FOLLOWS:
        return messages.t("Remove the follows of the last 30 days")
    return verb_name(verb, messages)


def _value(subject: Subject) -> str:
    return f"{subject.kind.value}:{subject.id}"


def _option(subject: Subject, facts: MemberFacts, messages: Messages) -> Block:
    parts = [user_text(subject.id, 40)]
    if facts.amount is not None:
        parts.append(messages.money(facts.amount, facts.currency))
    if subject.kind is SubjectKind.POST:
        parts.append(post_words(facts, messages))
    elif facts.name_masked:
        parts.append(user_text(facts.name_masked, 20))
    return option(
        messages.dots(parts), _value(subject), description=status_words(facts, messages) or None
    )


def _list(head: str, lines: Sequence[str]) -> Block:
    return section("\n".join([head, *(f"・{line}" for line in lines)]))
