"""Take listings down: copied works, things that must not be sold."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="takedown",
    uses=(VerbUse(verb=Verb.TAKEDOWN),),
    button=N_("Take listings down ({count})…"),
    title=N_("Take listings down"),
    consequence=N_("{listings} will be taken down and can no longer be bought."),
    done=N_("{listings} taken down"),
    dangerous=True,
    closes_case=True,
    undo="restore",
    reasons=(
        N_("Copied without permission"),
        N_("Not allowed to be sold here"),
        N_("Lures to another site"),
        N_("Other (write it below)"),
    ),
)
