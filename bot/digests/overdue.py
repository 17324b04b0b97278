"""Which open cases are past their time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from bot.digests._kit import LONGEST_HOLD, Ask, Section
from bot.domain.cases import CaseState
from bot.domain.digests import CaseRow, Part, money, span, t, text, title, words
from bot.domain.findings import Severity
from bot.ledger import tallies
from bot.ledger.tallies import AgedCase
from bot.locale import N_

SHOWN = 5
TIME: Mapping[Severity, timedelta] = {
    Severity.P1: timedelta(minutes=15),
    Severity.P2: timedelta(hours=24),
    Severity.P3: timedelta(days=7),
}
"""What the severities promise; of those for information nobody must wait a week."""

_STATES = {
    CaseState.OPEN: N_("open"),
    CaseState.AWAITING_APPROVAL: N_("waiting for approval"),
    CaseState.EXECUTING: N_("under way"),
    CaseState.PARTLY_DONE: N_("not complete"),
}


async def read(ask: Ask) -> Part:
    cases, total = await tallies.oldest_cases(
        ask.conn,
        before={severity: ask.now - time for severity, time in TIME.items()},
        held_before=ask.now - LONGEST_HOLD,
        limit=SHOWN,
    )
    if not cases:
        return Part(lines=(t("No open case is past its time."),))
    return Part(rows=tuple(_row(ask, case) for case in cases), more=total - len(cases))


def _row(ask: Ask, case: AgedCase) -> CaseRow:
    values = {
        "title": title(case.title_ja, case.title_en),
        "money": money({currency: amount for amount, currency in case.amounts}),
        "state": words(_STATES.get(case.state, _STATES[CaseState.OPEN])),
        "span": span((ask.now - case.since).total_seconds()),
    }
    told = (
        t(
            "{title} ({money}): {state} for {span}, looked after by {name}",
            **values,
            name=text(case.assignee),
        )
        if case.assignee
        else t("{title} ({money}): {state} for {span}, looked after by nobody yet", **values)
    )
    return CaseRow(
        case_id=case.case_id,
        version=case.version,
        severity=case.severity,
        told=told,
        channel=case.channel,
        message_ts=case.message_ts,
    )


SECTION = Section(
    name="overdue", order=40, title=t("Cases past their time"), read=read, present_only=True
)
