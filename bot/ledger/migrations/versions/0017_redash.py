"""Webhooks of Redash, stored before they are understood."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_script("0017_redash.sql")
