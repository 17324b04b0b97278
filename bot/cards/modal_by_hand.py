"""The modal in which people say what they did in the back office themselves."""

from __future__ import annotations

from bot.cards.answers import escape_url
from bot.cards.blocks import CHECKBOXES, Block, checkboxes, mrkdwn_section, option, section
from bot.cards.modal_emergency import words_input
from bot.cards.modal_frames import case_line, meta_of, modal
from bot.cards.progress import is_by_hand, needs_word
from bot.cards.wording import subject_id, verb_name
from bot.domain.cases import CaseView, Operation
from bot.domain.text import escape
from bot.locale import Messages

GROUPS = 10
"""A modal shows so many groups of check-boxes; what is over comes the next time."""


def by_hand_modal(view: CaseView, *, messages: Messages) -> Block:
    """One tick an operation, none set: a tick says that it was done."""
    waiting = [o for o in view.operations if needs_word(o)][: GROUPS * CHECKBOXES]
    blocks: list[Block] = [
        section(
            messages.t(
                "Please tick what you have done in the back office. What is not ticked is recorded"
                " as not done."
            )
        ),
        *(
            [
                section(
                    messages.t(
                        "Of some nobody knows whether they took effect: please look in the back office"
                        " first, and tick those that did."
                    )
                )
            ]
            if any(not is_by_hand(operation) for operation in waiting)
            else []
        ),
        *(mrkdwn_section(text) for text in _links(view, waiting, messages)),
    ]
    blocks += [
        checkboxes(
            messages.t("Done by hand"),
            block_id=f"by_hand:{start}",
            action_id="by_hand",
            options=[
                option(hand_line(operation, messages), operation.operation_id)
                for operation in waiting[start : start + CHECKBOXES]
            ],
            ticked=(),
        )
        for start in range(0, len(waiting), CHECKBOXES)
    ]
    if any(not is_by_hand(operation) for operation in waiting):
        blocks.append(words_input(messages.t("What you saw there"), block_id="words", least=5))
    return modal(
        "by_hand",
        [*blocks, case_line(view, messages)],
        messages=messages,
        submit=messages.t("Record it"),
        meta=meta_of(view),
    )


def hand_line(operation: Operation, messages: Messages) -> str:
    """What is to be done, as one line."""
    return messages.t(
        "{id}: {verb}",
        id=subject_id(operation.subject),
        verb=verb_name(operation.verb, messages),
    )


def hand_link(view: CaseView, operation: Operation, messages: Messages) -> str:
    """The same with a link to the back office, as mrkdwn, where the marketplace names one."""
    line = escape(hand_line(operation, messages))
    url = next((m.facts.admin_url for m in view.members if m.subject == operation.subject), None)
    if url is None or not url.startswith(("https://", "http://")) or "|" in url:
        return line
    return f"<{escape_url(url)}|{line}>"


def _links(view: CaseView, waiting: list[Operation], messages: Messages) -> list[str]:
    links = [f"• {hand_link(view, operation, messages)}" for operation in waiting[:30]]
    return ["\n".join(links[start : start + 10]) for start in range(0, len(links), 10)]
