"""The modal that extends a hold: until when it lasts now, and why it must last longer."""

from __future__ import annotations

from datetime import datetime, tzinfo

from bot.cards.blocks import Block, section
from bot.cards.modal_emergency import words_input
from bot.cards.modal_frames import case_line, meta_of, modal
from bot.cards.wording import count_of
from bot.cases.hold_terms import standing_holds
from bot.domain.cases import CaseView
from bot.domain.subjects import SubjectKind
from bot.locale import Messages


def extend_hold_modal(view: CaseView, *, until: datetime, messages: Messages, tz: tzinfo) -> Block:
    """What is on hold, until when, and until when it would be.

    Args:
        until: the end that the hold gets.
    """
    held = count_of(SubjectKind.ORDER, len(standing_holds(view)), messages)
    now_ends = messages.moment(view.hold.until, tz) if view.hold else "—"
    return modal(
        "extend_hold",
        [
            section(
                messages.t(
                    "The hold on {what} ends at {when}. Extended, it ends at {later}; it is yours"
                    " from then on.",
                    what=held,
                    when=now_ends,
                    later=messages.moment(until, tz),
                )
            ),
            words_input(messages.t("Why it must last longer"), block_id="words", least=5),
            case_line(view, messages),
        ],
        messages=messages,
        submit=messages.t("Extend the hold"),
        meta=meta_of(view),
    )
