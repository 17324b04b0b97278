"""Bring the ledger's schema up to date and grant the application role what it may do."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from bot.domain.errors import SayableError
from bot.ledger import views
from bot.ledger.engine import create_engine

# What the application role may do, table by table; all else it may not (invariant 4).
_GRANTS = {
    "SELECT, INSERT, UPDATE": (
        "people",
        "preferences",
        "switches",
        "ticks",
        "cases",
        "case_members",
        "findings",
        "decisions",
        "operations",
        "operation_attempts",
        "cards",
        "posts",
        "digests",
        "role_spans",
        "delegations",
        "cap_entries",
        "list_entries",
        "proposals",
        "night_holds",
        "step_ups",
        "automatic_steps",
        "rings",
        "ring_edges",
        "ring_pictures",
        "selections",
        "case_ranks",
    ),
    "SELECT, INSERT": (
        "plan_sets",
        "approvals",
        "notes",
        "audit_entries",
        "audit_private",
        "market_days",
        "policies",
        "proposal_approvals",
        "detection_modes",
        "automatic_orders",
        "ring_ties",
        "snoozes",
        "chargebacks",
        "overturns",
    ),
    "SELECT, INSERT, DELETE": ("detection_runs", "detection_troubles"),
    "SELECT, INSERT, UPDATE, DELETE": (
        "user_groups",
        "capabilities",
        "redash_events",
        "redash_queries",
        "redash_troubles",
    ),
    "SELECT": ("audit_head", "alembic_version", "ring_key"),
}


_VERIFIER_READS = ("audit_entries", "audit_head", "alembic_version")
"""All that a role needs which only verifies the log."""


def migrate(
    owner_dsn: str,
    app_role: str,
    verifier_role: str | None = None,
    *,
    reader_role: str | None = None,
) -> None:
    """Migrate as the owner, then grant the roles their rights; safe to run again.

    Args:
        verifier_role: may read the audit log and nothing else, as for somebody who verifies it.
        reader_role: may read the views of `ledger_views` and nothing else, as detections over the ledger do.

    Raises:
        SayableError: the role's name is unusable or the role does not exist.
    """
    command.upgrade(_config(owner_dsn), "head")
    asyncio.run(_grant(owner_dsn, app_role, verifier_role, reader_role))


def head_revision() -> str:
    """The revision that this code needs."""
    head = ScriptDirectory.from_config(_config("")).get_current_head()
    if head is None:
        raise RuntimeError("the ledger has no migrations")
    return head


async def current_revision(conn: AsyncConnection) -> str | None:
    """The revision that the database has; None where nothing was migrated yet."""
    present = await conn.scalar(text("SELECT to_regclass('ledger.alembic_version') IS NOT NULL"))
    if not present:
        return None
    revision: str | None = await conn.scalar(text("SELECT version_num FROM ledger.alembic_version"))
    return revision


def _config(dsn: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["dsn"] = dsn
    return config


async def _grant(
    owner_dsn: str, app_role: str, verifier_role: str | None, reader_role: str | None
) -> None:
    roles = {app_role: _GRANTS}
    if verifier_role is not None:
        roles[verifier_role] = {"SELECT": _VERIFIER_READS}
    engine = create_engine(owner_dsn, poolclass=NullPool)
    try:
        async with engine.begin() as conn:
            for role in (*roles, *([reader_role] if reader_role is not None else [])):
                await _check_role(conn, role)
            statements = ["REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM PUBLIC"]
            for role, grants in roles.items():
                statements += [
                    f"REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM {role}",
                    f"GRANT USAGE ON SCHEMA ledger TO {role}",
                    *(
                        f"GRANT {rights} ON {', '.join(f'ledger.{t}' for t in tables)} TO {role}"
                        for rights, tables in grants.items()
                    ),
                ]
            if reader_role is not None:
                statements += [
                    f"REVOKE ALL ON ALL TABLES IN SCHEMA ledger FROM {reader_role}",
                    f"REVOKE ALL ON ALL TABLES IN SCHEMA {views.SCHEMA} FROM PUBLIC, {reader_role}",
                    f"GRANT USAGE ON SCHEMA {views.SCHEMA} TO {reader_role}",
                    f"GRANT SELECT ON ALL TABLES IN SCHEMA {views.SCHEMA} TO {reader_role}",
                ]
            for statement in statements:
                await conn.execute(text(statement))
    finally:
        await engine.dispose()


async def _check_role(conn: AsyncConnection, role: str) -> None:
    # A role's name cannot be a bind parameter of GRANT.
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
        raise SayableError(f"The role's name {role!r} must be plain lower case.")
    exists = await conn.scalar(
        text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)"), {"role": role}
    )
    if not exists:
        raise SayableError(f"The role {role!r} does not exist: create it with LOGIN first.")
