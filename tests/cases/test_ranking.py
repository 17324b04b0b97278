from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.cases.ranking import PRIOR, PRIOR_CASES, precision_of, probability_of, rank_of
from bot.domain.findings import Severity
from bot.ledger.feedback import Unranked

P1, P2, P3 = Severity.P1, Severity.P2, Severity.P3


def a_case(**changes: object) -> Unranked:
    return Unranked(
        **{"case_id": 1, "told_by": (("one", P2),), "amounts": ((1000, "JPY"),), "leaves_at": None}
        | changes  # type: ignore[arg-type]
    )


def test_before_anything_was_decided_a_detection_is_believed_by_its_severity() -> None:
    assert precision_of(P1, (0, 0)) == PRIOR[P1]
    assert precision_of(P1, (0, 0)) > precision_of(P2, (0, 0)) > precision_of(P3, (0, 0))


def test_decisions_move_the_belief_and_in_the_end_outweigh_it() -> None:
    assert precision_of(P1, (0, 8)) == pytest.approx(0.7 * PRIOR_CASES / (2 * PRIOR_CASES))
    assert precision_of(P3, (80, 20)) == pytest.approx(0.76, abs=0.01)
    assert precision_of(P1, (1, 0)) > PRIOR[P1] > precision_of(P1, (0, 1))


def test_another_detection_makes_a_case_likelier_but_less_than_if_it_knew_nothing_of_the_first() -> (
    None
):
    alone = probability_of([("one", P2)], {})
    both = probability_of([("one", P2), ("two", P2)], {})
    assert alone == pytest.approx(0.5)
    assert alone < both < 0.75


def test_a_detection_that_was_nearly_always_wrong_adds_nearly_nothing() -> None:
    verdicts = {"noise": (1, 200)}
    alone = probability_of([("one", P1)], verdicts)
    assert probability_of([("one", P1), ("noise", P1)], verdicts) - alone < 0.02


def test_nothing_is_certain_and_what_people_opened_counts_as_even() -> None:
    assert probability_of([("one", P1)], {"one": (10_000, 0)}) < 1
    assert probability_of([], {}) == PRIOR[P2]


def test_expected_loss_is_the_dearest_sum_of_one_currency_by_the_rates() -> None:
    case = a_case(amounts=((10_000, "JPY"), (9_000, "USD")))
    assert rank_of(case, {}, {}).expected_loss == 5_000
    assert rank_of(case, {}, {"USD": 1.5}).expected_loss == 6_750
    assert rank_of(a_case(amounts=()), {}, {}).expected_loss == 0
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert rank_of(a_case(leaves_at=at), {}, {}).leaves_at == at
