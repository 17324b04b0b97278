"""How often each detection was right in the last thirty days."""

from __future__ import annotations

from datetime import timedelta

from bot.digests._kit import Ask, Section
from bot.domain.digests import Part, count, n, share, t, title
from bot.ledger import feedback, tallies

SHOWN = 10
WINDOW = timedelta(days=30)


async def read(ask: Ask) -> Part:
    until = min(ask.now, ask.day.ends)
    rates = await tallies.hit_rates(ask.conn, since=until - WINDOW, until=until)
    lines = []
    for rate in rates[:SHOWN]:
        right = share(rate.confirmed, rate.decided)
        name = title(rate.title_ja, rate.title_en)
        lines.append(
            t(
                "{title}: no verdicts yet, undecided {undecided}",
                title=name,
                undecided=count(rate.undecided),
            )
            if right is None
            else n(
                "{title}: right in {rate}, {count} verdict, undecided {undecided}",
                "{title}: right in {rate}, {count} verdicts, undecided {undecided}",
                rate.decided,
                title=name,
                rate=right,
                undecided=count(rate.undecided),
            )
        )
    chargebacks = await feedback.read_chargebacks(ask.conn, until - WINDOW, until)
    overturned = await feedback.read_overturned(ask.conn, WINDOW)
    titles = {rate.detection: title(rate.title_ja, rate.title_en) for rate in rates}
    lines += [
        n(
            "{title}: {count} decision overturned",
            "{title}: {count} decisions overturned",
            overturned[name],
            title=titles[name],
        )
        for name in titles
        if overturned.get(name)
    ]
    if chargebacks.count:
        lines.append(
            n(
                "{missed} of {count} chargeback came without any warning of ours",
                "{missed} of {count} chargebacks came without any warning of ours",
                chargebacks.count,
                missed=count(chargebacks.missed),
            )
        )
    if len(rates) > SHOWN:
        lines.append(n("and {count} more", "and {count} more", len(rates) - SHOWN))
    return Part(lines=tuple(lines))


SECTION = Section(name="precision", order=60, title=t("Detections in the last 30 days"), read=read)
