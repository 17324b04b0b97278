"""Show removed posts again."""

from __future__ import annotations

from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.locale import N_

ACTION = Action(
    name="restore_posts",
    uses=(VerbUse(verb=Verb.RESTORE_POST),),
    button=N_("Restore posts ({count})…"),
    title=N_("Restore posts"),
    consequence=N_("{posts} will be shown again."),
    done=N_("{posts} restored"),
    dangerous=True,
    closes_case=False,
    undo="remove_posts",
    reasons=(
        N_("Wrong removal"),
        N_("Other (write it below)"),
    ),
)
