"""Hold shipment and payout of orders: reversible, at once."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="hold",
    uses=(VerbUse(verb=Verb.HOLD),),
    button=N_("Hold shipment and payout ({count})"),
    title=N_("Hold orders"),
    consequence=N_("Shipment and payout of {orders} will stop until somebody releases the hold."),
    done=N_("{orders} held"),
    dangerous=False,
    closes_case=False,
    undo="release",
)
