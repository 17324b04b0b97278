"""Step-up sign-in for the largest class of decisions."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_script("0010_step_up.sql")
