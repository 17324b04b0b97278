"""The audit log: append, read, export and verify the chain."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.audit_chain import Anchor, ChainCheck, heads_of
from bot.domain.subjects import Subject

PRIVATE = "mimawari.private.v1"


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
    private: Mapping[str, str] = field(default_factory=dict)
    """What a person wrote with it, by name, as far as it was read and is not erased."""


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
    told = list(entries)
    if not told:
        return
    kept = [_keep_private(entry) for entry in told]
    beside = [row for _, rows in kept for row in rows]
    if beside:
        await conn.execute(
            text(
                """INSERT INTO ledger.audit_private
                     (commitment, case_id, subject_kind, subject_id, name, salt, value)
                   VALUES (:commitment, :case_id, :subject_kind, :subject_id, :name, :salt, :value)"""
            ),
            beside,
        )
    await conn.execute(
        text(
            # One after the other, though in one statement: each row's trigger sees the head that the last one left.
            """INSERT INTO ledger.audit_entries
                 (seq, at, actor, tag, case_id, decision_id, operation_id, subject_kind, subject_id,
                  details, canonical, previous_hash, hash)
               SELECT 0, clock_timestamp(), actor, tag, case_id, decision_id, operation_id, subject_kind, subject_id,
                      cast(details AS jsonb), '', '', ''
                 FROM unnest(cast(:actors AS text[]), cast(:tags AS text[]), cast(:case_ids AS bigint[]),
                             cast(:decision_ids AS text[]), cast(:operation_ids AS text[]), cast(:kinds AS text[]),
                             cast(:ids AS text[]), cast(:details AS text[]))
                      WITH ORDINALITY AS e(actor, tag, case_id, decision_id, operation_id, subject_kind, subject_id,
                                           details, place)
                ORDER BY place"""
        ),
        {
            "actors": [entry.actor for entry in told],
            "tags": [entry.tag.value for entry in told],
            "case_ids": [entry.case_id for entry in told],
            "decision_ids": [entry.decision_id for entry in told],
            "operation_ids": [entry.operation_id for entry in told],
            "kinds": [entry.subject.kind.value if entry.subject else None for entry in told],
            "ids": [entry.subject.id if entry.subject else None for entry in told],
            "details": [json.dumps(details, ensure_ascii=False) for details, _ in kept],
        },
    )


def _keep_private(entry: AuditEntry) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Details that hold commitments in place of what was written, and the rows to keep beside them."""
    rows: list[dict[str, object]] = []
    for name, value in entry.private.items():
        if not value:
            continue
        salt = secrets.token_hex(16)
        rows.append(
            {
                "commitment": commitment_of(salt, value),
                "case_id": entry.case_id,
                "subject_kind": entry.subject.kind.value if entry.subject else None,
                "subject_id": entry.subject.id if entry.subject else None,
                "name": name,
                "salt": salt,
                "value": value,
            }
        )
    details = dict(entry.details)
    if rows:
        details["private"] = {str(row["name"]): row["commitment"] for row in rows}
    return details, rows


def commitment_of(salt: str, value: str) -> str:
    """What the log holds of a text: a hash that tells nothing of it without the salt."""
    return hashlib.sha256(f"{PRIVATE}\n{salt}\n{value}".encode()).hexdigest()


async def with_private(
    conn: AsyncConnection, entries: Sequence[WrittenEntry]
) -> Sequence[WrittenEntry]:
    """The entries with what people wrote; what was erased is missing."""
    wanted = [
        commitment
        for entry in entries
        for commitment in (entry.details.get("private") or {}).values()
    ]
    if not wanted:
        return entries
    rows = await conn.execute(
        text("SELECT commitment, value FROM ledger.audit_private WHERE commitment = ANY(:wanted)"),
        {"wanted": wanted},
    )
    kept = {row.commitment: row.value for row in rows}
    return [
        replace(
            entry,
            private={
                name: kept[commitment]
                for name, commitment in (entry.details.get("private") or {}).items()
                if commitment in kept
            },
        )
        for entry in entries
    ]


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
    return await with_private(conn, [WrittenEntry(**row) for row in rows.mappings()])


async def has_just_done(
    conn: AsyncConnection, actor: str, tag: AuditTag, *, case_id: int, within_s: float
) -> bool:
    """Whether this person did the very same with this case a moment ago."""
    found: bool = (
        await conn.execute(
            text(
                """SELECT EXISTS (SELECT FROM ledger.audit_entries
                    WHERE case_id = :case_id AND actor = :actor AND tag = :tag
                      AND at > clock_timestamp() - make_interval(secs => :within_s))"""
            ),
            {"case_id": case_id, "actor": actor, "tag": tag.value, "within_s": within_s},
        )
    ).scalar_one()
    return found


