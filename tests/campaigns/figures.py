"""What one seed came to, by kind of campaign: read from the marketplace's own tables after the play."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.campaigns.shop import Shop

ORDINARY = "ordinary"
"""Where no member of a case is fraud."""
# What the demo's stories are, in the words of the people who fight them.
KINDS = {
    "ring": "self_dealing",
    "careful": "self_dealing",
    "card_burst": "stolen_cards",
    "same_card": "stolen_cards",
    "follow_churn": "follow_phishing",
}


@dataclass(kw_only=True)
class KindFigures:
    """One kind of campaign in one seed; money in the currency's smallest unit."""

    campaigns: int = 0
    caught: int = 0
    """Campaigns of which at least one order was stopped or one account suspended."""
    orders: int = 0
    tried: int = 0
    stopped_orders: int = 0
    stopped: int = 0
    """Money of orders that were held or force-cancelled before they were shipped."""
    prevented: int = 0
    """Money of orders that never came, as their buyer or seller was suspended by then."""
    good_touched: int = 0
    """Good orders that were held or force-cancelled in cases of this kind."""
    good_accounts: int = 0
    """Good accounts that were suspended in cases of this kind."""
    cases: int = 0
    minutes_to_hold: list[float] = field(default_factory=list)
    """Market minutes from an order to its hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFigures:
    """One seed: by kind, by round of adaptation, and whether the run itself was sound."""

    seed: int
    currency: str
    kinds: Mapping[str, KindFigures]
    rounds: Mapping[str, KindFigures]
    lag_minutes: Sequence[float]
    """Market minutes from what was found to its finding."""
    cases: int
    given_up: Sequence[str]
    faults: Sequence[str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    kind: str
    round: str
    campaign: str
    is_fraud: bool


_READ_ORDERS = """
    SELECT f.order_id, f.ordered_at, f.prevented_at, m.status, m.shipped_at, m.held_at, m.currency,
           f.total_amount - coalesce(f.discount_amount, 0) - coalesce(f.points_amount, 0) AS amount
      FROM feed.orders f LEFT JOIN market.orders m USING (order_id)
     WHERE f.ordered_at > $1 AND f.ordered_at <= $2
