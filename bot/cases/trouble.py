"""What an error of the ledger means for the person whose press it broke."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_LOST_A_RACE = frozenset({"40001", "40P01", "55P03", "P0001"})
"""Serialization, deadlock, a lock that was not given in time, and what a trigger of ours refuses."""


class Trouble(StrEnum):
    AWAY = "away"
    """The ledger does not answer: whether a commit under way came through is not known."""
    CONFLICT = "conflict"
    """A guard of the ledger, or somebody who was quicker: the transaction did nothing."""


def trouble_of(error: BaseException) -> Trouble | None:
    """None: it is no error of the ledger, but a fault of ours."""
    if isinstance(error, IntegrityError):
        return Trouble.CONFLICT
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlstate", None)
        if code in _LOST_A_RACE:
            return Trouble.CONFLICT
        # 08: connections; 53: no room; 57: being stopped; 25006: a replica that only reads.
        gone = error.connection_invalidated or code is None or code[:2] in {"08", "53", "57"}
        return Trouble.AWAY if gone or code == "25006" else None
    if isinstance(error, PoolTimeoutError | OSError | TimeoutError):
        return Trouble.AWAY
    # Before a connection stands, the driver's own errors come through as they are.
    code = getattr(error, "sqlstate", None)
    if isinstance(code, str) and code[:2] in {"08", "53", "57"}:
        return Trouble.AWAY
    return None
