"""Who people are and what they may be trusted with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    AGENT = "agent"
    APPROVER = "approver"
    ENGINEER = "engineer"
    ACCOUNTANT = "accountant"
    ADMIN = "admin"
    BREAK_GLASS = "break_glass"
    """May let a request through alone in an emergency, loudly, and owes a review by somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A Slack user as the ledger last learned of them; `synced_at` is when, by the database's clock."""

    user_id: str
    team_id: str
    display_name: str
    locale: str = "ja"
    is_bot: bool = False
    is_guest: bool = False
    is_deleted: bool = False
    roles: frozenset[Role] = field(default_factory=frozenset)
    synced_at: datetime | None = None
    not_yet: tuple[tuple[Role, datetime], ...] = ()
    """Roles that they newly got, which count only from that moment on; they are not among `roles`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """`to_user` may approve with what `from_user` may, while it lasts."""

    delegation_id: str
    from_user: str
    to_user: str
    starts_at: datetime
    ends_at: datetime
    created_by: str
