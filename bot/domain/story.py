"""What happened to a case, as values that the ledger keeps and its thread tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.findings import Evidence
from bot.domain.rings import LinkKind


class StoryKind(StrEnum):
    OPENED = "opened"
    """`title_ja`, `title_en`, `evidence`; `by` where a person opened it by hand."""
    FINDING_JOINED = "finding_joined"
    """`title_ja`, `title_en`, `evidence`, `orders`, `accounts`: what came along."""
    RING_JOINED = "ring_joined"
    """`orders`, `accounts`, `listings` that joined by what they share with the case, `links`: by what."""
    RING_TIED = "ring_tied"
    """`cases`: other open cases of the same ring; `links`."""
    MARKET_CHANGED = "market_changed"
    """`subject_ids` changed in the marketplace to `detail` (a status)."""
    REQUESTED = "requested"
    """`by`, `action`, `reason`, `note`, `expires_at`, `approver_groups` who should look."""
    APPROVED = "approved"
    GLASS_BROKEN = "glass_broken"
    """`by` let it through alone in an emergency, `action`, `note`."""
    REJECTED = "rejected"
    """`by`, `action`, `reason`."""
    EXPIRED = "expired"
    DECIDED = "decided"
    """`by`, `action`, `reason`, `note`: one person was enough."""
    OPERATION_FAILED = "operation_failed"
    """`subject_ids`, `verb`, `code`, `detail`."""
    OPERATION_UNKNOWN = "operation_unknown"
    OPERATION_OVERDUE = "operation_overdue"
    """`verb`, `subject_ids`, `count` minutes without a known outcome; `mention` who must look."""
    STOPPED = "stopped"
    """`by`, `count`: what was left was stopped."""
    COMPLETED = "completed"
    """`action`, `orders`, `accounts`, `listings`: what succeeded; `count`: what did not."""
    DISMISSED = "dismissed"
    CLAIMED = "claimed"
    NOTED = "noted"
    TAKEN_BACK = "taken_back"
    """`by`, `action`: a decision was stopped before anything of it was sent."""
    ASKED = "asked"
    """`by`, `note` (the text that the customer is to get), `expires_at`."""
    ESCALATED = "escalated"
    """`by`, `note`, `approver_groups`: the group that must look."""
    WAIT_OVER = "wait_over"
    """`by`: who asked; no answer came in time. `mention` is who must look."""
    REMINDED = "reminded"
    """`action`, `expires_at`, `approver_groups` who must answer, `count` how often by now."""
    CALLED_IN = "called_in"
    """`action`, `expires_at`, `approver_groups` who must see to it, `hours` it waited."""
    HOLD_WARNED = "hold_warned"
    """`expires_at`, `orders`; `mention` or `approver_groups` who must look."""
    HOLD_EXTENDED = "hold_extended"
    """`by`, `expires_at`, `note`."""
    HOLD_ENDED = "hold_ended"
    """`orders` that are released since nobody extended the hold."""
    NIGHT_HELD = "night_held"
    """`orders` held while nobody was there, `amounts`; `count` that were not, `detail` why."""
    AUTOMATIC_HELD = "automatic_held"
    """`orders` held by a detection in automatic, `amounts`; `count` that were not, `detail` why; `action` and
    `starts_at` of the step that follows unless somebody keeps it.
    """
    AUTOMATIC_KEPT = "automatic_kept"
    """`by` kept a detection from its final step, `action`."""
    OVERTURNED = "overturned"
    """`by` found the decision `action` wrong; `note` says what shows it."""
    BY_HAND = "by_hand"
    """`by`, `count` operations done by hand, `subject_ids` of those that were not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One event of a case; which fields are set depends on the kind. People are user ids."""

    kind: StoryKind
    by: str | None = None
    by_name: str | None = None
    action: str | None = None
    reason: str | None = None
    note: str | None = None
    title_ja: str | None = None
    title_en: str | None = None
    evidence: tuple[Evidence, ...] = ()
    subject_ids: tuple[str, ...] = ()
    verb: str | None = None
    code: str | None = None
    detail: str | None = None
    orders: int = 0
    accounts: int = 0
    listings: int = 0
    posts: int = 0
    amount: int | None = None
    """Of a refund, in the currency's smallest unit."""
    currency: str | None = None
    links: tuple[LinkKind, ...] = ()
    cases: tuple[int, ...] = ()
    count: int = 0
    hours: float = 0
    amounts: tuple[tuple[int, str], ...] = ()
    expires_at: datetime | None = None
    starts_at: datetime | None = None
    """Until then a decision can be taken back."""
    on_behalf_of_name: str | None = None
    """In whose place somebody approved."""
    mention: str | None = None
    """A user id to be mentioned, since that person must act."""
    approver_groups: tuple[str, ...] = ()
    """User group ids to be mentioned: the only mention that pings, since they must act."""
