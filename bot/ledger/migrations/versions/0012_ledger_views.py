"""What detections over our own ledger may read."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_script("0012_ledger_views.sql")
