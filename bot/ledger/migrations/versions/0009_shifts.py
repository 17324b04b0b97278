"""Holds with an owner and an end, reminders, and what happened outside staffed hours."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_script("0009_shifts.sql")
