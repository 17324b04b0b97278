"""Databases for tests: one server a session, one clone a worker, emptied before each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from bot.playground.postgres import (
    LEDGER_APP,
    LEDGER_OWNER,
    LEDGER_READER,
    MARKET_OWNER,
    MARKET_READER,
    Server,
    embedded_postgres,
    grant_market_reader,
)
from bot.playground.postgres_server import exclusive

ROOT = Path(__file__).parent.parent
LEDGER_TEMPLATE = "template_ledger"
MARKET_TEMPLATE = "template_market"
# Nothing here outlives the session, so nothing needs to survive a power cut.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
}
# Not pytest's own temporary folder: root's is closed to the user that Postgres runs as, and TMPDIR may be.
TEMPORARY = Path("/tmp") if os.geteuid() == 0 else Path(tempfile.gettempdir())
PREFIX = "mimawari-tests-"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDatabase:
    """The addresses of one ledger database."""

    owner_dsn: str
    dsn: str


@pytest.fixture(scope="session")
def database_folder(request: pytest.FixtureRequest) -> Path:
    """Where this session's workers meet; nobody can guess its name."""
    session = getattr(request.config, "workerinput", {}).get("testrunuid", uuid.uuid4().hex)
    return TEMPORARY / f"{PREFIX}{session}"


@pytest.fixture(scope="session")
def database_server(database_folder: Path) -> Iterator[Server]:
    """The session's server, shared by its workers; for tests that make databases of their own."""
    _remove_abandoned()
    # The server is entered and left on a loop that lasts as long as the session.
    loop = asyncio.new_event_loop()
    holding = embedded_postgres(database_folder, settings=FAST)
    yield loop.run_until_complete(holding.__aenter__())
    loop.run_until_complete(holding.__aexit__(None, None, None))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    if not any(database_folder.glob("*/cluster/data/postmaster.pid")):
        shutil.rmtree(database_folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _market_database(database_server: Server, database_folder: Path) -> Iterator[str]:
    _make_template(database_server, database_folder, MARKET_TEMPLATE, MARKET_OWNER, _build_market)
    with _clone(database_server, MARKET_TEMPLATE, MARKET_OWNER, MARKET_READER) as name:
        yield name


@pytest.fixture
def market_dsn(database_server: Server, _market_database: str) -> str:
    """The marketplace's own address of an empty database with the contract's relations."""
    run(_empty(database_server, _market_database, "market"))
    return database_server.dsn(_market_database, MARKET_OWNER)


@pytest.fixture
def market_reader_dsn(database_server: Server, _market_database: str, market_dsn: str) -> str:
    """The same database through the role that can only SELECT."""
    return database_server.dsn(_market_database, MARKET_READER)


@pytest.fixture(scope="session")
def _ledger_database(database_server: Server, database_folder: Path) -> Iterator[str]:
    _make_template(database_server, database_folder, LEDGER_TEMPLATE, LEDGER_OWNER, _build_ledger)
    with _clone(database_server, LEDGER_TEMPLATE, LEDGER_OWNER, LEDGER_APP, LEDGER_READER) as name:
        yield name


@pytest.fixture
def ledger_owner_dsn(database_server: Server, _ledger_database: str) -> str:
    """The owner's address of a ledger as the migrations leave it."""
    run(_empty(database_server, _ledger_database, "ledger"))
    return database_server.dsn(_ledger_database, LEDGER_OWNER)


@pytest.fixture
def ledger_dsn(database_server: Server, _ledger_database: str, ledger_owner_dsn: str) -> str:
    """The same ledger through the application's role."""
    return database_server.dsn(_ledger_database, LEDGER_APP)


@pytest.fixture
def ledger_reader_dsn(database_server: Server, _ledger_database: str, ledger_owner_dsn: str) -> str:
    """The same ledger through the role that can only SELECT from its views."""
    return database_server.dsn(_ledger_database, LEDGER_READER)


@pytest.fixture
def fresh_ledger(database_server: Server, database_folder: Path) -> Iterator[LedgerDatabase]:
    """A ledger of this test alone, for tests that kill processes or migrate."""
    _make_template(database_server, database_folder, LEDGER_TEMPLATE, LEDGER_OWNER, _build_ledger)
    with _clone(database_server, LEDGER_TEMPLATE, LEDGER_OWNER, LEDGER_APP, LEDGER_READER) as name:
        yield LedgerDatabase(
            owner_dsn=database_server.dsn(name, LEDGER_OWNER),
            dsn=database_server.dsn(name, LEDGER_APP),
        )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of its own, leaving the test's loop alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def _remove_abandoned() -> None:
    """Remove what killed sessions of ours left behind: their server is gone, as nobody uses it."""
    for folder in TEMPORARY.glob(f"{PREFIX}*"):
        if folder.stat().st_uid != os.geteuid() or any(
            folder.glob("*/cluster/data/postmaster.pid")
        ):
            continue
        if time.time() - folder.stat().st_mtime > 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _make_template(
    server: Server, folder: Path, name: str, owner: str, build: Callable[[Server, str], None]
) -> None:
    """Build it once a session; the other workers wait for it."""
    with exclusive(folder):
        if name in run(_templates(server)):
            return
        run(server.drop_database(name))
        run(server.create_database(name, owner=owner))
        build(server, name)
        run(_mark_template(server, name))


def _build_market(server: Server, name: str) -> None:
    dsn = server.dsn(name, MARKET_OWNER)
    schema = (ROOT / "contract" / "market.sql").read_text(encoding="utf-8")
    run(_execute(dsn, schema))
    run(grant_market_reader(dsn))


def _build_ledger(server: Server, name: str) -> None:
    # Imported here: a broken ledger must not fail the tests of everything else.
    from bot.ledger.migrate import migrate

    # In a thread, as it runs a loop of its own.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(
            migrate, server.dsn(name, LEDGER_OWNER), LEDGER_APP, reader_role=LEDGER_READER
        ).result()


