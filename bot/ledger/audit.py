"""The audit log: append, read, export and verify the chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.audit import AuditEntry
from bot.domain.subjects import Subject

DOMAIN = "mimawari.audit.v1"
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEntry:
    """One line of the log as it stands."""

    seq: int
    at: datetime
    actor: str
    tag: str
    case_id: int | None
    decision_id: str | None
    operation_id: str | None
    subject_kind: str | None
    subject_id: str | None
    details: dict[str, Any]
    canonical: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What checking the chain found; `bad_seq` is the first entry that does not fit."""

    entries: int
    head: str
    bad_seq: int | None = None
    problem: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


async def append(conn: AsyncConnection, entries: Iterable[AuditEntry]) -> None:
    """Append entries in their order. The last statement of a transaction: the chain's head is locked
    until it commits, and whatever is locked after it could deadlock with another decision.
    """
    for entry in entries:
        await conn.execute(
            text(
                """INSERT INTO ledger.audit_entries
                     (seq, at, actor, tag, case_id, decision_id, operation_id, subject_kind, subject_id,
                      details, canonical, previous_hash, hash)
                   VALUES (0, clock_timestamp(), :actor, :tag, :case_id, :decision_id, :operation_id,
                      :subject_kind, :subject_id, cast(:details AS jsonb), '', '', '')"""
            ),
            {
                "actor": entry.actor,
                "tag": entry.tag.value,
                "case_id": entry.case_id,
                "decision_id": entry.decision_id,
                "operation_id": entry.operation_id,
                "subject_kind": entry.subject.kind.value if entry.subject else None,
                "subject_id": entry.subject.id if entry.subject else None,
                "details": json.dumps(dict(entry.details), ensure_ascii=False),
            },
        )


async def read_head(conn: AsyncConnection) -> tuple[int, str]:
    """Sequence number and hash of the last entry; (0, 64 zeros) for an empty log."""
    row = (await conn.execute(text("SELECT seq, hash FROM ledger.audit_head"))).one()
    return row.seq, row.hash


async def read_about(
    conn: AsyncConnection, *, subject: Subject | None = None, case_id: int | None = None, limit: int
) -> Sequence[WrittenEntry]:
    """The newest entries about a subject (its cases included) or a case, newest first."""
    rows = await conn.execute(
        text(
            """SELECT * FROM ledger.audit_entries e
                WHERE e.case_id = :case_id
                   OR (e.subject_kind = :kind AND e.subject_id = :id)
                   OR e.case_id IN (SELECT m.case_id FROM ledger.case_members m
                                     WHERE m.subject_kind = :kind AND m.subject_id = :id AND m.is_subject)
                ORDER BY e.seq DESC LIMIT :limit"""
        ),
        {
            "case_id": case_id,
            "kind": subject.kind.value if subject else None,
            "id": subject.id if subject else None,
            "limit": limit,
        },
    )
    return [WrittenEntry(**row) for row in rows.mappings()]


async def stream(conn: AsyncConnection) -> AsyncIterator[WrittenEntry]:
    """Every entry in order, in constant memory."""
    async with conn.stream(
        text("SELECT * FROM ledger.audit_entries ORDER BY seq"),
        execution_options={"yield_per": 500},
    ) as rows:
        async for row in rows.mappings():
            yield WrittenEntry(**row)


class ChainCheck:
    """Checks entries one by one; needs nothing but the entries, so an export can be checked anywhere."""

    def __init__(self) -> None:
        self.entries = 0
        self.head = GENESIS

    def problem_with(
        self, *, seq: int, canonical: str, previous_hash: str, entry_hash: str
    ) -> str | None:
        """What is wrong with the next entry; None, and it becomes the head, where nothing is."""
        if seq != self.entries + 1:
            return f"entry {self.entries + 1} is missing: {seq} follows {self.entries}"
        if previous_hash != self.head:
            return f"entry {seq} does not follow the entry before it"
        expected = hashlib.sha256(f"{DOMAIN}\n{previous_hash}\n{canonical}".encode()).hexdigest()
        if entry_hash != expected:
            return f"entry {seq} was changed: its hash does not fit its text"
        self.entries, self.head = seq, entry_hash
        return None


async def verify(conn: AsyncConnection) -> Verification:
    """Check the whole chain, every column against the text that was hashed, and the head."""
    check = ChainCheck()
    async for entry in stream(conn):
        problem = check.problem_with(
            seq=entry.seq,
            canonical=entry.canonical,
            previous_hash=entry.previous_hash,
            entry_hash=entry.hash,
        ) or _column_problem(entry)
        if problem is not None:
            return Verification(
                entries=check.entries, head=check.head, bad_seq=entry.seq, problem=problem
            )
    seq, head = await read_head(conn)
    if (seq, head) != (check.entries, check.head):
        return Verification(
            entries=check.entries,
            head=check.head,
            bad_seq=check.entries + 1,
            problem=f"the log ends at entry {check.entries}, but its head says {seq}: the tail was cut",
        )
    return Verification(entries=check.entries, head=check.head)


def _column_problem(entry: WrittenEntry) -> str | None:
    hashed = json.loads(entry.canonical)
    columns = {
        "seq": entry.seq,
        "at": entry.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": entry.actor,
        "tag": entry.tag,
        "case_id": entry.case_id,
        "decision_id": entry.decision_id,
        "operation_id": entry.operation_id,
        "subject_kind": entry.subject_kind,
        "subject_id": entry.subject_id,
        "details": entry.details,
    }
    if hashed != columns:
        differing = sorted(name for name in columns if hashed.get(name) != columns[name])
        return f"entry {entry.seq} was changed: {', '.join(differing)} differ from what was hashed"
    return None