async def stream(
    conn: AsyncConnection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int = 0,
) -> AsyncIterator[WrittenEntry]:
    """Every entry in order, in constant memory; or those of a span of time, or after one, without a gap."""
    async with conn.stream(
        text(
            """SELECT * FROM ledger.audit_entries
                WHERE seq >= coalesce((SELECT min(seq) FROM ledger.audit_entries
                                        WHERE at >= cast(:since AS timestamptz)),
                                      CASE WHEN cast(:since AS timestamptz) IS NULL THEN 0 ELSE 9e18 END)
                  AND seq <= CASE WHEN cast(:until AS timestamptz) IS NULL THEN 9e18 ELSE
                        coalesce((SELECT max(seq) FROM ledger.audit_entries
                                   WHERE at < cast(:until AS timestamptz)), 0) END
                  AND seq > :after
                ORDER BY seq"""
        ),
        {"since": since, "until": until, "after": after},
        execution_options={"yield_per": 500},
    ) as rows:
        async for row in rows.mappings():
            yield WrittenEntry(**row)


async def verify(conn: AsyncConnection, anchors: Sequence[Anchor] = ()) -> Verification:
    """Check the whole chain, every column against the text that was hashed, the head, and anchors.

    What is appended while it is checked is checked too, and not taken for a head without its entry.
    """
    check = ChainCheck()
    kept, contradiction = heads_of(anchors)
    while True:
        before = check.entries
        async for entry in stream(conn, after=before):
            problem = _entry_problem(check, entry, kept)
            if problem is not None:
                return Verification(
                    entries=check.entries, head=check.head, bad_seq=entry.seq, problem=problem
                )
        seq, head = await read_head(conn)
        if (seq, head) == (check.entries, check.head):
            break
        if seq <= check.entries or check.entries == before:
            return Verification(
                entries=check.entries,
                head=check.head,
                bad_seq=check.entries + 1,
                problem=f"the log ends at entry {check.entries}, but its head says {seq}:"
                " the tail was cut",
            )
    beyond = max(kept, default=0)
    if beyond > seq:
        return Verification(
            entries=check.entries,
            head=check.head,
            bad_seq=check.entries + 1,
            problem=f"the log ends at entry {seq}, but {kept[beyond].source} knows entry {beyond}: the"
            " tail was cut",
        )
    bad_seq, beside = await _private_problem(conn)
    return Verification(
        entries=check.entries, head=check.head, bad_seq=bad_seq, problem=contradiction or beside
    )


def _entry_problem(check: ChainCheck, entry: WrittenEntry, kept: dict[int, Anchor]) -> str | None:
    problem = check.problem_with(
        seq=entry.seq,
        canonical=entry.canonical,
        previous_hash=entry.previous_hash,
        entry_hash=entry.hash,
    ) or _column_problem(entry)
    anchor = kept.pop(entry.seq, None)
    if problem is None and anchor is not None and anchor.hash != entry.hash:
        return (
            f"entry {entry.seq} has another hash than {anchor.source} kept of it: the log was"
            " rewritten up to there, with a chain that fits"
        )
    return problem


async def _private_problem(conn: AsyncConnection) -> tuple[int | None, str | None]:
    """What was written beside the log and is gone without an erasure, or is another text than was written."""
    may_read = await conn.scalar(
        text("SELECT has_table_privilege('ledger.audit_private', 'SELECT')")
    )
    if not may_read:
        return None, None
    row = (
        await conn.execute(
            text(
                """WITH told AS (
                     SELECT e.seq, e.case_id, e.subject_kind, e.subject_id, p.key AS name, p.value AS commitment
                       FROM ledger.audit_entries e, jsonb_each_text(e.details -> 'private') p
                      WHERE e.details ? 'private')
                   SELECT t.seq, t.name, b.name AS stray FROM told t
                     FULL JOIN ledger.audit_private b ON b.commitment = t.commitment
                    WHERE t.seq IS NULL
                       OR b.commitment <> encode(sha256(convert_to(
                              :domain || E'\\n' || b.salt || E'\\n' || b.value, 'UTF8')), 'hex')
                       OR b.commitment IS NULL AND NOT EXISTS (
                              SELECT FROM ledger.audit_entries x
                               WHERE x.tag = :erased AND x.seq > t.seq
                                 AND (x.details -> 'cases' @> to_jsonb(t.case_id)
                                      OR (x.subject_kind, x.subject_id) = (t.subject_kind, t.subject_id)))
                    ORDER BY t.seq NULLS LAST LIMIT 1"""
            ),
            {"domain": PRIVATE, "erased": AuditTag.SUBJECT_ERASED.value},
        )
    ).one_or_none()
    if row is None:
        return None, None
    if row.seq is None:
        return (
            None,
            f"a text is kept beside the log ({row.stray}) that no entry knows: it was changed",
        )
    return row.seq, (
        f"the {row.name} that was written with entry {row.seq} was changed, or taken away without an erasure"
    )


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


EXPORT_COLUMNS = (
    "seq",
    "at",
    "actor",
    "tag",
    "case_id",
    "decision_id",
    "operation_id",
    "subject_kind",
    "subject_id",
    "details",
    "previous_hash",
    "hash",
)


def export_row(entry: WrittenEntry) -> tuple[object, ...]:
    """An entry as a row of a table, times in UTC."""
    return (
        entry.seq,
        entry.at.isoformat(),
        entry.actor,
        entry.tag,
        entry.case_id,
        entry.decision_id,
        entry.operation_id,
        entry.subject_kind,
        entry.subject_id,
        json.dumps(entry.details, ensure_ascii=False, sort_keys=True),
        entry.previous_hash,
        entry.hash,
    )
