"""Remove posts that lure or spam, and the follows of the accounts behind them."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="remove_posts",
    uses=(VerbUse(verb=Verb.REMOVE_POST), VerbUse(verb=Verb.REMOVE_FOLLOWS)),
    button=N_("Remove posts ({count})…"),
    title=N_("Remove posts and follows"),
    consequence=N_("{posts} will be removed."),
    done=N_("{posts} removed"),
    dangerous=True,
    closes_case=True,
    undo="restore_posts",
    reasons=(
        N_("Spam or luring to another site"),
        N_("Harassment"),
        N_("Other (write it below)"),
    ),
)
