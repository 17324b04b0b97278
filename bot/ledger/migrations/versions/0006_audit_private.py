"""Personal data beside the audit chain, and a role that can only verify."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_script("0006_audit_private.sql")
