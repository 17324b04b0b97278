"""Draws the figures of all seeds as one text: min / median / max over the seeds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from bot.playground.market.score import Tally
from tests.campaigns.figures import SeedFigures

ABUSE = frozenset({"refund_abuse"})
"""Its orders are honest when they come: what is wrong is the refund that is asked for later."""

Column: TypeAlias = tuple[str, Callable[[Sequence[Tally]], str]]

Words: TypeAlias = Callable[[float], str]


def spread(values: Sequence[float], words: Words = "{:,.0f}".format) -> str:
    """Min / median / max, or a single value where they are one."""
    if not values:
        return "–"
    low, middle, high = min(values), statistics.median(values), max(values)
    if words(low) == words(high):
        return words(low)
    return f"{words(low)} / {words(middle)} / {words(high)}"


def _each(of: Callable[[Tally], float], words: Words = "{:,.0f}".format) -> Callable[..., str]:
    return lambda tallies: spread([of(one) for one in tallies], words)


def _share(part: Callable[[Tally], float], whole: Callable[[Tally], float]) -> Callable[..., str]:
    return lambda tallies: spread(
        [part(one) / whole(one) for one in tallies if whole(one)], "{:.0%}".format
    )


def _median(of: Callable[[Tally], Sequence[float]]) -> Callable[..., str]:
    return lambda tallies: spread(
        [statistics.median(of(one)) for one in tallies if of(one)], "{:,.0f}".format
    )


def _caught(tallies: Sequence[Tally]) -> str:
    return f"{sum(t.caught for t in tallies)} of {sum(t.campaigns for t in tallies)}"


MONEY: tuple[Column, ...] = (
    ("campaigns caught", _caught),
    ("money tried", _each(lambda t: t.tried)),
    ("held or cancelled before shipment", _each(lambda t: t.stopped_before_shipment)),
    ("share of it", _share(lambda t: t.stopped_before_shipment, lambda t: t.tried)),
    ("later, before payout", _each(lambda t: t.stopped_before_payout)),
    ("lost", _each(lambda t: t.lost)),
    ("open at the end", _each(lambda t: t.open)),
    ("good orders touched", _each(lambda t: t.good_orders_touched)),
)
HARM: tuple[Column, ...] = (
    ("order → hold, minutes", _median(lambda t: t.minutes_to_touch)),
    ("account's first act → suspended, minutes", _median(lambda t: t.minutes_to_stop)),
    ("accounts suspended", _share(lambda t: t.accounts_stopped, lambda t: t.accounts)),
    ("posts removed", _share(lambda t: t.posts_removed, lambda t: t.posts)),
    ("listings taken down or hidden", _share(lambda t: t.listings_removed, lambda t: t.listings)),
    ("money of orders that never came", _each(lambda t: t.never_came)),
    ("good accounts suspended", _each(lambda t: t.good_accounts_stopped)),
    ("money of good orders touched", _each(lambda t: t.good_money_touched)),
)
ROUNDS: tuple[Column, ...] = (
    ("campaigns caught", _caught),
    ("money tried", _each(lambda t: t.tried)),
    (
        "stopped before shipment or payout",
        _share(lambda t: t.stopped_before_shipment + t.stopped_before_payout, lambda t: t.tried),
    ),
    ("lost", _each(lambda t: t.lost)),
    ("order → hold, minutes", _median(lambda t: t.minutes_to_touch)),
    ("accounts suspended", _share(lambda t: t.accounts_stopped, lambda t: t.accounts)),
)


def draw(results: Sequence[SeedFigures], *, markdown: bool) -> str:
    """The tables, and under them what is known of the runs themselves."""
    write = _markdown if markdown else _aligned
    kinds = sorted({kind for result in results for kind in result.score.kinds})
    tallies: dict[tuple[str, ...], list[Tally]] = {
        (kind,): [r.score.kinds[kind] for r in results if kind in r.score.kinds] for kind in kinds
    }
    rounds: dict[tuple[str, ...], list[Tally]] = {}
    for result in results:
        for kind, numbered in result.score.rounds.items():
            for number, tally in numbered.items():
                rounds.setdefault((kind, str(number)), []).append(tally)
    parts = [
        write(
            (
                "all of it",
                "money held or cancelled before shipment",
                "precision by orders",
                "precision by money",
            ),
            [_whole(results, "every kind"), _whole(results, "without refund abuse", ABUSE)],
        ),
        write(("kind", *_names(MONEY)), _rows(tallies, MONEY)),
        write(("kind", *_names(HARM)), _rows(tallies, HARM)),
        write(("kind", "round", *_names(ROUNDS)), _rows(dict(sorted(rounds.items())), ROUNDS)),
        write(("kind", "cases decided"), _case_rows(results)),
        write(("detection", "its cases, over all seeds"), _detection_rows(results)),
        *_runs(results),
    ]
    return "\n\n".join(part for part in parts if part)


def _whole(
    results: Sequence[SeedFigures], name: str, without: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Over all kinds, of each seed; good orders count against every row, whoever's campaign they came into."""
    held, by_orders, by_money = [], [], []
    for result in results:
        kinds = result.score.kinds
        fraud = [tally for kind, tally in kinds.items() if kind not in without]
        tried = sum(tally.tried for tally in fraud)
        stopped = sum(tally.stopped_before_shipment for tally in fraud)
        orders = sum(tally.orders_stopped for tally in fraud)
        good = sum(tally.good_orders_touched for tally in kinds.values())
        good_money = sum(tally.good_money_touched for tally in kinds.values())
        if tried:
            held.append(stopped / tried)
        if orders + good:
            by_orders.append(orders / (orders + good))
        if stopped + good_money:
            by_money.append(stopped / (stopped + good_money))
    return name, *(spread(shares, "{:.1%}".format) for shares in (held, by_orders, by_money))


