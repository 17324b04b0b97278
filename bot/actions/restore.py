"""Undo a takedown."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="restore",
    uses=(VerbUse(verb=Verb.RESTORE),),
    button=N_("Restore listings ({count})…"),
    title=N_("Restore listings"),
    consequence=N_("{listings} will be on sale again."),
    done=N_("{listings} restored"),
    dangerous=True,
    closes_case=False,
    undo="takedown",
    reasons=(
        N_("Wrong takedown"),
        N_("The seller proved that the work is theirs"),
        N_("Other (write it below)"),
    ),
)
