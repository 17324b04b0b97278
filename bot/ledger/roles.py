"""Named queries about roles over time: who had which since when, and when a new one counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.roles import Person, Role

SAME_AGAIN_S = 3600.0
"""Who had a role so short a while ago does not newly get it, as after a slip in a user group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpan:
    """One role of one person, from when to when; it counts from `effective_at` on."""

    user_id: str
    role: Role
    since: datetime
    effective_at: datetime
    until: datetime | None = None


async def keep_spans(
    conn: AsyncConnection, people: Sequence[Person], waits_h: Mapping[Role, float]
) -> list[RoleSpan]:
    """Bring the history up to date with what everybody has now; returns the roles that somebody newly got.

    Args:
        waits_h: hours until a new role counts. In an empty history every role counts at once: else
            no team could ever begin.
    """
    present = json.dumps(
        [
            {"user_id": person.user_id, "role": role.value, "wait_s": waits_h.get(role, 0) * 3600}
            for person in people
            for role in person.roles
        ]
    )
    await conn.execute(
        text(
            """UPDATE ledger.role_spans s SET until = greatest(clock_timestamp(), since)
                WHERE until IS NULL AND NOT EXISTS (
                  SELECT FROM jsonb_to_recordset(cast(:present AS jsonb)) p(user_id text, role text)
                   WHERE p.user_id = s.user_id AND p.role = s.role)"""
        ),
        {"present": present},
    )
    rows = await conn.execute(
        text(
            """WITH known AS (SELECT EXISTS (SELECT FROM ledger.role_spans) AS any_, clock_timestamp() AS at)
               INSERT INTO ledger.role_spans (user_id, role, since, effective_at)
               SELECT p.user_id, p.role, k.at, k.at + CASE
                        WHEN NOT k.any_ OR EXISTS (
                          SELECT FROM ledger.role_spans b
                           WHERE b.user_id = p.user_id AND b.role = p.role AND b.effective_at <= b.until
                             AND b.until > k.at - make_interval(secs => :same_again_s))
                        THEN interval '0' ELSE make_interval(secs => p.wait_s) END
                 FROM jsonb_to_recordset(cast(:present AS jsonb)) p(user_id text, role text, wait_s float), known k
                WHERE NOT EXISTS (SELECT FROM ledger.role_spans s
                                   WHERE s.user_id = p.user_id AND s.role = p.role AND s.until IS NULL)
               RETURNING *, (SELECT any_ FROM known) AS is_news"""
        ),
        {"present": present, "same_again_s": SAME_AGAIN_S},
    )
    return [_span(row) for row in rows if row.is_news]


async def roles_at(conn: AsyncConnection, at: datetime) -> list[RoleSpan]:
    """Every role that somebody had at a moment, by person."""
    rows = await conn.execute(
        text(
            """SELECT * FROM ledger.role_spans
                WHERE since <= :at AND (until IS NULL OR until > :at) ORDER BY user_id, role"""
        ),
        {"at": at},
    )
    return [_span(row) for row in rows]


async def policy_at(conn: AsyncConnection, at: datetime) -> tuple[str, datetime] | None:
    """The text of the policy that was in force at a moment, and since when; None: none was stored yet."""
    row = (
        await conn.execute(
            text(
                """SELECT body, adopted_at FROM ledger.policies WHERE adopted_at <= :at
                    ORDER BY policy_id DESC LIMIT 1"""
            ),
            {"at": at},
        )
    ).first()
    return (row.body, row.adopted_at) if row else None


def _span(row: Row[Any]) -> RoleSpan:
    return RoleSpan(
        user_id=row.user_id,
        role=Role(row.role),
        since=row.since,
        effective_at=row.effective_at,
        until=row.until,
    )
