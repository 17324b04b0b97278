"""The doctor says what a marketplace's database lets everybody do, and which statement ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from bot.doctor import examine
from bot.market.public_grants import find_public_grants
from bot.market.reader import MarketReader
from bot.settings import Settings


@pytest.fixture
async def owner(market_dsn: str) -> AsyncIterator[Any]:
    """The marketplace's own connection."""
    conn = await asyncpg.connect(market_dsn)
    try:
        yield conn
    finally:
        await conn.close()


async def sentences(dsn: str) -> list[str]:
    return [grant.sentence for grant in await MarketReader(dsn).public_grants()]


async def test_a_database_of_ours_leaves_only_what_postgres_itself_grants(
    owner: Any, market_reader_dsn: str
) -> None:
    assert owner
    (told,) = await sentences(market_reader_dsn)
    assert "pg_catalog.pg_terminate_backend" in told or "pg_catalog.lo_creat" in told
    assert "REVOKE EXECUTE ON FUNCTION pg_catalog." in told


@pytest.mark.parametrize(
    ("grant", "undo", "said"),
    [
        (
            "GRANT UPDATE ON market.posts TO PUBLIC",
            "REVOKE UPDATE ON market.posts FROM PUBLIC",
            "REVOKE UPDATE ON market.posts FROM PUBLIC",
        ),
        (
            "GRANT SELECT ON market.posts, market.orders TO PUBLIC",
            "REVOKE SELECT ON market.posts, market.orders FROM PUBLIC",
            "PUBLIC has SELECT on the relations market.orders, market.posts. Everybody who can connect",
        ),
        (
            "GRANT CREATE ON SCHEMA market TO PUBLIC",
            "REVOKE CREATE ON SCHEMA market FROM PUBLIC",
            "REVOKE CREATE ON SCHEMA market FROM PUBLIC;",
        ),
        (
            "CREATE FUNCTION market.forgive(text) RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "DROP FUNCTION market.forgive",
            "the SECURITY DEFINER function market.forgive(text). They run with their owner's rights",
        ),
        (
            "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$",
            "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$",
            "PUBLIC has TEMPORARY on the database",
        ),
    ],
)
async def test_what_everybody_may_do_is_named_with_its_end(
    owner: Any, market_reader_dsn: str, grant: str, undo: str, said: str
) -> None:
    before = await sentences(market_reader_dsn)
    assert not [told for told in before if said in told]
    await owner.execute(grant)
    # By another login: ours would be refused, now that it could write.
    conn = await asyncpg.connect(market_reader_dsn)
    try:
        found = [one.sentence for one in await find_public_grants(conn)]
    finally:
        await conn.close()
        await owner.execute(undo)
    assert [told for told in found if said in told], found
    assert await sentences(market_reader_dsn) == before


async def test_the_doctor_notes_it_and_runs_all_the_same(
    owner: Any, market_reader_dsn: str
) -> None:
    await owner.execute("GRANT SELECT ON market.posts TO PUBLIC")
    try:
        notes = [
            one
            async for one in examine(Settings(market_database_url=SecretStr(market_reader_dsn)))
            if one.what == "marketplace database" and one.problem
        ]
    finally:
        await owner.execute("REVOKE SELECT ON market.posts FROM PUBLIC")
    assert any("PUBLIC has SELECT on the relation market.posts" in (n.problem or "") for n in notes)
    assert not any(note.grave for note in notes)
