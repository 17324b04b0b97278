"""How far each detection is trusted now: its mode, what that makes of a finding, and the brakes that lower it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.room import POSTS, Room, group_ids
from bot.detections.detection import Detection
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.findings import POSTED, Finding, Mode
from bot.domain.modes import Cause, ModeRow, Results
from bot.domain.notices import Notice, NoticeKind
from bot.domain.proposals import Proposal
from bot.domain.subjects import Subject
from bot.ledger import audit, cases, modes, posts
from bot.ledger.findings import key_of

LEAST_BAND = 20
"""So few findings a day are no flood, whatever was usual."""
BAND = 5
"""So many times the most of any day before is one."""
BAND_DAYS = 3.0
"""What is usual is known after so many days."""
LEAST_OVERTURNED = 5
"""So many of its own acts must have been decided before a detection in automatic is judged by them."""


async def sort_findings(
    room: Room, detection: Detection, found: Sequence[Finding], *, first: bool, now: datetime
) -> tuple[Finding, ...]:
    """Give each finding the mode that it is stored with, and pull the brakes of the detection where it is time.

    Args:
        first: the detection has never run well before.
        now: the market's time of the run.
    """
    async with room.engine.begin() as conn:
        row = (await modes.read_modes(conn, [detection.name])).get(detection.name)
        mode = row.mode if row is not None else detection.mode
        entries: list[AuditEntry] = []
        cause = await _cause_to_lower(conn, room, detection, row, now)
        if cause is not None:
            mode = Mode.REVIEW if cause is Cause.FILE_CHANGED else Mode.SHADOW
            entries += await _lower(conn, room, detection, mode, cause, now)
        elif mode is Mode.REVIEW and room.policy.file.automatic is not None:
            # Only what the policy says of all, and only holds.
            mode = Mode.AUTOMATIC if room.policy.file.automatic.every_detection else mode
        told = [
            replace(finding, mode=_mode_of(detection, finding, mode, first=first, now=now))
            for finding in found
        ]
        if told:
            known = await modes.known_keys(conn, told)
            new = [finding for finding in told if key_of(finding) not in known]
            old = [finding for finding in new if finding.mode is Mode.BASELINE]
            if old:
                entries.append(await _tell_baseline(conn, room, detection, len(old)))
            told, pulled = await _after_flood(conn, room, detection, told, new, row, now)
            entries += pulled
        if entries:
            await audit.append(conn, entries)
    if entries:
        room.bell.ring(POSTS)
    return tuple(told)


def is_control(detection: str, subject: Subject, percent: int) -> bool:
    """Whether a subject is one of those that are kept silent: always the same ones, and nobody can choose which."""
    told = f"{detection}:{subject.kind}:{subject.id}"
    return int(hashlib.sha256(told.encode()).hexdigest()[:8], 16) % 100 < percent


def _mode_of(
    detection: Detection, finding: Finding, mode: Mode, *, first: bool, now: datetime
) -> Mode:
    if first and finding.occurred_at < now - detection.baseline:
        return Mode.BASELINE
    if mode in POSTED and is_control(detection.name, finding.subject, detection.control_percent):
        return Mode.CONTROL
    return mode


async def _cause_to_lower(
    conn: AsyncConnection, room: Room, detection: Detection, row: ModeRow | None, now: datetime
) -> Cause | None:
    """Why a detection in automatic must not be that any more, if so."""
    if row is None or row.mode is not Mode.AUTOMATIC:
        return None
    if row.file_hash != detection.hash:
        return Cause.FILE_CHANGED
    rule = room.policy.file.automatic
    if rule is None:
        return None
    since = max(row.market_at, now - timedelta(days=rule.days))
    results = await modes.read_automatic_results(conn, detection.name, since, rule.days)
    if results.decided < LEAST_OVERTURNED or results.precision is None:
        return None
    return Cause.OVERTURNED if results.precision < rule.precision else None


async def _after_flood(
    conn: AsyncConnection,
    room: Room,
    detection: Detection,
    told: list[Finding],
    new: Sequence[Finding],
    row: ModeRow | None,
    now: datetime,
) -> tuple[list[Finding], list[AuditEntry]]:
    """What is over the most of a day is stored in shadow, and so is everything from then on."""
    shown = [finding for finding in new if finding.mode in POSTED]
    if not shown:
        return told, []
    past = await modes.read_past(
        conn, detection.name, now, since=row.market_at if row is not None else None
    )
    band = max(LEAST_BAND, BAND * past.most) if past.days >= BAND_DAYS else detection.daily_cap
    room_left = max(min(detection.daily_cap, band) - past.today, 0)
    if len(shown) <= room_left:
        return told, []
    # The dearest are still seen: a flood must not hide what matters.
    by_worth = sorted(shown, key=lambda one: (-(one.amount or 0), one.occurred_at))
    over = {key_of(finding) for finding in by_worth[room_left:]}
    cause = Cause.FLOOD if detection.daily_cap <= band else Cause.BAND
    entries = await _lower(
        conn, room, detection, Mode.SHADOW, cause, now, count=past.today + len(shown)
    )
    return [
        replace(finding, mode=Mode.SHADOW) if key_of(finding) in over else finding
        for finding in told
    ], entries


async def _lower(
    conn: AsyncConnection,
    room: Room,
    detection: Detection,
    mode: Mode,
    cause: Cause,
    now: datetime,
    *,
    count: int = 0,
) -> list[AuditEntry]:
    """Take trust from a detection, once, and say so loudly."""
    actor = f"detection:{detection.name}"
    await modes.lock_modes(conn, detection.name)
    row = (await modes.read_modes(conn, [detection.name])).get(detection.name)
    if row is not None and (row.mode, row.cause) == (mode, cause):
        return []
    mode_id = await modes.insert_mode(
        conn,
        detection.name,
        mode,
        file_hash=detection.hash,
        cause=cause,
        market_at=now,
        proposed_by=actor,
    )
    rule = room.policy.file.actions.get("mode")
    await posts.queue_notice(
        conn,
        replace(
            about(detection, cause.value, mode=mode, count=count),
            groups=await group_ids(conn, room.policy.groups_of(rule.request if rule else ())),
        ),
        channel=room.channel,
        dedupe_key=f"mode:{mode_id}",
    )
    return [
        AuditEntry(
            actor=actor,
            tag=AuditTag.MODE_LOWERED,
            details={
                "mode": mode.value,
                "cause": cause.value,
                "file_hash": detection.hash,
                **({"count": count} if count else {}),
            },
        )
    ]


async def _tell_baseline(
    conn: AsyncConnection, room: Room, detection: Detection, count: int
) -> AuditEntry:
    await posts.queue_notice(
        conn,
        about(detection, "baseline", count=count),
        channel=room.channel,
        dedupe_key=f"baseline:{detection.name}",
    )
    return AuditEntry(
        actor=f"detection:{detection.name}", tag=AuditTag.BASELINE_TAKEN, details={"count": count}
    )


def about(detection: Detection, what: str, *, mode: Mode | None = None, count: int = 0) -> Notice:
    """Something that the channel must know of a detection."""
    return Notice(
        kind=NoticeKind.DETECTION,
        detail=what,
        by=f"detection:{detection.name}",
        title_ja=detection.title.ja,
        title_en=detection.title.en,
        mode=mode.value if mode is not None else None,
        count=count,
    )


async def set_mode_by(
    conn: AsyncConnection, room: Room, proposal: Proposal
) -> Sequence[AuditEntry]:
    """Give a detection the mode that two people agreed on; the caller appends the entries."""
    await modes.lock_modes(conn, proposal.about)
    mode = Mode(str(proposal.body["mode"]))
    file_hash = str(proposal.body["file_hash"])
    approver = proposal.approved_by[-1]
    mode_id = await modes.insert_mode(
        conn,
        proposal.about,
        mode,
        file_hash=file_hash,
        cause=Cause.APPROVED,
        market_at=room.clock.now(),
        proposed_by=proposal.proposed_by,
        approved_by=approver,
        proposal_id=proposal.proposal_id,
    )
    names = await cases.read_names(conn, {proposal.proposed_by, approver})
    await posts.queue_notice(
        conn,
        Notice(
            kind=NoticeKind.DETECTION,
            detail=Cause.APPROVED.value,
            by=f"detection:{proposal.about}",
            title_ja=str(proposal.body.get("title_ja") or ""),
            title_en=str(proposal.body.get("title_en") or ""),
            mode=mode.value,
            names=tuple(names.get(one, one) for one in (proposal.proposed_by, approver)),
        ),
        channel=room.channel,
        dedupe_key=f"mode:{mode_id}",
    )
    return [
        AuditEntry(
            actor=approver,
            tag=AuditTag.MODE_SET,
            details={
                "detection": proposal.about,
                "mode": mode.value,
                "file_hash": file_hash,
                "proposal": proposal.proposal_id,
                "proposed_by": proposal.proposed_by,
                "approved_by": approver,
            },
        )
    ]


async def results_of(conn: AsyncConnection, detection: str, now: datetime, days: int) -> Results:
    """What a detection found in so many days, and what people judged of it."""
    found = await modes.read_results(conn, now - timedelta(days=days), days)
    return found.get(detection, Results(days=days))
