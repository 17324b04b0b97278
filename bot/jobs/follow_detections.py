"""Take up what changed in the folders of detections, and tell of it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from bot.cases.room import POSTS, Room
from bot.detections.detection import Problem
from bot.detections.following import FolderChange
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.notices import Notice, NoticeKind
from bot.ledger import audit, posts

logger = logging.getLogger(__name__)

_LINES = 12
_AGAIN_S = 600
"""Processes that see the same change within this time tell it once; later it is news again."""


async def tell_change(room: Room, change: FolderChange) -> None:
    """Say in the channel and the log what came, changed, went and was refused; once for all processes."""
    lines = [
        *(f"+ {name}" for name in change.added),
        *(f"~ {name}" for name in change.changed),
        *(f"- {name}" for name in change.removed),
    ]
    hashes = {detection.name: detection.hash for detection in change.loaded.detections}
    if lines:
        logger.info("the detections have changed: %s", ", ".join(lines))
        notice = Notice(
            kind=NoticeKind.DETECTION_FILES, detail="changed", lines=tuple(_shortened(lines))
        )
        changed = {name: hashes.get(name) for name in (*change.added, *change.changed)}
        await _tell(room, notice, {"changed": changed, "removed": list(change.removed)}, lines)
    if change.refused:
        await _tell_refused(room, change.refused, kept=change.kept)


async def _tell_refused(room: Room, problems: Sequence[Problem], *, kept: Sequence[str]) -> None:
    """Say which files are refused, where in them and what to do."""
    for problem in problems:
        logger.error("a detection was left out: %s", problem.sentence)
    lines = [f"{problem.path.name}:{problem.line}: {problem.message}" for problem in problems]
    notice = Notice(
        kind=NoticeKind.DETECTION_FILES,
        detail="refused",
        lines=tuple(_shortened(lines)),
        names=tuple(kept),
    )
    await _tell(room, notice, {"refused": _shortened(lines), "kept": list(kept)}, lines)


def _shortened(lines: Sequence[str]) -> list[str]:
    """As many as a card has room for, and how many more there are."""
    more = len(lines) - _LINES
    return [*lines[:_LINES], *([f"… +{more}"] if more > 0 else [])]


async def _tell(
    room: Room, notice: Notice, details: dict[str, object], lines: Sequence[str]
) -> None:
    digest = hashlib.sha256("\n".join([*lines, str(details)]).encode()).hexdigest()[:16]
    # By the wall clock: the files are ours, whatever the market's clock says.
    bucket = int(datetime.now(UTC).timestamp() // _AGAIN_S)
    async with room.engine.begin() as conn:
        news = await posts.queue_notice(
            conn,
            notice,
            channel=room.loud_channel,
            dedupe_key=f"detection_files:{digest}:{bucket}",
        )
        if news:
            await audit.append(
                conn,
                [AuditEntry(actor="detections", tag=AuditTag.DETECTION_FILES, details=details)],
            )
    if news:
        room.bell.ring(POSTS)
