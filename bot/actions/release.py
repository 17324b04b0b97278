"""Release a hold: shipment and payout go on."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="release",
    uses=(VerbUse(verb=Verb.RELEASE),),
    button=N_("Release hold ({count})"),
    title=N_("Release hold"),
    consequence=N_("Shipment and payout of {orders} will go on."),
    done=N_("{orders} released"),
    dangerous=False,
    closes_case=False,
    undo="hold",
)
