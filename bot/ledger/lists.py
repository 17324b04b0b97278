"""Named queries about lists and snoozes, by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.lists import Hidden, ListEntry, ListKind, ListName, Snooze
from bot.domain.subjects import Subject

_IN_FORCE = "e.removed_at IS NULL AND e.expires_at > clock_timestamp()"


async def arrays(conn: AsyncConnection) -> Mapping[str, Sequence[str]]:
    """What is on each list now, under the names that SQL gets, such as `allow_accounts`."""
    rows = await conn.execute(
        text(
            f"""SELECT list || '_' || kind AS name, array_agg(value ORDER BY value) AS entries
                  FROM ledger.list_entries e WHERE {_IN_FORCE} GROUP BY list, kind"""  # noqa: S608 - our own words
        )
    )
    return {row.name: row.entries for row in rows}


async def entries(conn: AsyncConnection, limit: int) -> tuple[int, Sequence[ListEntry]]:
    """How many there are, and those that end first."""
    rows = (
        await conn.execute(
            text(
                f"""SELECT e.*, p.display_name AS owner_name, count(*) OVER () AS total
                      FROM ledger.list_entries e LEFT JOIN ledger.people p ON p.user_id = e.owner
                     WHERE {_IN_FORCE} ORDER BY e.expires_at, e.entry_id LIMIT :limit"""  # noqa: S608 - our own words
            ),
            {"limit": limit},
        )
    ).all()
    return (rows[0].total if rows else 0), [_entry(row) for row in rows]


async def standing(conn: AsyncConnection, kind: ListKind, value: str) -> ListEntry | None:
    """The entry about a value that is in force; one that has run out is taken off."""
    await conn.execute(
        text(
            """UPDATE ledger.list_entries SET removed_at = clock_timestamp(), removed_by = 'expiry'
                WHERE kind = :kind AND value = :value AND removed_at IS NULL
                  AND expires_at <= clock_timestamp()"""
        ),
        {"kind": kind, "value": value},
    )
    row = (
        await conn.execute(
            text(
                """SELECT e.*, p.display_name AS owner_name
                     FROM ledger.list_entries e LEFT JOIN ledger.people p ON p.user_id = e.owner
                    WHERE kind = :kind AND value = :value AND removed_at IS NULL"""
            ),
            {"kind": kind, "value": value},
        )
    ).first()
    return _entry(row) if row is not None else None


async def insert_entry(conn: AsyncConnection, entry: ListEntry, days: int) -> datetime | None:
    """When it will end; None: somebody else was quicker with the same value."""
    expires_at: datetime | None = await conn.scalar(
        text(
            """INSERT INTO ledger.list_entries (entry_id, list, kind, value, reason, owner, expires_at)
               VALUES (:entry_id, :list, :kind, :value, :reason, :owner, clock_timestamp() + :span)
               ON CONFLICT DO NOTHING RETURNING expires_at"""
        ),
        {
            "entry_id": entry.entry_id,
            "list": entry.list,
            "kind": entry.kind,
            "value": entry.value,
            "reason": entry.reason,
            "owner": entry.owner,
            "span": timedelta(days=days),
        },
    )
    return expires_at


async def remove_entry(conn: AsyncConnection, entry_id: str, removed_by: str) -> bool:
    """Whether it was still there."""
    done = await conn.execute(
        text(
            """UPDATE ledger.list_entries SET removed_at = clock_timestamp(), removed_by = :removed_by
                WHERE entry_id = :entry_id AND removed_at IS NULL"""
        ),
        {"entry_id": entry_id, "removed_by": removed_by},
    )
    return bool(done.rowcount)


async def insert_snooze(conn: AsyncConnection, snooze: Snooze, days: int) -> datetime:
    """Until when it lasts."""
    until: datetime = await conn.scalar(
        text(
            """INSERT INTO ledger.snoozes (snooze_id, detection, subject_kind, subject_id, reason, made_by, until)
               VALUES (:snooze_id, :detection, :kind, :id, :reason, :made_by, clock_timestamp() + :span)
               RETURNING until"""
        ),
        {
            "snooze_id": snooze.snooze_id,
            "detection": snooze.detection,
            "kind": snooze.subject.kind.value,
            "id": snooze.subject.id,
            "reason": snooze.reason,
            "made_by": snooze.made_by,
            "span": timedelta(days=days),
        },
    )
    return until


async def snoozed(conn: AsyncConnection, detection: str) -> frozenset[tuple[str, str]]:
    """About whom a detection is quiet now: kinds and ids."""
    rows = await conn.execute(
        text(
            """SELECT subject_kind, subject_id FROM ledger.snoozes
                WHERE detection = :detection AND until > clock_timestamp()"""
        ),
        {"detection": detection},
    )
    return frozenset((row.subject_kind, row.subject_id) for row in rows)


async def hidden(
    conn: AsyncConnection, detection: str, subject: Subject, since: datetime
) -> Hidden:
    """What the detection said of a subject since a moment of the market's time."""
    row = (
        await conn.execute(
            text(
                """SELECT count(*) AS findings, count(DISTINCT case_id) AS cases,
                          count(*) FILTER (WHERE verdict = 'fraud') AS fraud
                     FROM ledger.findings
                    WHERE detection = :detection AND found_at >= :since
                      AND (subject_kind = :kind AND subject_id = :id
                           OR :kind = 'account' AND jsonb_exists(body -> 'account_ids', :id))"""
            ),
            {
                "detection": detection,
                "kind": subject.kind.value,
                "id": subject.id,
                "since": since,
            },
        )
    ).one()
    return Hidden(findings=row.findings, cases=row.cases, fraud=row.fraud)


def _entry(row: Row[Any]) -> ListEntry:
    return ListEntry(
        entry_id=row.entry_id,
        list=ListName(row.list),
        kind=ListKind(row.kind),
        value=row.value,
        reason=row.reason,
        owner=row.owner,
        owner_name=row.owner_name,
        expires_at=row.expires_at,
    )
