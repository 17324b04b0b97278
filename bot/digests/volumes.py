"""How much there was: cases opened and decided, money held and cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from bot.digests._kit import WEEK, Ask, Section, closing_actions
from bot.domain.digests import Figure, Part, Sentence, count, money, t
from bot.domain.verbs import Verb
from bot.ledger import tallies
from bot.ledger.tallies import Effect


async def read(ask: Ask) -> Part:
    days = ask.days[-1 - WEEK :]
    opened = await tallies.count_opened(ask.conn, days)
    decided = await tallies.count_decided(ask.conn, days, closing_actions())
    effects = await tallies.sum_effects(ask.conn, days, [Verb.HOLD, Verb.CANCEL])
    judged = {day: fraud + good for day, (fraud, good) in decided.items()}
    fraud, good = decided.get(ask.day.day, (0, 0))
    return Part(
        figures=(
            _counted(ask, "cases_opened", t("Cases opened"), opened),
            _counted(ask, "cases_decided", t("Cases decided"), judged),
            *_paid(ask, "money_held", t("Money held"), Verb.HOLD, effects),
            *_paid(ask, "money_cancelled", t("Money cancelled"), Verb.CANCEL, effects),
        ),
        lines=(
            t(
                "Of the cases decided: fraud {fraud}, not fraud {good}.",
                fraud=count(fraud),
                good=count(good),
            ),
        )
        if fraud + good
        else (),
    )


def _counted(ask: Ask, name: str, label: Sentence, by_day: Mapping[date, int]) -> Figure:
    return Figure(
        name=name,
        label=label,
        value=count(by_day.get(ask.day.day, 0)),
        before=count(by_day.get(ask.before, 0)) if ask.before else None,
        week=count(sum(by_day.get(day, 0) for day in ask.week), over=len(ask.week))
        if ask.week
        else None,
    )


def _paid(
    ask: Ask, name: str, label: Sentence, verb: Verb, effects: Sequence[Effect]
) -> Iterator[Figure]:
    """A figure a currency: two currencies are never added. Where no money moved, one without any."""
    sums: dict[str, dict[date, int]] = {}
    for effect in effects:
        if effect.verb == verb and effect.currency:
            sums.setdefault(effect.currency, {})[effect.day] = effect.amount
    for currency, by_day in sorted(sums.items(), key=lambda item: -sum(item[1].values())):
        yield Figure(
            name=f"{name}_{currency.lower()}",
            label=label,
            value=money({currency: by_day.get(ask.day.day, 0)}),
            before=money({currency: by_day.get(ask.before, 0)}) if ask.before else None,
            week=money({currency: sum(by_day.get(day, 0) for day in ask.week)}, over=len(ask.week))
            if ask.week
            else None,
        )
    if not sums:
        yield Figure(name=name, label=label, value=money({}))


SECTION = Section(name="volumes", order=10, title=None, read=read)
