"""What a case is about: orders, accounts, listings, posts, or a detection of ours that does not work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
    ORDER = "order"
    ACCOUNT = "account"
    LISTING = "listing"
    POST = "post"
    """A profile, comment, message or review."""
    DETECTION = "detection"
    """One of our own detections, queries or jobs, which the operational detections are about: nothing in the
    marketplace, so nothing can be done to it there."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One thing in the marketplace, by kind and opaque id."""

    kind: SubjectKind
    id: str
