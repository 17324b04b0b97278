"""What a case is about: orders, accounts and listings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
    ORDER = "order"
    ACCOUNT = "account"
    LISTING = "listing"
    POST = "post"
    """A profile, comment, message or review."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One thing in the marketplace, by kind and opaque id."""

    kind: SubjectKind
    id: str
