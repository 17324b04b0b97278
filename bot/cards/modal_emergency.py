"""The modals of an emergency: let a request through alone, and the review by somebody else."""

from __future__ import annotations

from bot.cards.blocks import Block, plain, section
from bot.cards.modal_frames import modal
from bot.cards.wording import case_name
from bot.domain.proposals import Proposal
from bot.domain.text import user_text
from bot.locale import Messages

CONFIRM = "BREAK GLASS"
"""What must be typed, the same in every language."""


def words_input(label: str, *, block_id: str, least: int, hint: str | None = None) -> Block:
    """Several lines that must be filled in."""
    made: Block = {
        "type": "input",
        "block_id": block_id,
        "label": plain(label, 2000),
        "element": {
            "type": "plain_text_input",
            "action_id": block_id,
            "multiline": True,
            "min_length": least,
            "max_length": 1000,
        },
    }
    if hint is not None:
        made["hint"] = plain(hint, 2000)
    return made


def review_modal(proposal: Proposal, *, justified: bool, messages: Messages) -> Block:
    """What somebody else says of an emergency, in words."""
    case_id = proposal.body.get("case")
    what = (
        messages.t("You confirm that letting this through alone was justified.")
        if justified
        else messages.t("You say that letting this through alone was not justified.")
    )
    reason = messages.t(
        "{case}: the reason given then was: {reason}",
        case=case_name(case_id) if isinstance(case_id, int) else "—",
        reason=user_text(str(proposal.body.get("reason") or "—"), 500),
    )
    return modal(
        "review_justified" if justified else "review_not",
        [
            section(f"{what}\n{reason}"),
            words_input(
                messages.t("What did you look at, and what follows from it?"),
                block_id="words",
                least=10,
            ),
        ],
        messages=messages,
        submit=messages.t("Send"),
        meta={
            "case": case_id if isinstance(case_id, int) else 0,
            "version": 0,
            "proposal": proposal.proposal_id,
        },
    )
