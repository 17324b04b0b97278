"""Room for a working day: a queue beside the channel, take-back, waiting cases and work done by hand."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_script("0003_round.sql")
