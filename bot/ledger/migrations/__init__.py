"""Alembic migrations of the ledger, written in SQL."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy.util import await_only


def run_script(name: str) -> None:
    """Run one SQL file of `versions/` inside the migration's transaction."""
    script = (Path(__file__).parent / "versions" / name).read_text(encoding="utf-8")
    connection = op.get_bind()
    # SQLAlchemy sends BEGIN with its own first statement; the raw connection must not run before it.
    connection.exec_driver_sql("SELECT 1")
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None  # noqa: S101 - for the type checker; online migrations have one
    await_only(driver_connection.execute(script))
