"""How likely a case is fraud, and what waiting would cost: by how right its detections were so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from bot.cases.room import Room
from bot.domain.findings import Severity
from bot.domain.rates import Rates, weight
from bot.ledger import feedback
from bot.ledger.feedback import Rank, Unranked

PAST = timedelta(days=90)
"""How far back decisions count: fraud changes."""
PRIOR: Mapping[Severity, float] = {Severity.P1: 0.7, Severity.P2: 0.5, Severity.P3: 0.3}
"""What a detection of a severity is believed before anything of it was decided."""
PRIOR_CASES = 8
"""As many decided cases as that belief weighs (a Beta prior)."""
FURTHER = 0.5
"""What each further detection adds, as a power of its doubt: detections see much of the same."""
_SURE = 0.99


def precision_of(severity: Severity, verdicts: tuple[int, int]) -> float:
    """How often a detection is right: its prior, moved by (fraud, good) decided cases."""
    fraud, good = verdicts
    return (fraud + PRIOR[severity] * PRIOR_CASES) / (fraud + good + PRIOR_CASES)


def probability_of(
    told_by: Sequence[tuple[str, Severity]], verdicts: Mapping[str, tuple[int, int]]
) -> float:
    """That a case is fraud: the strongest of its detections, and something for each further one.

    A case that somebody opened by hand is believed as a P2.
    """
    rates = sorted(
        (precision_of(severity, verdicts.get(name, (0, 0))) for name, severity in told_by),
        reverse=True,
    ) or [PRIOR[Severity.P2]]
    doubt = 1 - min(rates[0], _SURE)
    for rate in rates[1:]:
        doubt *= (1 - min(rate, _SURE)) ** FURTHER
    return 1 - doubt


def rank_of(case: Unranked, verdicts: Mapping[str, tuple[int, int]], rates: Rates) -> Rank:
    """Where a case stands: sums of several currencies are compared by the policy's rates, never added."""
    probability = probability_of(case.told_by, verdicts)
    dearest = max((weight(amount, code, rates) for amount, code in case.amounts), default=0)
    return Rank(
        case_id=case.case_id,
        probability=round(probability, 4),
        expected_loss=max(0, round(probability * dearest)),
        leaves_at=case.leaves_at,
    )


async def rank_cases(room: Room) -> int:
    """Count the ranks of all open cases anew. Returns how many there are."""
    async with room.engine.begin() as conn:
        verdicts = await feedback.read_verdicts(conn, room.clock.now(), PAST)
        unranked = await feedback.read_unranked(conn)
        rates = room.policy.file.sort_rates
        await feedback.store_ranks(conn, [rank_of(case, verdicts, rates) for case in unranked])
    return len(unranked)
