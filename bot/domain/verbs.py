"""The verbs of the market contract, and what the marketplace declares about each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.domain.subjects import SubjectKind


class Verb(StrEnum):
    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    REFUND = "refund"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    WARN = "warn"
    TAKEDOWN = "takedown"
    RESTORE = "restore"
    REMOVE_POST = "remove_post"
    RESTORE_POST = "restore_post"
    REMOVE_FOLLOWS = "remove_follows"


VERB_SUBJECT: dict[Verb, SubjectKind] = {
    Verb.HOLD: SubjectKind.ORDER,
    Verb.RELEASE: SubjectKind.ORDER,
    Verb.CANCEL: SubjectKind.ORDER,
    Verb.REFUND: SubjectKind.ORDER,
    Verb.SUSPEND: SubjectKind.ACCOUNT,
    Verb.REINSTATE: SubjectKind.ACCOUNT,
    Verb.WARN: SubjectKind.ACCOUNT,
    Verb.REMOVE_FOLLOWS: SubjectKind.ACCOUNT,
    Verb.TAKEDOWN: SubjectKind.LISTING,
    Verb.RESTORE: SubjectKind.LISTING,
    Verb.REMOVE_POST: SubjectKind.POST,
    Verb.RESTORE_POST: SubjectKind.POST,
}
"""The kind of subject that a verb acts on."""


class OperationClass(StrEnum):
    """How far a verb can be trusted after a lost answer (contract: `idempotency`)."""

    KEY = "key"
    LOOKUP = "lookup"
    NONE = "none"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What the marketplace declares about one verb; times in seconds."""

    verb: Verb
    operation_class: OperationClass
    key_window_s: int | None
    execution_bound_s: int
