"""What one seed came to: the playground's score, and beside it what only our ledger knows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from bot.playground.market.score import ORDINARY, Score, read_score
from tests.campaigns.shop import Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFigures:
    """One seed, and whether the run itself was sound."""

    seed: int
    score: Score
    cases: Mapping[str, int]
    """Cases that were decided, by the kind of campaign that most of their members belong to."""
    detections: Mapping[str, Mapping[str, int]]
    """Cases that a detection had a part in, by its name and the case's kind."""
    lag_minutes: Sequence[float]
    """Market minutes from what was found to its finding."""
    given_up: Sequence[str]
    refused: Sequence[str]
    faults: Sequence[str]
    seconds: float
    """By the wall's clock."""

    def as_json(self) -> dict[str, Any]:
        """As `json.dumps` takes it."""
        # `asdict` would rebuild a Counter from pairs, and count the pairs.
        plain = replace(
            self,
            cases=dict(self.cases),
            detections={name: dict(kinds) for name, kinds in self.detections.items()},
        )
        own = {name: value for name, value in asdict(plain).items() if name != "score"}
        return {**own, "score": self.score.as_json()}


async def read_figures(
    shop: Shop,
    *,
    seed: int,
    since: datetime,
    acted_until: datetime,
    seconds: float,
    given_up: Sequence[str],
    refused: Sequence[str],
    faults: Sequence[str],
) -> SeedFigures:
    """Count what was done after `since` and up to `acted_until`, as it stands now."""
    kinds = await _kinds_of_cases(shop)
    decided = await shop.ledger.fetch("SELECT DISTINCT case_id FROM ledger.decisions")
    found = await shop.ledger.fetch(
        "SELECT DISTINCT detection, case_id FROM ledger.findings WHERE case_id IS NOT NULL"
    )
    detections: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in found:
        detections[row["detection"]][kinds.get(row["case_id"], ORDINARY)] += 1
    lags = await shop.ledger.fetch(
        "SELECT extract(epoch FROM found_at - occurred_at)::float / 60 AS lag FROM ledger.findings"
        " WHERE occurred_at > $1",
        since,
    )
    return SeedFigures(
        seed=seed,
        score=await read_score(shop.market, since=since, acted_until=acted_until),
        cases=Counter(kinds.get(row["case_id"], ORDINARY) for row in decided),
        detections={name: dict(counted) for name, counted in sorted(detections.items())},
        lag_minutes=[row["lag"] for row in lags],
        given_up=list(given_up),
        refused=list(refused),
        faults=list(faults),
        seconds=seconds,
    )


async def _kinds_of_cases(shop: Shop) -> dict[int, str]:
    """Which kind of campaign a case is about; a case without any fraud in it is not there."""
    rows = await shop.market.fetch(
        "SELECT subject_kind, subject_id, kind FROM playground.truth WHERE label = 'fraud'"
    )
    truths = {(row["subject_kind"], row["subject_id"]): row["kind"] for row in rows}
    votes: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for row in await shop.ledger.fetch(
        "SELECT case_id, subject_kind, subject_id FROM ledger.case_members"
    ):
        kind = truths.get((row["subject_kind"], row["subject_id"]))
        if kind is not None:
            votes[row["case_id"]][kind] += 1
    return {case_id: counted.most_common(1)[0][0] for case_id, counted in votes.items()}
