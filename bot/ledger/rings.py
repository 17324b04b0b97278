"""Named queries about rings: what links the members of cases, kept as opaque values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import CaseState
from bot.domain.rings import WEAK, LinkKind, Ring, RingEdge, Touch, Value
from bot.domain.subjects import Subject, SubjectKind


async def read_key(conn: AsyncConnection) -> bytes:
    """The key under which this ledger keeps evidence."""
    key: bytes = (await conn.execute(text("SELECT key FROM ledger.ring_key"))).scalar_one()
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlooked:
    """An open case around whose members nobody has looked yet, and the accounts to begin with."""

    case_id: int
    accounts: frozenset[str]
    members: int


async def cases_to_look_at(conn: AsyncConnection, limit: int) -> list[Unlooked]:
    """Open cases whose members are not those of our last look, the most urgent first."""
    rows = await conn.execute(
        text(
            # Whom findings accuse; who came along is looked at only where something links them.
            """SELECT due.case_id, due.members,
                      array_agg(DISTINCT a.account_id) FILTER (WHERE a.account_id <> '') AS accounts
                 FROM (SELECT c.case_id, k.priority, m.members
                         FROM ledger.cases c JOIN ledger.cards k USING (case_id)
                         JOIN (SELECT case_id, count(*) AS members FROM ledger.case_members
                                WHERE is_open GROUP BY case_id) m USING (case_id)
                         LEFT JOIN ledger.rings r USING (case_id)
                        WHERE c.closed_at IS NULL AND m.members IS DISTINCT FROM r.looked_members
                        ORDER BY k.priority DESC, c.case_id LIMIT :limit) due
                 LEFT JOIN ledger.case_members m ON m.case_id = due.case_id AND m.is_subject
                CROSS JOIN LATERAL (SELECT CASE m.subject_kind
                                   WHEN 'account' THEN m.subject_id
                                   WHEN 'order' THEN m.facts ->> 'buyer_id'
                                   ELSE m.facts ->> 'seller_id'
                                 END AS account_id) a
                GROUP BY due.case_id, due.members, due.priority
                ORDER BY due.priority DESC, due.case_id"""
        ),
        {"limit": limit},
    )
    return [
        Unlooked(case_id=row.case_id, accounts=frozenset(row.accounts or ()), members=row.members)
        for row in rows
    ]


async def note_looks(conn: AsyncConnection, members: Mapping[int, int]) -> None:
    """Remember how many members these cases had when we looked around them."""
    await conn.execute(
        text(
            """INSERT INTO ledger.rings (case_id, looked_members)
               SELECT * FROM unnest(cast(:case_ids AS bigint[]), cast(:members AS integer[]))
               ON CONFLICT (case_id) DO UPDATE
                  SET looked_members = excluded.looked_members, looked_at = clock_timestamp()"""
        ),
        {"case_ids": sorted(members), "members": [members[case_id] for case_id in sorted(members)]},
    )


async def cases_with(
    conn: AsyncConnection, values: Iterable[Value], *, lock: bool = False
) -> dict[Value, list[tuple[int, CaseState]]]:
    """The open cases whose ring has one of these values, which nothing damps, the oldest first."""
    asked = [value for value in values if value[0] not in WEAK]
    if not asked:
        return {}
    rows = await conn.execute(
        text(
            # The index tells which cases; only those are locked.
            f"""SELECT c.case_id, c.state, e.kind, e.value
                  FROM (SELECT DISTINCT e.case_id, e.kind, e.value
                          FROM unnest(cast(:kinds AS text[]), cast(:values AS text[])) v(kind, value)
                          JOIN ledger.ring_edges e ON e.kind = v.kind AND e.value = v.value
                           AND NOT e.is_damped) e
                  JOIN ledger.cases c ON c.case_id = e.case_id AND c.closed_at IS NULL
                 ORDER BY c.case_id {"FOR UPDATE OF c" if lock else ""}"""  # noqa: S608 - our own constant
        ),
        {"kinds": [kind.value for kind, _ in asked], "values": [value for _, value in asked]},
    )
    found: dict[Value, list[tuple[int, CaseState]]] = {}
    for row in rows:
        found.setdefault((LinkKind(row.kind), row.value), []).append(
            (row.case_id, CaseState(row.state))
        )
    return found


async def store_edges(
    conn: AsyncConnection, case_id: int, edges: Collection[Touch], *, joins: bool
) -> int:
    """Keep what the accounts of a case have used; returns how much of it was not known, or did not join before."""
    if not edges:
        return 0
    told = sorted(set(edges))
    stored = await conn.execute(
        text(
            """INSERT INTO ledger.ring_edges (case_id, kind, value, account_id, subject_kind, subject_id, joins)
               SELECT :case_id, kind, value, account_id, subject_kind, subject_id, :joins
                 FROM unnest(cast(:kinds AS text[]), cast(:values AS text[]), cast(:accounts AS text[]),
                             cast(:subject_kinds AS text[]), cast(:subject_ids AS text[]))
                      AS e(kind, value, account_id, subject_kind, subject_id)
               ON CONFLICT (case_id, kind, value, account_id, subject_kind, subject_id)
               DO UPDATE SET joins = true WHERE excluded.joins AND NOT ring_edges.joins"""
        ),
        {
            "case_id": case_id,
            "joins": joins,
            "kinds": [edge.kind.value for edge in told],
            "values": [edge.value for edge in told],
            "accounts": [edge.account_id for edge in told],
            "subject_kinds": [edge.subject.kind.value for edge in told],
            "subject_ids": [edge.subject.id for edge in told],
        },
    )
    return stored.rowcount


async def damp_values(conn: AsyncConnection, values: Collection[Value]) -> None:
    """Let values that too many share bring nobody else into an open case; who is in it stays."""
    if not values:
        return
    told = sorted(values)
    await conn.execute(
        text(
            """UPDATE ledger.ring_edges e SET is_damped = true
                 FROM unnest(cast(:kinds AS text[]), cast(:values AS text[])) v(kind, value)
                WHERE e.kind = v.kind AND e.value = v.value AND NOT e.is_damped"""
        ),
        {"kinds": [kind.value for kind, _ in told], "values": [value for _, value in told]},
    )


async def move_ring(conn: AsyncConnection, case_id: int) -> None:
    """The ring of a case looks different: its picture is to be drawn anew."""
    await conn.execute(
        text(
            """WITH moved AS (
                 INSERT INTO ledger.rings (case_id, revision, looked_members) VALUES (:case_id, 1, 0)
                 ON CONFLICT (case_id) DO UPDATE SET revision = ledger.rings.revision + 1
                 RETURNING case_id, revision)
               INSERT INTO ledger.ring_pictures (case_id, wanted_revision)
               SELECT case_id, revision FROM moved
               ON CONFLICT (case_id) DO UPDATE SET wanted_revision = excluded.wanted_revision"""
        ),
        {"case_id": case_id},
    )


async def tie_cases(conn: AsyncConnection, case_id: int, other_id: int) -> bool:
    """Note that two cases are about one ring; False where that was known."""
    tied = await conn.execute(
        text(
            """INSERT INTO ledger.ring_ties (case_id, other_id)
               VALUES (least(cast(:one AS bigint), :other), greatest(cast(:one AS bigint), :other))
               ON CONFLICT DO NOTHING"""
        ),
        {"one": case_id, "other": other_id},
    )
    return tied.rowcount == 1


async def judged_before(conn: AsyncConnection, subjects: Sequence[Subject]) -> set[Subject]:
    """Those of the subjects on which people have decided: a ring brings none of them back."""
    rows = await conn.execute(
        text(
            """SELECT DISTINCT m.subject_kind, m.subject_id
                 FROM unnest(cast(:kinds AS text[]), cast(:ids AS text[])) s(kind, id)
                 JOIN ledger.case_members m ON m.subject_kind = s.kind AND m.subject_id = s.id
                WHERE m.verdict IS NOT NULL"""
        ),
        {
            "kinds": [subject.kind.value for subject in subjects],
            "ids": [subject.id for subject in subjects],
        },
    )
    return {Subject(SubjectKind(row.subject_kind), row.subject_id) for row in rows}


async def read_ring(conn: AsyncConnection, case_id: int) -> Ring | None:
    """What joins the members of a case; None where nothing does."""
    revision = await conn.scalar(
        text("SELECT revision FROM ledger.rings WHERE case_id = :case_id"), {"case_id": case_id}
    )
    rows = await conn.execute(
        text(
            """SELECT kind, value, account_id, subject_kind, subject_id FROM ledger.ring_edges
                WHERE case_id = :case_id AND joins
                ORDER BY kind, value, account_id, subject_kind, subject_id"""
        ),
        {"case_id": case_id},
    )
    edges = tuple(
        RingEdge(
            account_id=row.account_id,
            kind=LinkKind(row.kind),
            value=row.value,
            subject=Subject(SubjectKind(row.subject_kind), row.subject_id),
        )
        for row in rows
    )
    tied = await conn.scalars(
        text(
            """SELECT c.case_id FROM ledger.cases c
                WHERE c.closed_at IS NULL AND c.case_id IN (
                      SELECT CASE t.case_id WHEN :case_id THEN t.other_id ELSE t.case_id END
                        FROM ledger.ring_ties t WHERE :case_id IN (t.case_id, t.other_id))
                ORDER BY c.case_id"""
        ),
        {"case_id": case_id},
    )
    cases = tuple(tied)
    if not edges and not cases:
        return None
    return Ring(revision=revision or 0, edges=edges, tied=cases)
