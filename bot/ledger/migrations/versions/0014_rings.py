"""Rings: who is joined to whom, and by what."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_script("0014_rings.sql")
