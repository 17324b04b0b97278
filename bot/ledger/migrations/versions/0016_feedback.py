"""Labels that decisions and chargebacks give to findings."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_script("0016_feedback.sql")
