"""Keep the digests."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_script("0002_digests.sql")
