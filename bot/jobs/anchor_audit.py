"""Write the head of the audit log to a file outside the database, so that a rewritten log is noticed.

A new file each hour, never one that grows: what lies in a folder with a retention lock cannot be appended to.
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.cases.room import Room
from bot.domain.audit_chain import Anchor, CannotCheck, read_anchors
from bot.domain.errors import SayableError
from bot.jobs.ticker import Tick
from bot.ledger import audit

PREFIX = "audit-head-"
_NAME = f"{PREFIX}%Y%m%dT%H%M%S.%fZ.json"
TOO_OLD = timedelta(hours=2)
"""An anchor is written every hour: when two were missed, somebody must look."""


async def anchor_audit(room: Room, folder: Path, _: Tick) -> None:
    """Every hour; see keep_head."""
    await keep_head(room, folder)


async def keep_head(room: Room, folder: Path) -> None:
    """One file with one line: when, how many entries, the whole hash of the last one, and the anchor before.

    Raises:
        SayableError: the file cannot be written.
    """
    async with room.engine.connect() as conn:
        seq, head = await audit.read_head(conn)
    try:
        await asyncio.to_thread(write_anchor, folder, seq, head, datetime.now(UTC))
    except OSError as error:
        raise SayableError(
            f"The audit head cannot be written to ANCHOR_DIR ({error.strerror}): make {folder} writable."
        ) from error


def write_anchor(folder: Path, seq: int, head: str, at: datetime) -> Path:
    """Write one anchor; its name sorts by time. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    before = newest_anchor(folder)
    line = json.dumps(
        {
            "at": at.isoformat(),
            "seq": seq,
            "hash": head,
            "previous": {"seq": before.seq, "hash": before.hash} if before else None,
        }
    )
    path = folder / at.strftime(_NAME)
    with path.open("x", encoding="ascii") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def newest_anchor(folder: Path) -> Anchor | None:
    """The last anchor of a folder; None where there is none that can be read."""
    for path in sorted(folder.glob(f"{PREFIX}*.json"), reverse=True):
        try:
            return read_anchors([path])[-1]
        except CannotCheck:
            # Half of a file, as after a power cut: the one before it still counts.
            continue
    return None


def check_age(folder: Path, now: datetime) -> str:
    """When the newest anchor was written, in words.

    Raises:
        SayableError: the newest is older than two hours.
    """
    newest = max((path.name for path in folder.glob(f"{PREFIX}*.json")), default=None)
    if newest is None:
        return f"none in {folder} yet: the bot writes one at its start"
    try:
        at = datetime.strptime(newest, _NAME).replace(tzinfo=UTC)
    except ValueError as error:
        raise SayableError(f"ANCHOR_DIR holds {newest}, which is no anchor of ours.") from error
    if now - at > TOO_OLD:
        raise SayableError(
            f"The newest head of the audit log in ANCHOR_DIR is of {at:%Y-%m-%d %H:%M} UTC, and one is due every"
            f" hour: is the bot running, and is {folder} writable?"
        )
    return f"the newest head is of {at:%Y-%m-%d %H:%M} UTC"
