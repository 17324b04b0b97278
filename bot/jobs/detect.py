"""Run one detection when its tick is due and hand its findings to the case room."""

from __future__ import annotations

import logging
from datetime import datetime

from bot.cases.opening import open_findings, subjects_of
from bot.cases.room import Room
from bot.detections.detection import LEDGER, Detection
from bot.detections.engine import DetectionFault, run
from bot.domain.errors import SayableError
from bot.domain.findings import Mode
from bot.jobs.ticker import Tick
from bot.market.ledger_reader import LedgerReader
from bot.market.reader import MarketReader
from bot.market.selecting import Limits

logger = logging.getLogger(__name__)


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
    try:
        findings = await run(
            detection,
            _reader_of(detection, reader, ledger),
            now=now,
            changed_since=tick.watermark,
            limits=limits,
        )
    except DetectionFault as fault:
        raise SayableError(str(fault)) from fault
    if not findings:
        return now
    # Of what only the ledger sees nobody asks the marketplace.
    subjects = dict.fromkeys(
        subject
        for finding in findings
        if finding.mode is not Mode.SHADOW
        for subject in subjects_of(finding)
    )
    facts = await reader.facts(list(subjects))
    opened = await open_findings(room, findings, facts)
    if opened.new:
        logger.info(
            "%s: %d new findings, %d cases opened, %d joined, %d known already",
            detection.name,
            opened.new,
            opened.opened,
            opened.joined,
            opened.suppressed,
        )
    return now


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
