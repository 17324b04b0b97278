"""Says in a log what failed and where, without a word that an error was given."""

from __future__ import annotations

import traceback


def traced(error: BaseException) -> str:
    """The kinds of an error and of its causes, and the places that it came through.

    Never its text: a database quotes rows in it, and a parser what it could not read. Of a database's error its
    code and the guard that it names are told, which hold nothing from outside.
    """
    told: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(told) < 6:
        places = " > ".join(
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(seen.__traceback__)[-8:]
        )
        known = [
            str(value)
            for value in (getattr(seen, "sqlstate", None), getattr(seen, "constraint_name", None))
            if value
        ]
        told.append(" ".join([type(seen).__name__, *known, *([f"({places})"] if places else [])]))
        seen = seen.__cause__ or seen.__context__
    return ", from ".join(told)
