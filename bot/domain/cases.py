"""Cases, decisions and operations as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.domain.findings import Finding, Severity
from bot.domain.plans import Plan, PlanStep
from bot.domain.proposals import Pause
from bot.domain.rings import Ring
from bot.domain.subjects import Subject
from bot.domain.verbs import OperationClass, Verb


class CaseState(StrEnum):
    OPEN = "open"
    AWAITING_APPROVAL = "awaiting_approval"
    EXECUTING = "executing"
    PARTLY_DONE = "partly_done"
    """Every operation ended, not all as wanted; somebody must look."""
    DONE = "done"
    DISMISSED = "dismissed"


class DecisionState(StrEnum):
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    TAKEN_BACK = "taken_back"
    """Approved, and stopped by a person before anything of it was sent."""


class OperationState(StrEnum):
    QUEUED = "queued"
    EXECUTING = "executing"
    PENDING = "pending"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NEEDS_HUMAN = "needs_human"
    STOPPED = "stopped"


ENDED_OPERATIONS = frozenset(
    {
        OperationState.SUCCEEDED,
        OperationState.FAILED,
        OperationState.NEEDS_HUMAN,
        OperationState.STOPPED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """What a card says of a member, as of `read_at`; names masked already, money in minor units.

    For an order `name_masked` is the buyer; for an account its display name; for a listing its title.
    A column that the marketplace does not record is None.
    """

    status: str | None = None
    name_masked: str | None = None
    amount: int | None = None
    currency: str | None = None
    payment_method: str | None = None
    buyer_id: str | None = None
    seller_id: str | None = None
    is_seller: bool | None = None
    ordered_at: datetime | None = None
    ship_due_at: datetime | None = None
    shipped_at: datetime | None = None
    payout_at: datetime | None = None
    held_at: datetime | None = None
    canceled_at: datetime | None = None
    suspended_at: datetime | None = None
    created_at: datetime | None = None
    admin_url: str | None = None
    read_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A subject of a case; `is_subject` where a finding names it, else it came along as linked evidence."""

    subject: Subject
    is_subject: bool
    facts: MemberFacts
    joined_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One effect on the marketplace; `operation_id` is the Idempotency-Key that is sent."""

    operation_id: str
    decision_id: str
    verb: Verb
    subject: Subject
    state: OperationState
    plan_token: str | None
    operation_class: OperationClass = OperationClass.KEY
    resolved_by: str | None = None
    """How its end is known: answer, lookup, resend, human (somebody said so) or seen in the marketplace."""
    attempts: int = 0
    failure_code: str | None = None
    failure_message: str | None = None
    steps: tuple[PlanStep, ...] = ()
    after: Mapping[str, object] = field(default_factory=dict)
    """What the marketplace says that it changed, by its own names; times as ISO 8601."""
    refund_amount: int | None = None
    amount: int | None = None
    currency: str | None = None
    created_at: datetime | None = None
    unknown_since: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    user_id: str
    at: datetime
    roles: tuple[str, ...] = ()
    """Those that the person had then."""
    on_behalf_of: str | None = None
    """Whose stand-in they were, where they approved as one."""
    step_up_id: str | None = None
    """The sign-in that it was given by, where the policy asks for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person chose for a case; `targets` are frozen and hashed with the parameters."""

    decision_id: str
    case_id: int
    case_version: int
    action: str
    state: DecisionState
    requested_by: str
    requested_at: datetime
    reason: str
    note: str | None
    targets: tuple[tuple[Verb, Subject], ...]
    plans: tuple[Plan, ...]
    params_hash: str
    amounts: tuple[tuple[int, str], ...]
    """Money that the decision moves, one pair (amount, currency) a currency."""
    approvals_needed: int
    approvals: tuple[Approval, ...] = ()
    approver_roles: tuple[str, ...] = ()
    slots: tuple[tuple[str, ...], ...] = ()
    """Whom it waits for: a person a slot, each of one of the slot's roles, all different people."""
    broken_glass_by: str | None = None
    """Who let it through alone in an emergency."""
    rejected_by: str | None = None
    rejected_reason: str | None = None
    expires_at: datetime | None = None
    decided_at: datetime | None = None
    starts_at: datetime | None = None
    """Until then it can be taken back, by the database's clock; None: it is carried out at once."""
    taken_back_by: str | None = None


