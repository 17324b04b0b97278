"""Write the head of the audit log to a file outside the database, so that a rewritten log is noticed."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from bot.cases.room import Room
from bot.domain.errors import SayableError
from bot.jobs.ticker import Tick
from bot.ledger import audit

FILE = "audit-heads.jsonl"


async def anchor_audit(room: Room, folder: Path, _: Tick) -> None:
    """Append one line: when, how many entries, and the whole hash of the last one.

    Raises:
        SayableError: the file cannot be written.
    """
    async with room.engine.connect() as conn:
        seq, head = await audit.read_head(conn)
    line = json.dumps({"at": datetime.now(UTC).isoformat(), "seq": seq, "hash": head})
    try:
        await asyncio.to_thread(_append, folder / FILE, line)
    except OSError as error:
        raise SayableError(
            f"The audit head cannot be written to ANCHOR_DIR ({error.strerror}): make {folder} writable."
        ) from error


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="ascii") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
