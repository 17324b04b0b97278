"""What operations changed, drift, and alarms with age."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_script("0007_operations.sql")
