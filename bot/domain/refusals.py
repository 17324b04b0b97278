"""Why something that a person asked for was not done; the sentence is drawn in cards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RefusalCode(StrEnum):
    STALE = "stale"
    """Somebody changed the case since: `by`, `at`."""
    NO_ROLE = "no_role"
    """`action`, `roles` (who may), `groups` (whom to ask)."""
    UNKNOWN_PERSON = "unknown_person"
    GUEST = "guest"
    """Guests, bots, deactivated users, other workspaces."""
    ROLES_TOO_OLD = "roles_too_old"
    OWN_REQUEST = "own_request"
    ALREADY_APPROVED = "already_approved"
    PAUSED = "paused"
    """`by`, `at`, `reason`."""
    EXPIRED = "expired"
    CASE_CLOSED = "case_closed"
    NOT_OFFERED = "not_offered"
    """The marketplace does not offer `action`."""
    PLAN_REFUSED = "plan_refused"
    """`detail`: the marketplace's own code and words."""
    PLAN_CHANGED = "plan_changed"
    NOTHING_TO_DO = "nothing_to_do"
    CASE_NOT_FOUND = "case_not_found"
    SUBJECT_NOT_FOUND = "subject_not_found"
    MARKET_UNREACHABLE = "market_unreachable"
    ALREADY_WAITING = "already_waiting"
    """A request waits for approval already."""
    BUSY = "busy"
    """Operations are under way."""
    NEEDS_BANK_TRANSFER = "needs_bank_transfer"
    """The payment of an order can only be given back by a bank transfer."""
    JUDGED_FRAUD = "judged_fraud"
    """Money of an order judged fraudulent goes back to the card alone: `detail` is the order."""
    TOO_LATE = "too_late"
    """What was to be taken back has begun already."""
    QUEUE_EMPTY = "queue_empty"
    OVER_LIMIT = "over_limit"
    """More money than the person's role may decide; `roles`, `groups`: whose may."""
    CHANGED_SINCE = "changed_since"
    """Somebody else changed what was to be undone: `detail` is the subject, `reason` its status now, `at`."""
    NOT_YET = "not_yet"
    """The role is new and counts only from `at` on; `action`."""
    BAD_DELEGATION = "bad_delegation"
    """`detail`: self, past, long, person, nothing, outsider, dates."""
    BAD_LIST = "bad_list"
    """`detail`: words, snooze, days (`count`: how many at most), there (`reason`: the list), gone."""
    CAP_REACHED = "cap_reached"
    """`action`; `reason`: the cap's kind; `amount`, `currency` or `count`: what is left; `at`: when more is."""
    ALREADY_PAUSED = "already_paused"
    """`action` (`all` or one), `by`, `at`, `reason`."""
    NOT_PAUSED = "not_paused"
    """`action`."""
    NO_REASON = "no_reason"
    """`count`: how many characters a reason needs."""
    WRONG_WORD = "wrong_word"
    """`detail`: the word that had to be typed."""
    OWN_PROPOSAL = "own_proposal"
    OWN_DECISION = "own_decision"
    OVERTURNED = "overturned"
    PROPOSAL_ENDED = "proposal_ended"
    NO_SUCH_DETECTION = "no_such_detection"
    """`detail`: what was written; `reason`: the name that is nearest."""
    SAME_MODE = "same_mode"
    """`detail`: the mode that a detection has already."""
    NO_AUTOMATIC = "no_automatic"
    """The policy lets no detection act by itself."""
    ONLY_PEOPLE = "only_people"
    """The detection is a query of Redash, which is changed there without anybody's approval."""
    NOT_PROVEN = "not_proven"
    """`count` decided findings are needed and `amount` there, at `detail` % precision; `reason`: the precision so far."""
    UNKNOWN_BUTTON = "unknown_button"
    """Of an older version of ours, or of nobody's."""
    CONFLICT = "conflict"
    """The ledger did not take it, as where somebody else was quicker; nothing was done."""
    STEP_UP = "step_up"
    """They must sign in for it first: `detail` is the link, for their eyes alone; none: nobody can."""
    LINK_ENDED = "link_ended"
    """The link to sign in by was used, ran out or is for something else."""
    TRY_AGAIN = "try_again"
    """Slack or we were too slow; nothing was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal as a value; which fields are set depends on the code."""

    code: RefusalCode
    action: str | None = None
    by: str | None = None
    """A display name."""
    at: datetime | None = None
    reason: str | None = None
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """User group ids."""
    detail: str | None = None
    case_id: int | None = None
    amount: int | None = None
    currency: str | None = None
    count: int | None = None
