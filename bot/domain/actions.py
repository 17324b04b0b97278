"""What an action is: its words, the verbs it stands for, and how it is undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.verbs import Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbUse:
    """One verb that an action applies to every fitting member; `optional` ones are ticked in the modal."""

    verb: Verb
    params: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that people can do about a case; texts are English catalogue keys."""

    name: str
    """The `ACTION.name` must equal the module's name."""
    uses: tuple[VerbUse, ...]
    button: str
    """Takes `{count}`."""
    title: str
    """The modal's title; at most 24 characters in every language."""
    consequence: str
    """What the modal says will happen, in one sentence; takes `{orders}`, `{accounts}`, `{listings}`,
    each a counted phrase such as "12 orders"."""
    done: str
    """How the card tells that it was done; takes the same."""
    dangerous: bool
    """Opens a modal with the plan, and needs the approver role somewhere."""
    closes_case: bool
    """Success ends the case; else the case stays open for the next decision."""
    undo: str | None = None
    """The action that undoes it; None: it cannot be undone, and the modal says so."""
    reasons: tuple[str, ...] = ()
    """Catalogue keys of the reason list in the modal."""
