"""Named queries about selections: whom a person has ticked so far in a modal of many pages."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.plans import Selection
from bot.domain.subjects import Subject, SubjectKind


async def insert(conn: AsyncConnection, plan_set_id: str, chosen: Collection[Subject]) -> Selection:
    """Begin one; a set of plans has one selection."""
    row = await conn.execute(
        text(
            """INSERT INTO ledger.selections (plan_set_id, chosen) VALUES (:plan_set_id, cast(:chosen AS jsonb))
               RETURNING *"""
        ),
        {"plan_set_id": plan_set_id, "chosen": _written(chosen)},
    )
    return _selection(row.one())


async def read(conn: AsyncConnection, plan_set_id: str, *, lock: bool = False) -> Selection | None:
    row = (
        await conn.execute(
            text(
                f"""SELECT * FROM ledger.selections WHERE plan_set_id = :plan_set_id
                    {"FOR UPDATE" if lock else ""}"""  # noqa: S608 - our own words
            ),
            {"plan_set_id": plan_set_id},
        )
    ).one_or_none()
    return None if row is None else _selection(row)


async def store(conn: AsyncConnection, plan_set_id: str, chosen: Collection[Subject]) -> Selection:
    """Keep who is chosen now; the same people are the same revision."""
    row = await conn.execute(
        text(
            """UPDATE ledger.selections
                  SET revision = revision + (chosen IS DISTINCT FROM cast(:chosen AS jsonb))::int,
                      chosen = cast(:chosen AS jsonb), changed_at = clock_timestamp()
                WHERE plan_set_id = :plan_set_id RETURNING *"""
        ),
        {"plan_set_id": plan_set_id, "chosen": _written(chosen)},
    )
    return _selection(row.one())


def _written(chosen: Collection[Subject]) -> str:
    return json.dumps(sorted(f"{subject.kind.value}:{subject.id}" for subject in chosen))


def _selection(row: Any) -> Selection:
    chosen = json.loads(row.chosen) if isinstance(row.chosen, str) else row.chosen
    parts = (str(value).partition(":") for value in chosen)
    return Selection(
        plan_set_id=row.plan_set_id,
        chosen=frozenset(Subject(SubjectKind(kind), id_) for kind, _, id_ in parts),
        revision=row.revision,
    )
