"""Draft selections of a bulk decision."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_script("0015_selections.sql")
