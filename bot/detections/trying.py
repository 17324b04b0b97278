"""Asks a marketplace what a detection would have found in the days before, without storing any of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.detections.detection import Detection
from bot.detections.engine import Selects, run
from bot.domain.findings import Finding
from bot.domain.subjects import Subject
from bot.market.selecting import Limits

_LONGEST_STEP = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of it: `findings` are news, oldest first; `repeated` would have told nobody anything new."""

    findings: tuple[Finding, ...]
    repeated: int
    runs: int


async def try_out(
    detection: Detection,
    reader: Selects,
    *,
    now: datetime,
    past: timedelta,
    limits: Limits | None = None,
) -> Tried:
    """Run it over the past in steps, each over what moved in it, and keep what people would have been shown.

    The marketplace is asked as it is today: an order that was cancelled since is seen cancelled.

    Raises:
        DetectionFault: it cannot run to its end.
    """
    begin = now - past
    step = min(detection.window, _LONGEST_STEP, past)
    found: dict[tuple[Subject, str], Finding] = {}
    at, runs = begin, 0
    while at < now:
        last, at = at, min(at + step, now)
        runs += 1
        for finding in await run(detection, reader, now=at, changed_since=last, limits=limits):
            if begin <= finding.occurred_at <= at:
                found.setdefault((finding.subject, finding.window_key), finding)
    news = _news(sorted(found.values(), key=lambda finding: (finding.occurred_at, finding.subject)))
    return Tried(findings=tuple(news), repeated=len(found) - len(news), runs=runs)


def _news(findings: Sequence[Finding]) -> list[Finding]:
    """Without those that add nothing to an earlier one about the same, as while its case is open."""
    told: dict[Subject, int] = {}
    news: list[Finding] = []
    for finding in findings:
        amount = finding.amount or 0
        if finding.subject in told and told[finding.subject] >= amount:
            continue
        told[finding.subject] = amount
        news.append(finding)
    return news
