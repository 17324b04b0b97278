"""Draws the figures of all seeds as one text: min, median and max over the seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.campaigns.figures import KindFigures, SeedFigures

HEAD = (
    "kind",
    "campaigns caught",
    "money tried",
    "held or cancelled before shipment",
    "share of it",
    "good orders touched",
    "good accounts suspended",
    "cases decided",
    "order → hold, market minutes",
)


def spread(values: Sequence[float], words: Callable[[float], str] = "{:,.0f}".format) -> str:
    """Min / median / max, or a single value where they are one."""
    if not values:
        return "–"
    low, middle, high = min(values), statistics.median(values), max(values)
    if low == high:
        return words(low)
    return f"{words(low)} / {words(middle)} / {words(high)}"


def draw(results: Sequence[SeedFigures], *, markdown: bool) -> str:
    """The tables, and under them what is known of the runs themselves."""
    parts = [_table(results, lambda r: r.kinds, markdown=markdown)]
    if any(result.rounds for result in results):
        parts.append(_table(results, lambda r: r.rounds, markdown=markdown))
    lags = sorted(lag for result in results for lag in result.lag_minutes)
    if lags:
        parts.append(
            f"From what was found to its finding: p50 {statistics.median(lags):.1f},"
            f" p95 {lags[int(len(lags) * 0.95)]:.1f} market minutes ({len(lags)} findings)."
        )
    parts.append(
        f"Cases a seed: {spread([r.cases for r in results])}; wall seconds a seed:"
        f" {spread([r.seconds for r in results])};"
        f" cases that could not be ended: {sum(len(r.given_up) for r in results)}."
    )
    faults = [f"seed {result.seed}: {fault}" for result in results for fault in result.faults]
    if faults:
        parts.append("\n".join(["!!! THE RUN IS NOT SOUND !!!", *faults]))
    else:
        parts.append(
            "Every seed: effects in the marketplace's ledger = operations that succeeded, none doubled;"
            " the audit log verifies; nothing was logged as an error."
        )
    return "\n\n".join(parts)


def _table(
    results: Sequence[SeedFigures],
    of: Callable[[SeedFigures], Mapping[str, KindFigures]],
    *,
    markdown: bool,
) -> str:
    names = sorted({name for result in results for name in of(result)})
    rows = [_row(name, [of(r).get(name, KindFigures()) for r in results]) for name in names]
    if markdown:
        lines = [HEAD, ("---",) * len(HEAD), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return _aligned([HEAD, *rows])


def _row(name: str, figures: Sequence[KindFigures]) -> tuple[str, ...]:
    shares = [one.stopped / one.tried for one in figures if one.tried]
    minutes = [statistics.median(one.minutes_to_hold) for one in figures if one.minutes_to_hold]
    return (
        name,
        f"{sum(one.caught for one in figures)} of {sum(one.campaigns for one in figures)}",
        spread([one.tried for one in figures]),
        spread([one.stopped for one in figures]),
        spread(shares, "{:.0%}".format),
        spread([one.good_touched for one in figures]),
        spread([one.good_accounts for one in figures]),
        spread([one.cases for one in figures]),
        spread(minutes, "{:.1f}".format),
    )


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    """Blocks of lines, one a kind: nine columns of spreads fit on no terminal."""
    head, *body = list(rows)
    width = max(len(name) for name in head)
    blocks = [
        "\n".join(f"{name:<{width}}  {value}" for name, value in zip(head, row, strict=True))
        for row in body
    ]
    return "\n\n".join(blocks)
