from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bot.ledger.engine import create_engine


async def test_what_a_failed_statement_was_given_is_not_told(ledger_dsn: str) -> None:
    engine = create_engine(ledger_dsn, poolclass=NullPool)
    with pytest.raises(DBAPIError) as failed:
        async with engine.begin() as conn:
            await conn.execute(
                text("SELECT 1 / CAST(:zero AS integer) WHERE CAST(:word AS text) <> ''"),
                {"zero": 0, "word": "canary of a person"},
            )
    assert "canary" not in str(failed.value)
