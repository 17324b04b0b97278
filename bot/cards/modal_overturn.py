"""The modal in which a decision is found wrong: what that means, how to repair it, and a letter to begin with."""

from __future__ import annotations

from bot.cards.blocks import Block, section, text_input
from bot.cards.modal_consult import ids_of
from bot.cards.modal_emergency import words_input
from bot.cards.modal_frames import case_line, meta_of, modal
from bot.cards.wording import action_name, named
from bot.cases.gate import DISMISS
from bot.cases.overturning import MIN_WORDS
from bot.domain.cases import CaseView, Decision
from bot.domain.verbs import Verb
from bot.locale import Messages


def overturn_modal(view: CaseView, decision: Decision, *, messages: Messages) -> Block:
    """Args:
    decision: the one that ended the case.
    """
    blocks = [
        section(
            messages.t(
                "Decided by {name}: {action}",
                name=named(decision.requested_by, view.names, messages),
                action=action_name(decision.action, messages),
            )
        )
    ]
    if decision.action == DISMISS:
        blocks.append(
            section(
                messages.t(
                    "It counts as fraud from then on, and the case is open again: hold or force-cancel what can still be stopped."
                )
            )
        )
    else:
        blocks.append(section("\n".join(_repair(decision, messages))))
        blocks.append(
            text_input(
                messages.t("Apology to the customer (please send it from your support tool)"),
                block_id="letter",
                initial=_letter(view, messages),
            )
        )
    blocks += [
        words_input(messages.t("What shows that it was wrong"), block_id="words", least=MIN_WORDS),
        case_line(view, messages),
    ]
    return modal(
        "overturn",
        blocks,
        messages=messages,
        submit=messages.t("Overturn"),
        meta=meta_of(view),
    )


def _repair(decision: Decision, messages: Messages) -> list[str]:
    """What this does not do by itself, verb by verb."""
    lines = [
        messages.t(
            "It counts as not fraud from then on, against the detections that found it. Nothing changes in the marketplace by this:"
        )
    ]
    verbs = {verb for verb, _ in decision.targets}
    if Verb.SUSPEND in verbs:
        lines.append(messages.t("・Suspended accounts: press “Reinstate” on the card."))
    if Verb.TAKEDOWN in verbs:
        lines.append(messages.t("・Listings that were taken down: press “Restore” on the card."))
    if Verb.CANCEL in verbs:
        lines.append(
            messages.t(
                "・Force-cancelled orders cannot come back: ask the buyer to order again, and see that a withheld payment is refunded."
            )
        )
    return lines


def _letter(view: CaseView, messages: Messages) -> str:
    return messages.t(
        "This is customer support. We made a mistake about the following, and we are sorry: {ids}.\n"
        "What we stopped was in order. We are putting it right, and will write to you as soon as that is done.\n"
        "Please reply to this message if anything is still wrong.",
        ids=ids_of(view, messages),
    )