"""
_READ_EFFECTS = "SELECT idempotency_key, kind, subject_id, at FROM backoffice.effects ORDER BY 1"
_READ_OPERATIONS = (
    "SELECT operation_id, case_id, verb, subject_id, state FROM ledger.operations ORDER BY 1"
)


async def read_figures(
    shop: Shop,
    *,
    seed: int,
    since: datetime,
    seconds: float,
    given_up: Sequence[str],
    faults: Sequence[str],
) -> SeedFigures:
    """Count everything that happened since `since`."""
    truths = await _read_truth(shop)
    effects = await shop.market.fetch(_READ_EFFECTS)
    operations = await shop.ledger.fetch(_READ_OPERATIONS)
    case_of = {row["operation_id"]: row["case_id"] for row in operations}
    truth_of_case = await _judge_cases(shop, truths)
    orders = await shop.market.fetch(_READ_ORDERS, since, shop.clock.now())
    kinds: defaultdict[str, KindFigures] = defaultdict(KindFigures)
    rounds: defaultdict[str, KindFigures] = defaultdict(KindFigures)

    def both(truth: _Truth | None) -> Iterable[KindFigures]:
        if truth is None:
            return [kinds[ORDINARY]]
        return [kinds[truth.kind], rounds[f"{truth.kind} {truth.round}".rstrip()]]

    first_touch = _first_touches(effects)
    _count_orders(orders, truths, first_touch, both)
    for effect in effects:
        truth = truths.get(effect["subject_id"])
        if effect["kind"] == "suspend" and (truth is None or not truth.is_fraud):
            for one in both(truth_of_case.get(case_of.get(effect["idempotency_key"], 0))):
                one.good_accounts += 1
    touched = {e["subject_id"]: e for e in effects if e["kind"] in {"hold", "cancel"}}
    for subject, effect in touched.items():
        truth = truths.get(subject)
        if truth is None or not truth.is_fraud:
            for one in both(truth_of_case.get(case_of.get(effect["idempotency_key"], 0))):
                one.good_touched += 1
    _count_campaigns(truths, {row["order_id"] for row in orders}, effects, both)
    for case_id in await _decided_cases(shop):
        for one in both(truth_of_case.get(case_id)):
            one.cases += 1
    lags = await shop.ledger.fetch(
        "SELECT extract(epoch FROM found_at - occurred_at)::float / 60 AS lag FROM ledger.findings"
        " WHERE occurred_at > $1",
        since,
    )
    return SeedFigures(
        seed=seed,
        currency=next((row["currency"] for row in orders if row["currency"]), ""),
        kinds=dict(kinds),
        rounds=dict(rounds),
        lag_minutes=[row["lag"] for row in lags],
        cases=await shop.ledger.fetchval("SELECT count(*) FROM ledger.cases"),
        given_up=list(given_up),
        faults=list(faults),
        seconds=seconds,
    )


def _first_touches(effects: Iterable[Any]) -> dict[str, datetime]:
    first: dict[str, datetime] = {}
    for effect in effects:
        if effect["kind"] in {"hold", "cancel"}:
            subject, at = effect["subject_id"], effect["at"]
            first[subject] = min(first.get(subject, at), at)
    return first


def _count_orders(
    orders: Iterable[Any],
    truths: Mapping[str, _Truth],
    first_touch: Mapping[str, datetime],
    both: Any,
) -> None:
    for row in orders:
        truth = truths.get(row["order_id"])
        if truth is None or not truth.is_fraud:
            continue
        for one in both(truth):
            if row["prevented_at"] is not None:
                one.prevented += row["amount"]
                continue
            one.orders += 1
            one.tried += row["amount"]
            touch = first_touch.get(row["order_id"])
            if touch is None:
                continue
            one.minutes_to_hold.append((touch - row["ordered_at"]).total_seconds() / 60)
            stands = row["status"] == "canceled" or row["held_at"] is not None
            if stands and row["shipped_at"] is None:
                one.stopped_orders += 1
                one.stopped += row["amount"]


def _count_campaigns(
    truths: Mapping[str, _Truth], orders: set[str], effects: Iterable[Any], both: Any
) -> None:
    acted_on = {effect["subject_id"] for effect in effects}
    seen: dict[str, _Truth] = {}
    caught: set[str] = set()
    for subject, truth in truths.items():
        if truth.is_fraud:
            if subject in orders or subject in acted_on or truth.kind == "follow_phishing":
                seen.setdefault(truth.campaign, truth)
            if subject in acted_on:
                caught.add(truth.campaign)
    for campaign, truth in seen.items():
        for one in both(truth):
            one.campaigns += 1
            one.caught += campaign in caught


async def _read_truth(shop: Shop) -> dict[str, _Truth]:
    rows = await shop.market.fetch(
        "SELECT subject_id, label, story, story_no FROM playground.truth WHERE labelled_at <= $1",
        shop.clock.now(),
    )
    return {
        row["subject_id"]: _Truth(
            kind=KINDS.get(row["story"], row["story"]),
            round="",
            campaign=row["story_no"],
            is_fraud=row["label"] == "fraud",
        )
        for row in rows
    }


async def _judge_cases(shop: Shop, truths: Mapping[str, _Truth]) -> dict[int, _Truth]:
    """Which campaign a case is about: the one that most of its members belong to."""
    members = await shop.ledger.fetch("SELECT case_id, subject_id FROM ledger.case_members")
    votes: defaultdict[int, Counter[_Truth]] = defaultdict(Counter)
    for row in members:
        truth = truths.get(row["subject_id"])
        if truth is not None and truth.is_fraud:
            votes[row["case_id"]][truth] += 1
    return {case_id: counted.most_common(1)[0][0] for case_id, counted in votes.items()}


async def _decided_cases(shop: Shop) -> list[int]:
    rows = await shop.ledger.fetch("SELECT DISTINCT case_id FROM ledger.decisions")
    return [row["case_id"] for row in rows]
