"""The modals of an emergency: let a request through alone, and the review by somebody else."""

from __future__ import annotations

from datetime import tzinfo

from bot.cards.blocks import Block, line_input, plain, section
from bot.cards.modal_decision import request_blocks
from bot.cards.modal_frames import case_line, meta_of, modal
from bot.cards.wording import case_name
from bot.cases.breaking_glass import CONFIRM, MIN_REASON
from bot.domain.cases import CaseView, Decision
from bot.domain.proposals import Proposal
from bot.domain.text import user_text
from bot.locale import Messages


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


def break_glass_modal(
    view: CaseView, decision: Decision, *, messages: Messages, tz: tzinfo
) -> Block:
    """Exactly what would be carried out, and what it costs to do it alone."""
    missing = decision.approvals_needed - len(decision.approvals)
    return modal(
        "break_glass",
        [
            section(
                messages.n(
                    "You let this through alone: {count} approval is missing.",
                    "You let this through alone: {count} approvals are missing.",
                    missing,
                )
                + "\n"
                + messages.t(
                    "Everybody is told at once, with your name and your reason, and somebody else"
                    " must review it afterwards."
                )
            ),
            *request_blocks(view, decision, messages, tz),
            words_input(
                messages.t("Why it cannot wait for another person"),
                block_id="words",
                least=MIN_REASON,
            ),
            line_input(messages.t("Type {word}", word=CONFIRM), block_id="confirm"),
            case_line(view, messages),
        ],
        messages=messages,
        submit=messages.t("Let it through"),
        meta=meta_of(view, decision_id=decision.decision_id),
    )


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