def _names(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(name for name, _ in columns)


def _rows(
    tallies: Mapping[tuple[str, ...], Sequence[Tally]], columns: Sequence[Column]
) -> list[tuple[str, ...]]:
    return [(*key, *(write(those) for _, write in columns)) for key, those in tallies.items()]


def _case_rows(results: Sequence[SeedFigures]) -> list[tuple[str, ...]]:
    kinds = sorted({kind for result in results for kind in result.cases})
    return [(kind, spread([r.cases.get(kind, 0) for r in results])) for kind in kinds]


def _detection_rows(results: Sequence[SeedFigures]) -> list[tuple[str, ...]]:
    total: dict[str, Counter[str]] = {}
    for result in results:
        for name, counted in result.detections.items():
            total.setdefault(name, Counter()).update(counted)
    return [
        (name, ", ".join(f"{kind} {n}" for kind, n in counted.most_common()))
        for name, counted in sorted(total.items())
    ]


def _runs(results: Sequence[SeedFigures]) -> Iterable[str]:
    lags = sorted(lag for result in results for lag in result.lag_minutes)
    if lags:
        yield (
            f"From what was found to its finding: p50 {statistics.median(lags):.1f},"
            f" p95 {lags[int(len(lags) * 0.95)]:.1f} market minutes ({len(lags)} findings)."
        )
    cases = spread([sum(result.cases.values()) for result in results])
    given_up = sum(len(result.given_up) for result in results)
    yield (
        f"{len(results)} seeds; cases decided in each: {cases}; cases that could not be ended: {given_up};"
        f" seconds by the wall: {spread([result.seconds for result in results])}."
    )
    left = Counter(told.partition(" ")[2] for r in results for told in (*r.given_up, *r.refused))
    if left:
        yield "Could not be ended or sent: " + ", ".join(f"{why} {n}" for why, n in left.items())
    faults = [f"seed {result.seed}: {fault}" for result in results for fault in result.faults]
    if faults:
        yield "\n".join(["!!! THE RUN IS NOT SOUND !!!", *faults])
    else:
        yield (
            "Sound in every seed: the marketplace's own ledger holds exactly our succeeded operations, none"
            " doubled; the audit log verifies; no error was logged; nothing is left under way."
        )


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A block of lines for each row: so many columns of spreads fit on no terminal."""
    width = max(len(name) for name in head)
    return "\n\n".join(
        "\n".join(f"{name:<{width}}  {value}" for name, value in zip(head, row, strict=True))
        for row in rows
    )
