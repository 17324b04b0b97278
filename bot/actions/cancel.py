"""Force-cancel orders judged fraudulent, and suspend the accounts behind them."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="cancel",
    # Money of an order judged fraudulent never flows to a suspect (design.md): always withhold.
    uses=(
        VerbUse(verb=Verb.CANCEL, params={"refund_policy": "withhold"}),
        VerbUse(verb=Verb.SUSPEND, optional=True),
    ),
    button=N_("Force-cancel + suspend…"),
    title=N_("Force-cancel + suspend"),
    consequence=N_("{orders} will be force-cancelled and {accounts} suspended."),
    done=N_("{orders} force-cancelled, {accounts} suspended"),
    dangerous=True,
    closes_case=True,
    undo=None,
    reasons=(
        N_("Stolen card"),
        N_("Self-dealing"),
        N_("Card testing"),
        N_("Same person behind several accounts"),
        N_("Other (write it below)"),
    ),
)
