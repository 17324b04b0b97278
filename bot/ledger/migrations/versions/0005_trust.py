"""Policy, caps, delegation: decisions that money can be trusted to."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_script("0005_trust.sql")
