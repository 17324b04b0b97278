"""Domain values to JSON columns and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", kind))


def to_json(value: object, kind: Hashable) -> str:
    """The JSON text of a value, for a jsonb column."""
    return _adapter(kind).dump_json(value).decode()


def from_json(column: object, kind: type[T]) -> T:
    """The value that a jsonb column (as asyncpg or SQLAlchemy hands it over) holds."""
    if isinstance(column, str | bytes):
        return cast("T", _adapter(cast("Hashable", kind)).validate_json(column))
    return cast("T", _adapter(cast("Hashable", kind)).validate_python(column))


def canonical_hash(value: object) -> str:
    """SHA-256 of plain JSON values, the same whatever the order of their keys."""
    body = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(body.encode()).hexdigest()
