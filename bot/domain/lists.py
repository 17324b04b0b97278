"""Lists that detections and the shop go by, and snoozes of a detection about one subject."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.domain.subjects import Subject


class ListName(StrEnum):
    ALLOW = "allow"
    """Known to be harmless: detections leave it alone."""
    DENY = "deny"
    """Known to be fraud: the shop may refuse it."""
    WATCH = "watch"
    """To be looked at."""


class ListKind(StrEnum):
    """What an entry is about, as in the names of the arrays that SQL gets (`:allow_accounts`)."""

    ACCOUNT = "accounts"
    CARD = "cards"
    ADDRESS = "addresses"
    HOST = "hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """One value on one list, for a time."""

    entry_id: str
    list: ListName
    kind: ListKind
    value: str
    reason: str
    owner: str
    """A user id."""
    expires_at: datetime
    owner_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """A detection is quiet about a subject until a moment; what it finds is stored."""

    snooze_id: str
    detection: str
    subject: Subject
    reason: str
    made_by: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """What a snooze of so many days would have hidden in as many days before; money in minor units."""

    findings: int
    cases: int
    fraud: int
    """Of these, findings that people called fraud."""
