"""What needs two people beside the decisions of cases: resuming, a changed policy, the review of an emergency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

ALL = "all"
"""The brake on everything, beside those on single actions."""
NOBODY = frozenset({"cli", "file", "env", "system"})
"""Who is no person: what these propose, two people must agree to."""


class ProposalKind(StrEnum):
    RESUME = "resume"
    """About `all` or an action."""
    POLICY = "policy"
    """About the hash of a policy; the body holds its whole text."""
    MODE = "mode"
    """About a detection; the body holds the mode, the hash of its file and its results."""
    REVIEW = "review"
    """About a decision that one person let through alone; open until somebody else has looked."""


class ProposalState(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    """Of a review: what was done was not justified."""
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A proposal as it stands; its body is frozen and hashed."""

    proposal_id: str
    kind: ProposalKind
    about: str
    body: Mapping[str, object]
    body_hash: str
    proposed_by: str
    proposed_at: datetime
    approvals_needed: int
    state: ProposalState = ProposalState.OPEN
    barred: tuple[str, ...] = ()
    approved_by: tuple[str, ...] = ()
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A brake that is on: who pulled it, when and why."""

    name: str
    """`all`, or an action."""
    by: str
    """A display name, or `cli` or `env`."""
    at: datetime
    reason: str