@contextmanager
def _clone(server: Server, template: str, owner: str, *guests: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    run(server.create_database(name, owner=owner, guests=guests, template=template))
    yield name
    run(server.drop_database(name))


async def _execute(dsn: str, script: str) -> None:
    conn = await asyncpg.connect(dsn)
    try:
        await conn.execute(script)
    finally:
        await conn.close()


async def _templates(server: Server) -> set[str]:
    async with server.superuser() as conn:
        return {
            r[0] for r in await conn.fetch("SELECT datname FROM pg_database WHERE datistemplate")
        }


async def _mark_template(server: Server, name: str) -> None:
    async with server.superuser() as conn:
        await conn.execute(f"ALTER DATABASE {name} IS_TEMPLATE true")


async def _empty(server: Server, name: str, schema: str) -> None:
    """Bring the clone back to what its template holds, in one round trip."""
    script = _SCRIPTS.get(schema)
    if script is None:
        async with server.superuser(name) as conn:
            script = _SCRIPTS[schema] = await _emptying_script(conn, schema)
        return  # it is a fresh clone
    async with server.superuser(name) as conn:
        try:
            await conn.execute(script)
        except asyncpg.LockNotAvailableError:
            # A process that the last test killed still holds its locks.
            await conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await conn.execute(script)


# By schema: what brings a clone back to its template. All clones of a template are alike.
_SCRIPTS: dict[str, str] = {}


async def _emptying_script(conn: Any, schema: str) -> str:
    """Deletes all rows, puts the template's back, restarts identities, drops schemas that tests made."""
    tables = [
        row[0]
        for row in await conn.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1"
            " AND tablename <> 'alembic_version'",
            schema,
        )
    ]
    schemas = await conn.fetchval(
        "SELECT string_agg(quote_literal(nspname), ', ') FROM pg_namespace WHERE nspname !~ '^pg_'"
    )
    statements = [
        "SET lock_timeout = '2s'",
        # Silences the triggers that keep append-only tables and foreign keys.
        "SET session_replication_role = replica",
        *(f"DELETE FROM {table}" for table in tables),
    ]
    for table in tables:
        rows = await conn.fetchval(f"SELECT json_agg(t) FROM {table} t")
        if rows is not None:
            literal = rows.replace("'", "''")
            statements.append(
                f"INSERT INTO {table} OVERRIDING SYSTEM VALUE"
                f" SELECT * FROM json_populate_recordset(NULL::{table}, '{literal}')"
            )
    statements += [
        "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence",
        f"""DO $$ DECLARE made text; BEGIN
            FOR made IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'
                AND nspname NOT IN ({schemas})
            LOOP EXECUTE format('DROP SCHEMA %I CASCADE', made); END LOOP;
        END $$""",
    ]
    return ";\n".join(statements)
