"""Named queries about proposals: what needs two people and belongs to no case's decision."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.proposals import Proposal, ProposalKind, ProposalState
from bot.ledger.values import canonical_hash

_SELECT = """SELECT p.*, coalesce((SELECT array_agg(a.user_id ORDER BY a.at) FROM ledger.proposal_approvals a
                                    WHERE a.proposal_id = p.proposal_id), '{}') AS approved_by
               FROM ledger.proposals p"""


async def insert(
    conn: AsyncConnection,
    *,
    kind: ProposalKind,
    about: str,
    body: Mapping[str, object],
    proposed_by: str,
    approvals_needed: int,
    barred: Collection[str] = (),
    lifetime_s: float | None,
) -> Proposal | None:
    """A new open proposal; None where one about the same is open already."""
    made = f"prop_{uuid4().hex}"
    inserted = await conn.execute(
        text(
            """INSERT INTO ledger.proposals (proposal_id, kind, about, body, body_hash, proposed_by, barred,
                 approvals_needed, expires_at)
               VALUES (:proposal_id, :kind, :about, cast(:body AS jsonb), :body_hash, :proposed_by, :barred,
                 :needed, clock_timestamp() + make_interval(secs => cast(:lifetime_s AS double precision)))
               ON CONFLICT (kind, about) WHERE state = 'open' DO NOTHING"""
        ),
        {
            "proposal_id": made,
            "kind": kind.value,
            "about": about,
            "body": json.dumps(dict(body), ensure_ascii=False),
            "body_hash": canonical_hash(dict(body)),
            "proposed_by": proposed_by,
            "barred": list(barred),
            "needed": approvals_needed,
            "lifetime_s": lifetime_s,
        },
    )
    return await read(conn, made) if inserted.rowcount == 1 else None


async def read(conn: AsyncConnection, proposal_id: str) -> Proposal | None:
    return _first(
        await _rows(conn, f"{_SELECT} WHERE p.proposal_id = :proposal_id", proposal_id=proposal_id)
    )


async def lock(conn: AsyncConnection, proposal_id: str) -> Proposal | None:
    """The proposal, which stays as it is until this transaction ends."""
    await conn.execute(
        text("SELECT FROM ledger.proposals WHERE proposal_id = :proposal_id FOR UPDATE"),
        {"proposal_id": proposal_id},
    )
    return await read(conn, proposal_id)


async def open_about(conn: AsyncConnection, kind: ProposalKind, about: str) -> Proposal | None:
    """The open proposal of this kind about this."""
    return _first(
        await _rows(
            conn,
            f"{_SELECT} WHERE p.kind = :kind AND p.about = :about AND p.state = 'open'",
            kind=kind.value,
            about=about,
        )
    )


async def newest_about(conn: AsyncConnection, kind: ProposalKind, about: str) -> Proposal | None:
    """The latest proposal of this kind about this, whatever came of it."""
    return _first(
        await _rows(
            conn,
            f"{_SELECT} WHERE p.kind = :kind AND p.about = :about ORDER BY p.proposed_at DESC LIMIT 1",
            kind=kind.value,
            about=about,
        )
    )


async def all_open(conn: AsyncConnection, kind: ProposalKind) -> Sequence[Proposal]:
    """The open ones of a kind, oldest first."""
    rows = await _rows(
        conn,
        f"{_SELECT} WHERE p.kind = :kind AND p.state = 'open' ORDER BY p.proposed_at",
        kind=kind.value,
    )
    return [_proposal(row) for row in rows]


async def overdue(conn: AsyncConnection) -> Sequence[str]:
    """Open proposals whose time has run out."""
    rows = await conn.execute(
        text(
            """SELECT proposal_id FROM ledger.proposals
                WHERE state = 'open' AND expires_at <= clock_timestamp() ORDER BY expires_at"""
        )
    )
    return [row.proposal_id for row in rows]


async def is_over(conn: AsyncConnection, proposal: Proposal) -> bool:
    """Whether its time has run out, by the database's clock."""
    over: bool = (
        await conn.execute(
            text("SELECT coalesce(cast(:at AS timestamptz) <= clock_timestamp(), false)"),
            {"at": proposal.expires_at},
        )
    ).scalar_one()
    return over


async def insert_approval(
    conn: AsyncConnection, proposal: Proposal, user_id: str, roles: Collection[str]
) -> bool:
    """Agree to exactly what was proposed; False where this person has already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.proposal_approvals (proposal_id, user_id, body_hash, roles)
               VALUES (:proposal_id, :user_id, :body_hash, :roles) ON CONFLICT DO NOTHING"""
        ),
        {
            "proposal_id": proposal.proposal_id,
            "user_id": user_id,
            "body_hash": proposal.body_hash,
            "roles": sorted(roles),
        },
    )
    return result.rowcount == 1


async def end(
    conn: AsyncConnection,
    proposal_id: str,
    state: ProposalState,
    *,
    by: str | None,
    words: str | None = None,
) -> bool:
    """End an open proposal; False if it has ended already."""
    result = await conn.execute(
        text(
            """UPDATE ledger.proposals
                  SET state = :state, ended_at = clock_timestamp(), ended_by = :by, words = :words
                WHERE proposal_id = :proposal_id AND state = 'open'"""
        ),
        {"proposal_id": proposal_id, "state": state.value, "by": by, "words": words},
    )
    return result.rowcount == 1


async def _rows(conn: AsyncConnection, sql: str, **params: Any) -> Sequence[RowMapping]:
    return (await conn.execute(text(sql), params)).mappings().all()


def _first(rows: Sequence[RowMapping]) -> Proposal | None:
    return _proposal(rows[0]) if rows else None


def _proposal(row: RowMapping) -> Proposal:
    return Proposal(
        proposal_id=row["proposal_id"],
        kind=ProposalKind(row["kind"]),
        about=row["about"],
        body=row["body"],
        body_hash=row["body_hash"],
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        approvals_needed=row["approvals_needed"],
        state=ProposalState(row["state"]),
        barred=tuple(row["barred"]),
        approved_by=tuple(row["approved_by"]),
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
        ended_by=row["ended_by"],
        words=row["words"],
    )
