"""Named queries about caps: what was decided within an hour or a day, and what a decision takes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class CapEntry:
    """What one target of a decision takes; money in the currency's smallest unit."""

    subject: Subject
    account_id: str | None
    """Whose it is, such as the buyer of an order."""
    amount: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was taken within a window; `oldest_at` is when its first part was, which frees it again."""

    count: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict)
    oldest_at: datetime | None = None


async def lock_caps(conn: AsyncConnection) -> None:
    """Let decisions take of the caps one after the other until this transaction ends, so that none overshoots.

    After the case's row and before the audit log's head, in every transaction.
    """
    await conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('ledger.caps', 1))"))


async def read_taken(
    conn: AsyncConnection,
    actions: Collection[str],
    window_s: float,
    *,
    user_id: str | None = None,
    subject: Subject | None = None,
    account_id: str | None = None,
) -> Taken:
    """What was taken by one person, of one subject or account, or by everybody.

    A person takes what they decide alone and what they approve; what they ask others for is the others'.
    """
    rows = (
        await conn.execute(
            text(
                """SELECT currency, count(*) AS entries, sum(amount)::bigint AS amount, min(taken_at) AS oldest_at
                     FROM ledger.cap_entries e JOIN ledger.decisions d USING (decision_id)
                    WHERE e.action = ANY(:actions) AND returned_at IS NULL
                      AND taken_at > clock_timestamp() - make_interval(secs => :window_s)
                      AND CASE WHEN cast(:user_id AS text) IS NULL THEN part = 'request'
                               ELSE user_id = :user_id AND (part = 'approval' OR d.approvals_needed = 0) END
                      AND (cast(:kind AS text) IS NULL OR (subject_kind = :kind AND subject_id = :id))
                      AND (cast(:account_id AS text) IS NULL OR account_id = :account_id)
                    GROUP BY currency"""
            ),
            {
                "actions": list(actions),
                "window_s": window_s,
                "user_id": user_id,
                "kind": subject.kind.value if subject else None,
                "id": subject.id if subject else None,
                "account_id": account_id,
            },
        )
    ).all()
    return Taken(
        count=sum(row.entries for row in rows),
        amounts={row.currency: row.amount for row in rows if row.amount},
        oldest_at=min((row.oldest_at for row in rows), default=None),
    )


async def read_decided_alone(
    conn: AsyncConnection,
    action: str,
    subjects: Collection[Subject],
    accounts: Collection[str],
    window_s: float,
) -> dict[str, int]:
    """Money by currency that single people decided of an action for these subjects or their owners."""
    rows = await conn.execute(
        text(
            """SELECT e.currency, sum(e.amount)::bigint AS amount
                 FROM ledger.cap_entries e JOIN ledger.decisions d USING (decision_id)
                WHERE e.action = :action AND e.part = 'request' AND e.returned_at IS NULL AND e.amount > 0
                  AND d.approvals_needed = 0
                  AND e.taken_at > clock_timestamp() - make_interval(secs => :window_s)
                  AND (e.account_id = ANY(:accounts)
                       OR e.subject_kind || ':' || e.subject_id = ANY(:subjects))
                GROUP BY e.currency"""
        ),
        {
            "action": action,
            "accounts": list(accounts),
            "subjects": [f"{subject.kind}:{subject.id}" for subject in subjects],
            "window_s": window_s,
        },
    )
    return {row.currency: row.amount for row in rows}


async def take(
    conn: AsyncConnection,
    decision_id: str,
    part: str,
    user_id: str,
    action: str,
    entries: Iterable[CapEntry],
) -> None:
    """Write what a decision takes, for the person who asked for it (`request`) or agreed (`approval`)."""
    await conn.execute(
        text(
            """INSERT INTO ledger.cap_entries
                 (decision_id, part, user_id, action, subject_kind, subject_id, account_id, amount, currency)
               VALUES (:decision_id, :part, :user_id, :action, :kind, :id, :account_id, :amount, :currency)
               ON CONFLICT (decision_id, part, user_id, subject_kind, subject_id)
               DO UPDATE SET amount = greatest(cap_entries.amount, excluded.amount)"""
        ),
        [
            {
                "decision_id": decision_id,
                "part": part,
                "user_id": user_id,
                "action": action,
                "kind": entry.subject.kind.value,
                "id": entry.subject.id,
                "account_id": entry.account_id,
                "amount": entry.amount,
                "currency": entry.currency,
            }
            for entry in entries
        ],
    )


async def give_back(conn: AsyncConnection, decision_id: str) -> None:
    """Free what a decision took of which nothing was done."""
    await conn.execute(
        text(
            """UPDATE ledger.cap_entries SET returned_at = clock_timestamp()
                WHERE decision_id = :decision_id AND returned_at IS NULL"""
        ),
        {"decision_id": decision_id},
    )
