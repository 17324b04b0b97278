"""The modal that lets a case wait: for the customer's answer, or for the people of another group."""

from __future__ import annotations

from collections.abc import Sequence

from bot.cards.blocks import Block, note_input, option, radio, text_input
from bot.cards.modal_frames import case_line, meta_of, modal
from bot.cards.wording import main_kind, members_of, subject_id
from bot.domain.cases import CaseView
from bot.domain.subjects import SubjectKind
from bot.locale import Messages

CUSTOMER = "customer"
_IDS = 5


def consult_modal(view: CaseView, groups: Sequence[str], *, messages: Messages) -> Block:
    """Whom to ask, with the text for the customer prepared.

    Args:
        groups: handles of the user groups that the case can be passed on to.
    """
    ways = [option(messages.t("Ask the customer"), CUSTOMER)]
    ways += [
        option(messages.t("Escalate to {group}", group=f"@{group}"), group) for group in groups[:9]
    ]
    return modal(
        "consult",
        [
            radio(messages.t("Whom to ask"), block_id="way", options=ways),
            text_input(
                messages.t("Text for the customer (please send it from your support tool)"),
                block_id="text",
                initial=customer_text(view, messages),
            ),
            note_input(messages.t("Note for the group that the case is escalated to")),
            case_line(view, messages),
        ],
        messages=messages,
        submit=messages.t("Let it wait"),
        meta=meta_of(view),
    )


def customer_text(view: CaseView, messages: Messages) -> str:
    """What a customer is asked, without an accusation and without what the detection knows."""
    ids = ids_of(view, messages)
    match main_kind(view):
        case SubjectKind.ORDER:
            return messages.t(
                "This is customer support. We are checking the following orders: {ids}.\n"
                "Did you place them yourself? Please reply to this message and tell us. We"
                " apologise for the trouble.",
                ids=ids,
            )
        case SubjectKind.LISTING:
            return messages.t(
                "This is customer support. We are checking the following listings: {ids}.\n"
                "Please reply to this message and tell us how the work was made, if you can with a"
                " photograph of it being made. We apologise for the trouble.",
                ids=ids,
            )
        case SubjectKind.ACCOUNT | SubjectKind.POST | SubjectKind.DETECTION:
            return messages.t(
                "This is customer support. We are checking how your account has been used lately.\n"
                "Please reply to this message and tell us whether you used it yourself, and whether"
                " anybody else can use it. We apologise for the trouble.",
            )


def ids_of(view: CaseView, messages: Messages) -> str:
    """What a customer knows the case by: the ids of the first of its main kind."""
    members = [member.subject for member in members_of(view, main_kind(view))]
    return messages.series([subject_id(subject) for subject in members[:_IDS]])
