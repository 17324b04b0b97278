"""The read-only views of our own ledger as values: what detections with `source: ledger` may read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SCHEMA = "ledger_views"

VIEWS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ticks": MappingProxyType(
            {
                "name": "text",
                "detection": "text",
                "every_s": "double precision",
                "watermark": "timestamptz",
                "last_run_at": "timestamptz",
                "failed": "boolean",
                "due_at": "timestamptz",
            }
        ),
        "detection_runs": MappingProxyType(
            {
                "detection": "text",
                "at": "timestamptz",
                "market_at": "timestamptz",
                "took_ms": "integer",
                "rows": "integer",
                "fresh": "integer",
                "failed": "boolean",
            }
        ),
        "detection_modes": MappingProxyType(
            {
                "detection": "text",
                "mode": "text",
                "cause": "text",
                "since": "timestamptz",
            }
        ),
        "findings": MappingProxyType(
            {
                "finding_id": "bigint",
                "detection": "text",
                "subject_kind": "text",
                "subject_id": "text",
                "severity": "text",
                "mode": "text",
                "amount": "bigint",
                "currency": "text",
                "occurred_at": "timestamptz",
                "found_at": "timestamptz",
                "case_id": "bigint",
                "suppressed_by": "bigint",
                "verdict": "text",
            }
        ),
        "cases": MappingProxyType(
            {
                "case_id": "bigint",
                "state": "text",
                "severity": "text",
                "version": "integer",
                "opened_at": "timestamptz",
                "by_hand": "boolean",
                "claimed": "boolean",
                "updated_at": "timestamptz",
                "closed_at": "timestamptz",
                "wait_kind": "text",
                "wait_since": "timestamptz",
                "wait_until": "timestamptz",
                "hold_since": "timestamptz",
                "hold_until": "timestamptz",
            }
        ),
        "case_members": MappingProxyType(
            {
                "case_id": "bigint",
                "subject_kind": "text",
                "subject_id": "text",
                "is_subject": "boolean",
                "is_open": "boolean",
                "verdict": "text",
                "joined_at": "timestamptz",
            }
        ),
        "decisions": MappingProxyType(
            {
                "decision_id": "text",
                "case_id": "bigint",
                "action": "text",
                "state": "text",
                "by_detection": "boolean",
                "requested_at": "timestamptz",
                "approvals_needed": "integer",
                "expires_at": "timestamptz",
                "decided_at": "timestamptz",
                "starts_at": "timestamptz",
                "broke_glass": "boolean",
                "dry_run": "boolean",
            }
        ),
        "operations": MappingProxyType(
            {
                "operation_id": "text",
                "decision_id": "text",
                "case_id": "bigint",
                "verb": "text",
                "subject_kind": "text",
                "subject_id": "text",
                "operation_class": "text",
                "amount": "bigint",
                "currency": "text",
                "state": "text",
                "resolved_by": "text",
                "sends": "integer",
                "last_sent_at": "timestamptz",
                "unknown_since": "timestamptz",
                "created_at": "timestamptz",
                "ended_at": "timestamptz",
            }
        ),
        "posts": MappingProxyType(
            {
                "post_id": "text",
                "case_id": "bigint",
                "kind": "text",
                "state": "text",
                "created_at": "timestamptz",
                "due_at": "timestamptz",
                "attempts": "integer",
            }
        ),
    }
)
