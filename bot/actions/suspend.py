"""Suspend accounts: no log-in, listings hidden, payouts held."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="suspend",
    uses=(
        VerbUse(verb=Verb.SUSPEND),
        VerbUse(verb=Verb.REMOVE_POST, optional=True),
        VerbUse(verb=Verb.REMOVE_FOLLOWS, optional=True),
    ),
    button=N_("Suspend accounts ({count})…"),
    title=N_("Suspend accounts"),
    consequence=N_("{accounts} will be suspended: no log-in, listings hidden, payouts held."),
    done=N_("{accounts} suspended"),
    dangerous=True,
    closes_case=True,
    undo="reinstate",
    reasons=(
        N_("Spam or luring to another site"),
        N_("Self-dealing"),
        N_("Stolen card"),
        N_("Same person behind several accounts"),
        N_("Other (write it below)"),
    ),
)
