"""Propose another mode of a detection, and see what each detection is and was worth."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.agreeing import agree
from bot.cases.modes import results_of
from bot.cases.policy import judge_step
from bot.cases.proposing import (
    Answered,
    expire,
    judge_proposal_step,
    propose,
    proposed_entry,
    supersede,
)
from bot.cases.room import POSTS, Room, deny, know
from bot.detections.detection import Detection
from bot.detections.redash_map import REDASH
from bot.domain.audit import AuditEntry
from bot.domain.findings import Mode
from bot.domain.modes import ModeRow, Results, Standing
from bot.domain.proposals import Proposal, ProposalKind
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import SubjectKind
from bot.ledger import audit, feedback, modes, proposals

MEASURED_DAYS = 90
"""Over how many days a precision is told where the policy does not say."""
MAX_REASON = 300


async def standings(
    room: Room, user_id: str, detections: Collection[Detection]
) -> list[Standing] | Refusal:
    """Every detection as it is now, those with trouble first, for somebody who may see cases."""
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person if isinstance(person, Refusal) else judge_step(room.policy, "details", person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="rules", case_id=None)
        now = room.clock.now()
        rows = await modes.read_modes(conn)
        week = await modes.read_results(conn, now - timedelta(days=7), 7)
        days = _days(room)
        precise = await modes.read_results(conn, now - timedelta(days=days), days)
        runs = await modes.last_good_runs(conn)
        troubles = await modes.read_troubles(conn)
        chargebacks = await feedback.read_chargebacks(conn, now - timedelta(days=days), now)
        overturned = await feedback.read_overturned(conn, timedelta(days=days))
    found = []
    for detection in detections:
        row = rows.get(detection.name)
        good_at, error = runs.get(detection.name, (None, None))
        found.append(
            Standing(
                name=detection.name,
                title_ja=detection.title.ja,
                title_en=detection.title.en,
                severity=detection.severity.value,
                mode=row.mode if row is not None else detection.mode,
                row=row,
                week=week.get(detection.name, Results(days=7)),
                precise=precise.get(detection.name, Results(days=days)),
                last_good_at=good_at,
                last_error=error,
                troubles=tuple(troubles.get(detection.name, {})),
                overturned=overturned.get(detection.name, 0),
                warned=chargebacks.warned_by.get(detection.name, 0),
                chargebacks=chargebacks.count if detection.subject is SubjectKind.ORDER else None,
            )
        )
    return sorted(found, key=lambda one: (not one.troubles, one.severity, one.name))


async def propose_mode(
    room: Room, user_id: str, detection: Detection, mode: Mode, reason: str
) -> Answered | Refusal:
    """Ask another person to put a detection into a mode; where somebody has asked for the same, agree."""
    reason = reason.strip()[:MAX_REASON]
    async with room.engine.begin() as conn:
        person = await know(conn, room, user_id)
        refusal = (
            person
            if isinstance(person, Refusal)
            else judge_proposal_step(room, ProposalKind.MODE, person)
        )
        if refusal is not None:
            return await deny(conn, user_id, refusal, action="mode", case_id=None)
        asked = await _ask(conn, room, detection, mode, reason, by=user_id)
    if isinstance(asked, Proposal):
        return await agree(room, user_id, asked.proposal_id)
    room.bell.ring(POSTS)
    return asked


async def _ask(
    conn: AsyncConnection, room: Room, detection: Detection, mode: Mode, reason: str, *, by: str
) -> Answered | Proposal | Refusal:
    """A new proposal as what came of it, or the one of somebody else that stands already."""
    await modes.lock_modes(conn, detection.name)
    row = (await modes.read_modes(conn, [detection.name])).get(detection.name)
    present = row.mode if row is not None else detection.mode
    if present is mode and (mode is not Mode.AUTOMATIC or row is None or _is_for(row, detection)):
        return Refusal(code=RefusalCode.SAME_MODE, detail=mode.value)
    if not reason:
        return Refusal(code=RefusalCode.NO_REASON, count=1)
    results = await results_of(conn, detection.name, room.clock.now(), _days(room))
    if mode is Mode.AUTOMATIC:
        if detection.source == REDASH:
            return Refusal(code=RefusalCode.ONLY_PEOPLE)
        refusal = judge_automatic(room, results)
        if refusal is not None:
            return refusal
    entries: list[AuditEntry] = []
    known = await proposals.open_about(conn, ProposalKind.MODE, detection.name)
    if known is not None:
        if await proposals.is_over(conn, known):
            entries += await expire(conn, room, known)
        elif (
            known.proposed_by != by
            and known.body.get("mode") == mode.value
            and known.body.get("file_hash") == detection.hash
        ):
            return known
        else:
            entries += await supersede(conn, room, known)
    proposal = await propose(
        conn,
        room,
        kind=ProposalKind.MODE,
        about=detection.name,
        body={
            "action": detection.name,
            "mode": mode.value,
            "from": present.value,
            "file_hash": detection.hash,
            "reason": reason,
            "title_ja": detection.title.ja,
            "title_en": detection.title.en,
            "counts": {
                "days": results.days,
                "findings": results.findings,
                "fraud": results.fraud,
                "good": results.good,
            },
        },
        by=by,
    )
    if proposal is None:
        return Refusal(code=RefusalCode.CONFLICT)
    told = replace(proposed_entry(proposal), private={"reason": reason})
    await audit.append(conn, [*entries, told])
    return Answered(proposal=proposal, missing=proposal.approvals_needed)


def judge_automatic(room: Room, results: Results) -> Refusal | None:
    """Whether what a detection has shown is enough for the policy to let it act by itself."""
    rule = room.policy.file.automatic
    if rule is None:
        return Refusal(code=RefusalCode.NO_AUTOMATIC)
    precision = results.precision
    if results.decided >= rule.decided and precision is not None and precision >= rule.precision:
        return None
    return Refusal(
        code=RefusalCode.NOT_PROVEN,
        amount=results.decided,
        count=rule.decided,
        detail=f"{100 * rule.precision:g}",
        reason=None if precision is None else f"{100 * precision:.0f}",
    )


def _is_for(row: ModeRow, detection: Detection) -> bool:
    return row.file_hash == detection.hash


def _days(room: Room) -> int:
    rule = room.policy.file.automatic
    return rule.days if rule is not None else MEASURED_DAYS
