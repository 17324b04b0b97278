"""Run one detection when its tick is due and hand its findings to the case room."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime

from bot.cases.health import note_run, note_unreachable
from bot.cases.keeping_lists import hush, lists_in_force
from bot.cases.modes import sort_findings
from bot.cases.opening import open_findings, subjects_of
from bot.cases.ringing import evidence_of
from bot.cases.room import Room
from bot.detections.detection import LEDGER, Detection
from bot.detections.engine import DetectionFault, run
from bot.domain.errors import SayableError
from bot.domain.findings import POSTED, Finding
from bot.domain.modes import Run
from bot.jobs.ticker import Tick
from bot.market.ledger_reader import LedgerReader
from bot.market.read_only import UnreachableError
from bot.market.reader import MarketReader
from bot.market.selecting import Limits

logger = logging.getLogger(__name__)

_LONGEST_ERROR = 500


async def detect(
    room: Room,
    reader: MarketReader,
    detection: Detection,
    tick: Tick,
    *,
    ledger: LedgerReader | None = None,
    limits: Limits | None = None,
) -> datetime:
    """One tick: find, look up what the findings name, open cases. Returns the market's time of the tick,
    which the next one looks back to.

    Args:
        ledger: for a detection over our own ledger.
        limits: what no run may exceed, whatever the detection says itself.
    """
    now = room.clock.now()
    started = time.monotonic()
    try:
        findings = await run(
            detection,
            _reader_of(detection, reader, ledger),
            now=now,
            changed_since=tick.watermark,
            lists=await lists_in_force(room),
            limits=limits,
        )
    except DetectionFault as fault:
        failed = Run(took_ms=_since(started), error=str(fault)[:_LONGEST_ERROR])
        await note_run(room, detection, failed, now)
        raise SayableError(str(fault)) from fault
    except UnreachableError as error:
        await note_unreachable(room, detection, str(error)[:_LONGEST_ERROR])
        raise
    took_ms = _since(started)
    findings = await sort_findings(room, detection, findings, first=tick.watermark is None, now=now)
    findings = await hush(room, detection.name, findings)
    fresh = await open_found(room, reader, detection, findings) if findings else 0
    await note_run(room, detection, Run(took_ms=took_ms, rows=len(findings), fresh=fresh), now)
    return now


async def open_found(
    room: Room, reader: MarketReader, detection: Detection, findings: Sequence[Finding]
) -> int:
    """Look up what the findings name and open cases. Returns how many of the findings were not known."""
    # Of what only the ledger sees nobody asks the marketplace.
    subjects = dict.fromkeys(
        subject
        for finding in findings
        if finding.mode in POSTED
        for subject in subjects_of(finding)
    )
    facts = await reader.facts(list(subjects))
    shared = await evidence_of(room, reader, findings)
    opened = await open_findings(room, findings, facts, shared)
    if opened.new:
        logger.info(
            "%s: %d new findings, %d cases opened, %d joined, %d known already",
            detection.name,
            opened.new,
            opened.opened,
            opened.joined,
            opened.suppressed,
        )
    return opened.new


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)


def _reader_of(
    detection: Detection, reader: MarketReader, ledger: LedgerReader | None
) -> MarketReader | LedgerReader:
    if detection.source != LEDGER:
        return reader
    if ledger is None:
        raise SayableError(
            f"{detection.name} reads our own ledger: set DATABASE_READER_URL and run `mimawari migrate`."
        )
    return ledger
