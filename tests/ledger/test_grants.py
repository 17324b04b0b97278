"""Who may do what to which table, as a snapshot: a right that nobody meant shows here."""

from __future__ import annotations

import asyncpg
import pytest

from bot.ledger.migrate import migrate
from bot.playground.postgres import LEDGER_APP, Server
from tests.conftest import LedgerDatabase, run

VERIFIER = "ledger_verifier_of_a_test"
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
APP = {
    "SELECT": {
        "alembic_version",
        "audit_head",
        "ring_key",
    },
    "SELECT INSERT": {
        "approvals",
        "audit_entries",
        "audit_private",
        "automatic_orders",
        "detection_modes",
        "market_days",
        "notes",
        "plan_sets",
        "policies",
        "proposal_approvals",
        "ring_ties",
        "snoozes",
        "chargebacks",
        "overturns",
    },
    "SELECT INSERT DELETE": {
        "detection_runs",
        "detection_troubles",
    },
    "SELECT INSERT UPDATE": {
        "automatic_steps",
        "cap_entries",
        "cards",
        "case_members",
        "cases",
        "decisions",
        "delegations",
        "digests",
        "findings",
        "list_entries",
        "night_holds",
        "operation_attempts",
        "operations",
        "people",
        "posts",
        "preferences",
        "proposals",
        "ring_edges",
        "ring_pictures",
        "selections",
        "case_ranks",
        "rings",
        "role_spans",
        "step_ups",
        "switches",
        "ticks",
    },
    "SELECT INSERT UPDATE DELETE": {
        "capabilities",
        "redash_events",
        "redash_queries",
        "redash_troubles",
        "user_groups",
    },
}
QUERY = """
SELECT c.relname, string_agg(r.name, ' ' ORDER BY r.n) FILTER (WHERE has_table_privilege($1, c.oid, r.name)) AS rights
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
       unnest($2::text[]) WITH ORDINALITY AS r(name, n)
 WHERE n.nspname = 'ledger' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY c.relname
"""


def rights_of(ledger: LedgerDatabase, role: str) -> dict[str, set[str]]:
    async def read() -> dict[str, set[str]]:
        conn = await asyncpg.connect(ledger.owner_dsn)
        try:
            found: dict[str, set[str]] = {}
            for row in await conn.fetch(QUERY, role, list(RIGHTS)):
                if row["rights"]:
                    found.setdefault(row["rights"], set()).add(row["relname"])
            return found
        finally:
            await conn.close()

    return run(read())


def test_the_application_has_these_rights_and_no_others(fresh_ledger: LedgerDatabase) -> None:
    assert rights_of(fresh_ledger, LEDGER_APP) == APP
    for name in ("CREATE", "TEMPORARY"):
        assert not run(_database_right(fresh_ledger, LEDGER_APP, name))


async def _database_right(ledger: LedgerDatabase, role: str, right: str) -> bool:
    conn = await asyncpg.connect(ledger.owner_dsn)
    try:
        has: bool = await conn.fetchval(
            "SELECT has_database_privilege($1, current_database(), $2)", role, right
        )
        return has
    finally:
        await conn.close()


@pytest.fixture
def verifier(database_server: Server) -> str:
    async def make() -> None:
        conn = await asyncpg.connect(database_server.dsn("postgres", "postgres"))
        try:
            if not await conn.fetchval(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", VERIFIER
            ):
                await conn.execute(f"CREATE ROLE {VERIFIER} NOLOGIN")
        finally:
            await conn.close()

    run(make())
    return VERIFIER


def test_a_verifier_reads_the_log_and_nothing_else(
    fresh_ledger: LedgerDatabase, verifier: str
) -> None:
    migrate(fresh_ledger.owner_dsn, LEDGER_APP, verifier)
    assert rights_of(fresh_ledger, verifier) == {
        "SELECT": {"alembic_version", "audit_entries", "audit_head"}
    }
    assert rights_of(fresh_ledger, LEDGER_APP)["SELECT"] >= APP["SELECT"]


def test_nobody_else_has_any_right(fresh_ledger: LedgerDatabase) -> None:
    assert rights_of(fresh_ledger, "public") == {}
