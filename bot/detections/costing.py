"""What a run of a detection costs, by Postgres's own plan of it, before it ever runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LARGE_ROWS = 50_000
"""A relation of so many rows is not read whole every half minute."""
_WHOLE = {"Seq Scan", "Foreign Scan"}
_BY_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FullScan:
    """A relation that a run reads from one end to the other."""

    relation: str
    rows: int
    filter: str | None
    """What it looks for among these rows, as Postgres writes it."""

    @property
    def sentence(self) -> str:
        """What that costs, and what to do."""
        by = f" It looks there for {self.filter}." if self.filter else ""
        return (
            f"every run reads all {self.rows:,} rows of {self.relation}.{by} Let the SQL begin at what"
            " moved (… >= :changed_since), and see that an index of the marketplace serves it:"
            f" `mimawari rules explain` shows the plan."
        )


def read_plan(answer: object) -> Mapping[str, Any]:
    """The root of the plan that EXPLAIN (FORMAT JSON) answered."""
    value = json.loads(answer) if isinstance(answer, str | bytes) else answer
    if not isinstance(value, list) or not value:
        raise ValueError("this is no answer of EXPLAIN (FORMAT JSON)")
    plan: Mapping[str, Any] = value[0]["Plan"]
    return plan


def relations_of(plan: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Schema and name of every relation that the plan reads."""
    return {
        (str(node.get("Schema", "")), str(node["Relation Name"]))
        for node in _nodes(plan)
        if "Relation Name" in node
    }


def full_scans(
    plan: Mapping[str, Any],
    sizes: Mapping[tuple[str, str], int],
    *,
    large_rows: int = LARGE_ROWS,
) -> list[FullScan]:
    """The large relations that the plan reads whole, the largest first.

    Args:
        sizes: how many rows the relations have, as Postgres last counted.
    """
    found: dict[tuple[str, str], FullScan] = {}
    for node in _nodes(plan):
        if "Relation Name" not in node or not _reads_all(node):
            continue
        key = (str(node.get("Schema", "")), str(node["Relation Name"]))
        rows = max(sizes.get(key, 0), int(node.get("Plan Rows", 0)))
        if rows >= large_rows:
            name = ".".join(part for part in key if part)
            found.setdefault(
                key, FullScan(relation=name, rows=rows, filter=node.get("Filter") or None)
            )
    return sorted(found.values(), key=lambda scan: -scan.rows)


def _reads_all(node: Mapping[str, Any]) -> bool:
    kind = node["Node Type"]
    # An index without a condition is read whole too, and so is the relation behind it.
    return kind in _WHOLE or (kind in _BY_INDEX and not node.get("Index Cond"))


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    waiting: list[Mapping[str, Any]] = [plan]
    while waiting:
        node = waiting.pop()
        yield node
        below: Sequence[Mapping[str, Any]] = node.get("Plans", ())
        waiting += below
