"""Undo a suspension."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="reinstate",
    uses=(VerbUse(verb=Verb.REINSTATE),),
    button=N_("Undo suspension ({count})…"),
    title=N_("Undo suspension"),
    consequence=N_("{accounts} will be able to log in and sell again."),
    done=N_("{accounts} reinstated"),
    dangerous=True,
    closes_case=False,
    undo="suspend",
    reasons=(
        N_("Wrong suspension"),
        N_("The account holder proved who they are"),
        N_("Other (write it below)"),
    ),
)
