"""Which holds of ours last too long."""

from __future__ import annotations

from bot.digests._kit import LONGEST_HOLD, Ask, Section
from bot.domain.digests import CaseRow, Part, money, n, span, t, text, title
from bot.ledger import tallies
from bot.ledger.tallies import AgedCase

SHOWN = 5


async def read(ask: Ask) -> Part:
    held, total = await tallies.oldest_holds(ask.conn, before=ask.now - LONGEST_HOLD, limit=SHOWN)
    if not held:
        return Part(
            lines=(t("No hold is older than {span}.", span=span(LONGEST_HOLD.total_seconds())),)
        )
    return Part(rows=tuple(_row(ask, case) for case in held), more=total - len(held))


def _row(ask: Ask, case: AgedCase) -> CaseRow:
    values = {
        "title": title(case.title_ja, case.title_en),
        "money": money({currency: amount for amount, currency in case.amounts}),
        "span": span((ask.now - case.since).total_seconds()),
    }
    told = (
        n(
            "{title}: {count} order ({money}) held for {span}, looked after by {name}",
            "{title}: {count} orders ({money}) held for {span}, looked after by {name}",
            case.orders,
            **values,
            name=text(case.assignee),
        )
        if case.assignee
        else n(
            "{title}: {count} order ({money}) held for {span}, looked after by nobody yet",
            "{title}: {count} orders ({money}) held for {span}, looked after by nobody yet",
            case.orders,
            **values,
        )
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
    name="holds", order=30, title=t("Holds past their time"), read=read, present_only=True
)
