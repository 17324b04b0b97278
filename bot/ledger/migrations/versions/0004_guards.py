"""Guard the money of orders judged fraudulent."""

from __future__ import annotations

from bot.ledger.migrations import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_script("0004_guards.sql")
