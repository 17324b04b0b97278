"""Modes, baselines and brakes of detections."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_script("0011_modes.sql")