class WaitKind(StrEnum):
    CUSTOMER = "customer"
    GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A case waits for an answer: of the customer, or of the people of a user group."""

    kind: WaitKind
    by: str
    since: datetime
    """By the database's clock, as `until`."""
    until: datetime | None
    group: str | None = None
    """The user group's handle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Whose the hold of a case is and when it ends; times by the database's clock."""

    owner: str | None
    """None: a detection's, so the whole team's."""
    since: datetime
    until: datetime
    warned_at: datetime | None = None
    """When its owner was reminded of its end."""
    extended: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalStep:
    """What a detection in automatic does next unless somebody keeps it; by the database's clock."""

    detection: str
    action: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a person wrote in the case's thread."""

    author: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CapLeft:
    """What one cap still leaves within its hour or day; money in the smallest unit."""

    actions: tuple[str, ...]
    window: str
    own: bool
    """Of the one who asks; else of everybody together."""
    count: int | None
    amounts: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How often a detection was right: confirmed of decided, over the last 30 days."""

    detection: str
    confirmed: int
    decided: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """All that a card draws from: one case as of one revision."""

    case_id: int
    state: CaseState
    severity: Severity
    version: int
    revision: int
    opened_at: datetime
    """By the market's clock."""
    opened_by: str | None
    """A user id where a person opened it by hand."""
    assignee: str | None
    closed_at: datetime | None
    closed_by: str | None
    dismiss_reason: str | None
    updated_by: str | None
    updated_at: datetime
    members: tuple[Member, ...]
    findings: tuple[Finding, ...]
    decisions: tuple[Decision, ...] = ()
    """Oldest first; the last one is the present one."""
    operations: tuple[Operation, ...] = ()
    precisions: tuple[Precision, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    """Display names by user id."""
    offered: frozenset[Verb] = frozenset(Verb)
    """The verbs that the marketplace offers; no button for others."""
    by_hand: frozenset[Verb] = frozenset()
    """Those of them that people carry out in the back office."""
    channel: str | None = None
    message_ts: str | None = None
    in_channel: bool = True
    """False: it waits in the queue and has no card."""
    wait: Wait | None = None
    hold: Hold | None = None
    """Since when orders are on hold for us, and until when; who is to look."""
    final_step: FinalStep | None = None
    """Waits for objections."""
    folded: bool = False
    """Closed for a while: the card is one line."""
    notes: tuple[Note, ...] = ()
    """The newest few, oldest first."""
    note_count: int = 0
    pauses: tuple[Pause, ...] = ()
    """Every brake that is on."""
    ring: Ring | None = None
    """What joins its members, and other open cases to it."""
    caps_left: tuple[CapLeft, ...] = ()
    """Of the caps that everybody shares, for the actions that the card offers."""

    @property
    def decision(self) -> Decision | None:
        """The present decision, if there is one."""
        return self.decisions[-1] if self.decisions else None

    @property
    def money_at_risk(self) -> tuple[tuple[int, str], ...]:
        """Sum of member orders' amounts, one pair (amount, currency) a currency, dearest first."""
        sums: dict[str, int] = {}
        for member in self.members:
            facts = member.facts
            if member.subject.kind == "order" and facts.amount is not None and facts.currency:
                sums[facts.currency] = sums.get(facts.currency, 0) + facts.amount
        return tuple(sorted(((a, c) for c, a in sums.items()), reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """One open case as a list tells of it."""

    case_id: int
    severity: Severity
    state: CaseState
    opened_at: datetime
    assignee: str | None
    title_ja: str
    title_en: str
    amounts: tuple[tuple[int, str], ...]
    deadline: datetime | None
    waits: bool = False
    """For an answer of the customer or of another group."""
    probability: float | None = None
    """That it is fraud, by how right its detections were so far; None: it was not counted yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollUp:
    """What the queue beside the channel holds at the end of an hour; times by the market's clock."""

    since: datetime
    until: datetime
    new: tuple[tuple[Severity, int], ...]
    """Cases that came since then, by severity."""
    left: tuple[tuple[Severity, int], ...]
    """All that nobody has taken yet."""
    amounts: tuple[tuple[int, str], ...]
    """Money at risk in what is left, one pair (amount, currency) a currency."""
    oldest_at: datetime | None
    first: tuple[QueueEntry, ...]
    """The most urgent and dearest."""
