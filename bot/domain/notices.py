"""What is told beside the cases: neutral values that the ledger keeps and a channel shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeKind(StrEnum):
    """Adding one is an entry here and a drawing function in bot/cards/notices.py."""

    PAUSED = "paused"
    """`by`, `action` (`all` or one), `reason`."""
    RESUMED = "resumed"
    """`by` who proposed and `names` who agreed, `action`."""
    GLASS_BROKEN = "glass_broken"
    """`by`, `action`, `reason`, `amounts`, `case_id`, `subject_ids`."""
    NEW_ROLE = "new_role"
    """`person`, `role`, `at` from when on it counts; `until` is set where that is only later."""
    DELEGATED = "delegated"
    """`by` lets `person` stand in from `at` until `until`; `names`: who said so."""
    DELEGATION_ENDED = "delegation_ended"
    SHIFT = "shift"
    """The shift begins at `at`: `counts` of orders (held, unsure, cap, paused) in `count` cases, `amounts` held
    and `left_amounts` not; `case_ids` of the dearest.
    """
    POLICY_ADOPTED = "policy_adopted"
    """`by` `file`, or `names` of those who agreed; `lines` of what changed."""
    OVERDUE = "overdue"
    """`case_id`, `subject_ids`, `action` (a verb), `detail` (its state), `count` minutes."""
    DETECTION = "detection"
    """`by` `detection:NAME`, `title_ja`, `title_en`; `detail` what is with it: a Cause or a Trouble, `baseline`, or a
    Trouble with `_over`; `mode` that it has now, `count` findings, `names` who changed it, `groups` who must look.
    """
    DETECTION_FILES = "detection_files"
    """`detail` `refused`: `lines` that say what is wrong, `names` of what goes on in its last good version; or
    `changed`: `lines` of detections that came (+), changed (~) and went (-).
    """
    REDASH = "redash"
    """`detail` what is with Redash (away, key, away_over) or with the query `subject_ids[0]` of the detection `by`,
    `title_ja`, `title_en`: stale, idle, misfit or hidden, or one of them with `_over`; `at` since when; `counts` of rows by
    `problem:column`.
    """
    PROPOSAL = "proposal"
    """`detail` (its kind), `state`, `by`, `until`, `names` who agreed so far, `count` how many must still,
    `person` who ended it, `note` what they wrote; `lines` of what would change, `case_id`. Of a mode: `title_ja`,
    `title_en`, `mode`, and `counts` of its results (days, findings, fraud, good).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell; which fields are set depends on the kind. People are user ids."""

    kind: NoticeKind
    by: str | None = None
    by_name: str | None = None
    person: str | None = None
    """Whom it is about, or who agreed."""
    person_name: str | None = None
    action: str | None = None
    role: str | None = None
    reason: str | None = None
    note: str | None = None
    """What a person wrote."""
    detail: str | None = None
    """A code or a name of ours."""
    at: datetime | None = None
    until: datetime | None = None
    case_id: int | None = None
    case_ids: tuple[int, ...] = ()
    subject_ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Display names."""
    lines: tuple[str, ...] = ()
    """Lines that are data, such as the entries of a policy that changed."""
    count: int = 0
    counts: tuple[tuple[str, int], ...] = ()
    amounts: tuple[tuple[int, str], ...] = ()
    left_amounts: tuple[tuple[int, str], ...] = ()
    """Money that was left alone."""
    groups: tuple[str, ...] = ()
    """User group ids to be mentioned, since they must act."""
    proposal_id: str | None = None
    """What its buttons carry."""
    mode: str | None = None
    """Of a detection."""
    title_ja: str = ""
    title_en: str = ""
    """Of a detection."""
    state: str | None = None
    """Of the proposal: open, or how it ended."""
