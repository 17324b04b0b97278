"""What an error of the ledger means for the person whose press it broke."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_LOST_A_RACE = frozenset({"40001", "40P01", "55P03", "P0001"})
"""Serialization, deadlock, a lock that was not given in time, and what a trigger of ours refuses."""
_OUR_FAULT = ("0A", "21", "22", "39", "42")
"""Classes of what a wrong statement or a wrong value gets."""


class Trouble(StrEnum):
    AWAY = "away"
    """The ledger does not answer: whether a commit under way came through is not known."""
    CONFLICT = "conflict"
    """A guard of the ledger, or somebody who was quicker: the transaction did nothing."""


def trouble_of(error: BaseException) -> Trouble | None:
    """None: it is no error of the ledger, but a fault of ours."""
    if isinstance(error, IntegrityError):
        return Trouble.CONFLICT
    if isinstance(error, PoolTimeoutError | OSError | TimeoutError):
        return Trouble.AWAY
    # Before a connection stands, the driver's own errors come through as they are.
    code = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    if code in _LOST_A_RACE:
        return Trouble.CONFLICT
    if isinstance(code, str):
        return None if code.startswith(_OUR_FAULT) else Trouble.AWAY
    return Trouble.AWAY if isinstance(error, InterfaceError | OperationalError) else None


def is_away(error: BaseException) -> bool:
    """Whether a database stopped answering, in a place where a file that is missing must not be taken for it."""
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        return False
    return trouble_of(error) is Trouble.AWAY
