"""Claims: a worker takes due rows of a queue with a lease, a fence and a counted attempt.

The ledger is the queue. Operations, stale cards, thread posts, digests and ticks all carry the same lease
columns, so this one module serves all five. Time is always the database's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A table that workers claim rows from; all texts are SQL of our own, never input."""

    table: str
    key: str
    ready: str
    """Which rows have work, beside being due and not leased."""
    order: str = "due_at"


OPERATIONS = Queue(table="ledger.operations", key="operation_id", ready="ended_at IS NULL")
CARDS = Queue(table="ledger.cards", key="case_id", ready="stale", order="priority DESC, due_at")
POSTS = Queue(table="ledger.posts", key="post_id", ready="state = 'queued'", order="created_at")
PICTURES = Queue(
    table="ledger.ring_pictures", key="case_id", ready="wanted_revision > posted_revision"
)
DIGESTS = Queue(table="ledger.digests", key="digest_id", ready="state = 'queued'", order="day")
TICKS = Queue(table="ledger.ticks", key="name", ready="true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A row that this worker holds until its lease ends; `fence` guards every write back."""

    key: Any
    owner: str
    fence: int
    attempts: int
    row: RowMapping


async def claim(
    conn: AsyncConnection,
    queue: Queue,
    *,
    owner: str,
    lease_s: float,
    limit: int = 1,
    also: str = "true",
    params: dict[str, Any] | None = None,
) -> Sequence[Claim]:
    """Take up to `limit` due rows that nobody holds; another worker's rows are skipped, not waited for.

    Args:
        also: a further condition in SQL of our own, with its values in `params`.
    """
    rows = await conn.execute(
        text(
            f"""WITH due AS (
                    SELECT {queue.key} FROM {queue.table}
                     WHERE {queue.ready} AND ({also}) AND due_at <= clock_timestamp()
                       AND (lease_until IS NULL OR lease_until < clock_timestamp())
                     ORDER BY {queue.order} LIMIT :claim_limit FOR UPDATE SKIP LOCKED)
                UPDATE {queue.table} q
                   SET lease_owner = :claim_owner,
                       lease_until = clock_timestamp() + make_interval(secs => :claim_lease_s),
                       fence = q.fence + 1, attempts = q.attempts + 1
                  FROM due WHERE q.{queue.key} = due.{queue.key}
             RETURNING q.*"""  # noqa: S608 - only our own constants are put in
        ),
        {
            "claim_limit": limit,
            "claim_owner": owner,
            "claim_lease_s": lease_s,
            **(params or {}),
        },
    )
    return [
        Claim(
            key=row[queue.key],
            owner=owner,
            fence=row["fence"],
            attempts=row["attempts"],
            row=row,
        )
        for row in rows.mappings()
    ]


async def finish(
    conn: AsyncConnection,
    queue: Queue,
    claim: Claim,
    *,
    set_: str = "attempts = 0",
    due_in_s: float = 0,
    params: dict[str, Any] | None = None,
) -> bool:
    """Write back and give the row up; False if the claim was lost to another worker meanwhile."""
    result = await conn.execute(
        text(
            f"""UPDATE {queue.table}
                   SET {set_}, lease_owner = NULL, lease_until = NULL,
                       due_at = clock_timestamp() + make_interval(secs => :claim_due_in_s)
                 WHERE {queue.key} = :claim_key AND fence = :claim_fence
                   AND lease_owner = :claim_owner"""  # noqa: S608 - only our own constants are put in
        ),
        {
            "claim_key": claim.key,
            "claim_fence": claim.fence,
            "claim_owner": claim.owner,
            "claim_due_in_s": due_in_s,
            **(params or {}),
        },
    )
    return result.rowcount == 1


def backoff_s(attempts: int, *, base: float = 1.0, cap: float = 60.0) -> float:
    """Seconds to wait after the n-th failed attempt."""
    return min(cap, base * 2.0 ** min(max(attempts - 1, 0), 16))
