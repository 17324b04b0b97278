"""What needs two people: resuming, policy changes, reviews after a break-glass."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_script("0008_proposals.sql")
