"""Give back money of one order, whole or in part, the way it was paid."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="refund",
    uses=(VerbUse(verb=Verb.REFUND),),
    button=N_("Refund ({count})…"),
    title=N_("Refund"),
    consequence=N_("Money of {orders} will be given back."),
    done=N_("{orders} refunded"),
    dangerous=True,
    closes_case=False,
    undo=None,
    reasons=(
        N_("Not received"),
        N_("Damaged or not as described"),
        N_("Cancelled by agreement"),
        N_("Paid twice"),
        N_("Other (write it below)"),
    ),
)
