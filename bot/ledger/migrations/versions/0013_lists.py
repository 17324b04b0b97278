"""Allow, deny and watch lists, and snoozes."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_script("0013_lists.sql")
