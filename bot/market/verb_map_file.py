"""Reads a verb map, and refuses with a sentence what is written wrong or would let something else run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bot.domain.errors import SayableError
from bot.domain.verbs import Verb
from bot.market.verb_map import EFFECTS, MappedVerb, Preview, VerbMap
from bot.market.yaml_file import YamlFile

NEEDED: Mapping[Verb, tuple[str, ...]] = {
    Verb.CANCEL: ("refund_policy",),
    Verb.REFUND: ("amount", "currency"),
    Verb.WARN: ("template",),
    Verb.REMOVE_FOLLOWS: ("since",),
}
SETS_A_STATE = frozenset(
    {
        Verb.HOLD,
        Verb.RELEASE,
        Verb.CANCEL,
        Verb.SUSPEND,
        Verb.REINSTATE,
        Verb.TAKEDOWN,
        Verb.RESTORE,
        Verb.REMOVE_POST,
        Verb.RESTORE_POST,
    }
)
"""Verbs that are done when the subject is in a state; of a refund or a warning no state tells."""


def read_verb_map(path: Path) -> VerbMap:
    """Read and check a verb map.

    Raises:
        SayableError: what is wrong, where and what to do, in one sentence.
    """
    file = YamlFile(
        path=path,
        what="verb map",
        setting="VERB_MAP_FILE",
        top="verbs",
        explained_in="docs/adoption.md",
    )
    read, node = file.read(VerbMap)
    for verb, mapped in read.verbs.items():
        problem = _problem_of_effects(verb, mapped)
        if problem is not None:
            raise SayableError(file.told(node, ("verbs", verb.value), problem))
    return read


def _problem_of_effects(verb: Verb, mapped: MappedVerb) -> str | None:
    """Why something else would run under this map than was decided; None: it would not."""
    if mapped.request is None:
        return None
    carries = set(mapped.request.carries)
    if "amount_decimal" in carries:
        carries = {*carries - {"amount_decimal"}, "amount"}
    effects = EFFECTS.get(verb, ())
    for name in (*mapped.fixed, *mapped.values):
        if name not in effects:
            return f"must fix or translate only what changes its effect: `{name}` does not"
    for name in NEEDED.get(verb, ()):
        if name not in carries and name not in mapped.fixed:
            return (
                f"must send {{{name}}}, or say under `fixed` which {name} its endpoint always uses"
            )
    strange = {name for names in EFFECTS.values() for name in names} - set(effects)
    if strange & carries:
        return f"must not send {{{min(strange & carries)}}}: that belongs to another verb"
    if verb is Verb.REFUND and "amount" in mapped.fixed:
        return "must send {amount} or {amount_decimal}: it cannot be fixed"
    if verb is Verb.REFUND and not _tells_what_is_left(mapped.plan):
        return (
            "must read `refund_amount`, `currency` and `refund_route` in a `plan`, so that never more"
            " is given back than is left, nor to a bank account unseen"
        )
    if mapped.lookup is not None and mapped.lookup.by == "state" and verb not in SETS_A_STATE:
        return "must be looked up by operation: no state tells whether *this* one was done"
    return None


def _tells_what_is_left(plan: Preview | None) -> bool:
    return plan is not None and None not in (plan.refund_amount, plan.currency, plan.refund_route)
