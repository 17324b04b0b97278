"""Named queries about rings: what links the members of cases, kept as opaque values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.cases import CaseState
from bot.domain.rings import WEAK, LinkKind, Ring, RingEdge, Touch, Value
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger.findings import OpenMember


async def read_key(conn: AsyncConnection) -> bytes:
    """The key under which this ledger keeps evidence."""
    key: bytes = (await conn.execute(text("SELECT key FROM ledger.ring_key"))).scalar_one()
    return key


async def any_open(conn: AsyncConnection) -> bool:
    """Whether there is a ring that a newcomer could join."""
    found: bool = (
        await conn.execute(
            text(
                """SELECT EXISTS (SELECT FROM ledger.rings r JOIN ledger.cases c USING (case_id)
                                   WHERE r.revision > 0 AND c.closed_at IS NULL)"""
            )
        )
    ).scalar_one()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlooked:
    """An open case around whose members nobody has looked yet, and the accounts to begin with."""

    case_id: int
    accounts: frozenset[str]


async def cases_to_look_at(conn: AsyncConnection, limit: int) -> list[Unlooked]:
    """Open cases whose members are not those of our last look, the most urgent first."""
    rows = await conn.execute(
        text(
            # Of an order the buyer; its seller only where something accuses them by themselves.
            """SELECT due.case_id,
                      array_agg(DISTINCT a.account_id) FILTER (WHERE a.account_id <> '') AS accounts
                 FROM (SELECT c.case_id, k.priority
                         FROM ledger.cases c JOIN ledger.cards k USING (case_id)
                         JOIN (SELECT case_id, count(*) AS members FROM ledger.case_members
                                WHERE is_open GROUP BY case_id) m USING (case_id)
                         LEFT JOIN ledger.rings r USING (case_id)
                        WHERE c.closed_at IS NULL AND m.members IS DISTINCT FROM r.looked_members
                        ORDER BY k.priority DESC, c.case_id LIMIT :limit) due
                 JOIN ledger.case_members m USING (case_id),
                 LATERAL (SELECT CASE m.subject_kind
                                   WHEN 'account' THEN m.subject_id
                                   WHEN 'order' THEN m.facts ->> 'buyer_id'
                                   WHEN 'listing' THEN m.facts ->> 'seller_id'
                                 END AS account_id) a
                GROUP BY due.case_id, due.priority ORDER BY due.priority DESC, due.case_id"""
        ),
        {"limit": limit},
    )
    return [Unlooked(case_id=row.case_id, accounts=frozenset(row.accounts or ())) for row in rows]


async def note_looks(conn: AsyncConnection, case_ids: Collection[int]) -> None:
    """Remember how many members these cases had when we looked around them."""
    await conn.execute(
        text(
            """INSERT INTO ledger.rings (case_id, looked_members)
               SELECT case_id, count(*) FROM ledger.case_members
                WHERE case_id = ANY(:case_ids) AND is_open GROUP BY case_id ORDER BY case_id
               ON CONFLICT (case_id) DO UPDATE
                  SET looked_members = excluded.looked_members, looked_at = clock_timestamp()"""
        ),
        {"case_ids": sorted(case_ids)},
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


async def lock_open_rings(
    conn: AsyncConnection, touched: Mapping[Subject, Collection[Value]]
) -> list[OpenMember]:
    """The open cases whose ring one of these subjects touches, locked, as if each subject were in them."""
    found = await cases_with(conn, {v for values in touched.values() for v in values}, lock=True)
    return [
        OpenMember(case_id=case_id, state=state, subject=subject, is_subject=False)
        for subject, values in touched.items()
        for value in values
        for case_id, state in found.get(value, ())
    ]


async def accounts_by_value(
    conn: AsyncConnection, values: Collection[Value]
) -> dict[Value, frozenset[str]]:
    """Who is known to have these values, in whatever open case."""
    rows = await conn.execute(
        text(
            """SELECT e.kind, e.value, array_agg(DISTINCT e.account_id) AS accounts
                 FROM unnest(cast(:kinds AS text[]), cast(:values AS text[])) v(kind, value)
                 JOIN ledger.ring_edges e ON e.kind = v.kind AND e.value = v.value AND NOT e.is_damped
                 JOIN ledger.cases c ON c.case_id = e.case_id AND c.closed_at IS NULL
                GROUP BY e.kind, e.value"""
        ),
        {"kinds": [kind.value for kind, _ in values], "values": [value for _, value in values]},
    )
    return {(LinkKind(row.kind), row.value): frozenset(row.accounts) for row in rows}


async def store_edges(conn: AsyncConnection, case_id: int, edges: Collection[Touch]) -> int:
    """Keep what links the members of a case; returns how much of it was not known."""
    if not edges:
        return 0
    told = sorted(set(edges))
    stored = await conn.execute(
        text(
            """INSERT INTO ledger.ring_edges (case_id, kind, value, account_id, subject_kind, subject_id)
               SELECT :case_id, kind, value, account_id, subject_kind, subject_id
                 FROM unnest(cast(:kinds AS text[]), cast(:values AS text[]), cast(:accounts AS text[]),
                             cast(:subject_kinds AS text[]), cast(:subject_ids AS text[]))
                      AS e(kind, value, account_id, subject_kind, subject_id)
               ON CONFLICT DO NOTHING"""
        ),
        {
            "case_id": case_id,
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
                WHERE case_id = :case_id
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
