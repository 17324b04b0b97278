"""The catalogue of audit tags, `source:thing:verb`; a retired tag stays here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bot.domain.subjects import Subject


class AuditTag(StrEnum):
    CASE_OPENED = "detection:case:opened"
    CASE_OPENED_BY_HAND = "person:case:opened"
    FINDING_JOINED = "detection:case:joined"
    RING_JOINED = "rings:case:joined"
    RING_TIED = "rings:case:tied"
    FINDING_SUPPRESSED = "detection:finding:suppressed"
    MEMBER_CHANGED = "market:member:changed"
    DECISION_REQUESTED = "person:decision:requested"
    DECISION_APPROVED = "person:decision:approved"
    DECISION_REJECTED = "person:decision:rejected"
    DECISION_EXPIRED = "clock:decision:expired"
    CASE_DISMISSED = "person:case:dismissed"
    CASE_CLAIMED = "person:case:claimed"
    CASE_NOTED = "person:case:noted"
    DENIED = "policy:decision:denied"
    OPERATION_SENT = "executor:operation:sent"
    OPERATION_UNKNOWN = "executor:operation:unknown"
    OPERATION_ENDED = "executor:operation:ended"
    DRIFT_FOUND = "executor:operation:drifted"
    OPERATIONS_STOPPED = "person:operation:stopped"
    OPERATION_BY_HAND = "person:operation:ended"
    DECISION_TAKEN_BACK = "person:decision:taken_back"
    DECISION_OVERTURNED = "person:decision:overturned"
    CASE_ASKED = "person:case:asked"
    CASE_ESCALATED = "person:case:escalated"
    CASE_WAIT_OVER = "clock:case:wait_over"
    CASE_SETTLED = "executor:case:settled"
    DIGEST_POSTED = "publisher:digest:posted"
    EFFECTS_PAUSED = "person:effects:paused"
    EFFECTS_RESUMED = "person:effects:resumed"
    PROPOSAL_MADE = "person:proposal:made"
    PROPOSAL_APPROVED = "person:proposal:approved"
    PROPOSAL_REJECTED = "person:proposal:rejected"
    PROPOSAL_EXPIRED = "clock:proposal:expired"
    POLICY_ADOPTED = "policy:file:adopted"
    DETECTION_FILES = "detections:folder:changed"
    GLASS_BROKEN = "person:glass:broken"
    GLASS_REVIEWED = "person:glass:reviewed"
    DELEGATED = "person:delegation:made"
    DELEGATION_ENDED = "person:delegation:ended"
    LIST_ADDED = "person:list:added"
    LIST_REMOVED = "person:list:removed"
    DETECTION_SNOOZED = "person:detection:snoozed"
    REQUEST_REMINDED = "clock:decision:reminded"
    REQUEST_ESCALATED = "clock:decision:escalated"
    HOLD_WARNED = "clock:hold:reminded"
    HOLD_EXTENDED = "person:hold:extended"
    HOLD_ENDED = "clock:hold:ended"
    NIGHT_HELD = "detection:hold:made"
    NIGHT_NOT_HELD = "detection:hold:left"
    SHIFT_TOLD = "clock:shift:told"
    MODE_SET = "person:mode:set"
    MODE_LOWERED = "detection:mode:lowered"
    BASELINE_TAKEN = "detection:baseline:taken"
    TROUBLE_BEGAN = "detection:trouble:began"
    TROUBLE_ENDED = "detection:trouble:ended"
    AUTOMATIC_HELD = "detection:hold:automatic"
    AUTOMATIC_LEFT = "detection:hold:not_automatic"
    AUTOMATIC_DECIDED = "detection:decision:requested"
    AUTOMATIC_KEPT = "person:automatic:kept"
    STEP_UP_ASKED = "person:step_up:asked"
    STEP_UP_SIGNED_IN = "person:step_up:signed_in"
    STEP_UP_REFUSED = "person:step_up:refused"
    ROLES_CHANGED = "slack:roles:changed"
    SUBJECT_ERASED = "cli:subject:erased"
    EVIDENCE_PACKED = "cli:case:packed"
    AUDIT_EXPORTED = "cli:audit:exported"
    LEDGER_STARTED = "system:process:started"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line to append; `details` holds ids, codes and amounts, never personal data."""

    actor: str
    """A Slack user id, or `detection:NAME`, `system`."""
    tag: AuditTag
    case_id: int | None = None
    decision_id: str | None = None
    operation_id: str | None = None
    subject: Subject | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)
    """What a person wrote, by name: kept beside the log, which holds a salted hash of it alone."""
