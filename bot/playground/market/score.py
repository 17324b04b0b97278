"""What a played market came to: by kind of campaign and by round, what was tried, stopped and lost, and who was hurt.

Reads the marketplace's own tables, what was done to them (`backoffice.effects`) and the truth (`playground.truth`):
never the bot's ledger. Needs the marketplace's owner; the bot's reader sees neither truth nor effects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from bot.playground.market.campaigns.parameters import ROUNDS

ORDINARY = "ordinary"
"""Where good ones were touched that no campaign has to do with."""
LOST_WHEN_SHIPPED = frozenset({"card_testing", "stolen_cards"})
"""Kinds whose orders are lost when an honest maker ships them; others wait for the payout, or for a refund."""


@dataclass(slots=True, kw_only=True)
class _Count:
    """A tally that is being counted."""

    campaigns: int = 0
    caught: int = 0
    accounts: int = 0
    accounts_stopped: int = 0
    minutes_to_stop: list[float] = field(default_factory=list)
    orders: int = 0
    orders_stopped: int = 0
    minutes_to_touch: list[float] = field(default_factory=list)
    tried: int = 0
    stopped_before_shipment: int = 0
    stopped_before_payout: int = 0
    canceled: int = 0
    lost: int = 0
    open: int = 0
    never_came: int = 0
    charged_back: int = 0
    attempts: int = 0
    posts: int = 0
    posts_removed: int = 0
    listings: int = 0
    listings_removed: int = 0
    good_orders_touched: int = 0
    good_money_touched: int = 0
    good_accounts_stopped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One kind, or one round of it. Money is in the currency's smallest unit."""

    campaigns: int
    """That acted: of a round, those that came so far."""
    caught: int
    """Of them, those whose fraudster saw that they were caught; of a round, in that round."""

    accounts: int
    """Of the fraudsters."""
    accounts_stopped: int
    """Of those, suspended by the end."""
    minutes_to_stop: tuple[float, ...]
    """Market minutes from the first act of an account (a sale, an order, an attempt, a follow, a message) to its suspension."""

    orders: int
    """Fraudulent orders that came."""
    orders_stopped: int
    """Of them, those that by the end are held or cancelled or of a suspended seller, and neither lost nor paid out."""
    minutes_to_touch: tuple[float, ...]
    """Market minutes from an order to its first hold or cancellation."""
    tried: int
    """Money of `orders`; it is `stopped_before_shipment + stopped_before_payout + lost + open`."""
    stopped_before_shipment: int
    """Money of orders that are held or cancelled and were not shipped."""
    stopped_before_payout: int
    """Money of the others that is not paid out: shipped before they were held or cancelled, or their seller is suspended."""
    canceled: int
    """Of what was stopped, money of orders that are cancelled; the rest is held."""
    lost: int
    """Money of orders that an honest maker shipped, or that were paid out to a fraudster; or that was refunded to one."""
    open: int
    """Money of orders that are neither stopped nor lost by the end."""
    never_came: int
    """Money of orders that were planned and could not be made, as the account was suspended. Not in `tried`."""
    charged_back: int
    """What the card companies took back by the end."""

    attempts: int
    """Cards tried by fraudsters' accounts, declined ones included."""
    posts: int
    posts_removed: int
    listings: int
    listings_removed: int
    """Taken down, or hidden with their seller's suspension."""

    good_orders_touched: int
    """Honest orders that were ever held, cancelled or refunded here, whatever became of them."""
    good_money_touched: int
    good_accounts_stopped: int
    """Honest accounts that were ever suspended here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One played market at one time."""

    at: datetime
    """The market's time."""
    currency: str
    kinds: Mapping[str, Tally]
    """By kind of campaign, and `ordinary`."""
    rounds: Mapping[str, Mapping[int, Tally]]
    """By kind and round of adaptation, from 1."""

    def as_json(self) -> dict[str, Any]:
        """As `json.dumps` takes it."""
        return {
            "at": self.at.isoformat(),
            "currency": self.currency,
            "kinds": {kind: asdict(tally) for kind, tally in self.kinds.items()},
            "rounds": {
                kind: {str(number): asdict(tally) for number, tally in rounds.items()}
                for kind, rounds in self.rounds.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    kind: str | None
    round: int | None
    is_fraud: bool


_READ_TRUTH = """
    SELECT subject_kind, subject_id, label = 'fraud' AS is_fraud, kind, round FROM playground.truth
     WHERE labelled_at <= $1
"""
_READ_EFFECTS = (
    "SELECT kind, subject_id, at FROM backoffice.effects WHERE at <= $1 ORDER BY effect_id"
)
# What the play stopped or let pass stands beside the feed's rows.
_READ_ORDERS = """
    SELECT f.order_id, f.buyer_id, f.seller_id, f.ordered_at, f.currency, f.paid_out,
           greatest(f.total_amount - coalesce(f.discount_amount, 0) - coalesce(f.points_amount, 0), 0)
               AS amount,
           f.prevented_at IS NOT NULL AS never_came, m.shipped_at,
           m.status = 'canceled' AND NOT f.canceled_by_play AS canceled,
           m.held_at IS NOT NULL OR m.status = 'canceled' AND NOT f.canceled_by_play AS stopped,
           s.status = 'suspended' AS of_suspended_seller,
           (SELECT coalesce(sum(c.amount), 0) FROM market.chargebacks c
             WHERE c.order_id = f.order_id)::bigint AS charged_back,
           (SELECT coalesce(sum(r.amount), 0) FROM market.refunds r
             WHERE r.order_id = f.order_id AND r.state <> 'failed')::bigint AS refunded
      FROM feed.orders f LEFT JOIN market.orders m USING (order_id)
      LEFT JOIN market.accounts s ON s.account_id = m.seller_id
     WHERE f.ordered_at > $1 AND f.ordered_at <= $2 AND (m.order_id IS NOT NULL OR f.prevented_at IS NOT NULL)
"""
_READ_FIRST_ACTS = """
    SELECT account_id, min(at) AS at FROM (
        SELECT buyer_id AS account_id, ordered_at AS at FROM market.orders
        UNION ALL SELECT o.seller_id, o.ordered_at FROM market.orders o
        UNION ALL SELECT account_id, attempted_at FROM market.payment_attempts
        UNION ALL SELECT follower_id, occurred_at FROM market.follow_events
        UNION ALL SELECT account_id, created_at FROM market.posts) AS acts
     WHERE at > $1 AND at <= $2 GROUP BY 1
"""
_READ_ATTEMPTS = """
    SELECT account_id, count(*) AS attempts FROM market.payment_attempts
     WHERE attempted_at > $1 AND attempted_at <= $2 GROUP BY 1
"""
_READ_ACCOUNTS = "SELECT account_id, status FROM market.accounts"
_READ_LISTINGS = "SELECT listing_id, status FROM market.listings"
_READ_POSTS = """
    SELECT post_id, false AS removed FROM market.posts WHERE created_at > $1 AND created_at <= $2
    UNION ALL SELECT post_id, true FROM backoffice.removed_posts
                WHERE (post ->> 'created_at')::timestamptz > $1 AND (post ->> 'created_at')::timestamptz <= $2
"""
_READ_CAMPAIGNS = """
    SELECT kind, caught FROM playground.campaigns WHERE first_act_at <= $1 ORDER BY campaign_no
"""


async def read_score(
    connection: Any, *, since: datetime | None = None, acted_until: datetime | None = None
) -> Score:
    """Count what acted after `since` (default: the start of the play) up to `acted_until`
    (default: where the play is), as it stands where the play is.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        started_at, at = await connection.fetchrow(
            "SELECT started_at, market_time FROM playground.play"
        )
        return await _Scorer(connection, since or started_at, acted_until or at, at).read()


class _Scorer:
    def __init__(
        self, connection: Any, since: datetime, acted_until: datetime, at: datetime
    ) -> None:
        self._connection = connection
        self._period = (since, acted_until)
        self._at = at
        self._kinds: defaultdict[str, _Count] = defaultdict(_Count)
        self._rounds: defaultdict[str, defaultdict[int, _Count]] = defaultdict(
            lambda: defaultdict(_Count)
        )
        self._truths: dict[tuple[str, str], _Truth] = {}

    async def read(self) -> Score:
        fetch = self._connection.fetch
        self._truths = {
            (row["subject_kind"], row["subject_id"]): _Truth(
                kind=row["kind"], round=row["round"], is_fraud=row["is_fraud"]
            )
            for row in await fetch(_READ_TRUTH, self._at)
        }
        effects = await fetch(_READ_EFFECTS, self._at)
        orders = await fetch(_READ_ORDERS, *self._period)
        self._count_campaigns(await fetch(_READ_CAMPAIGNS, self._period[1]))
        self._count_orders(orders, _first(effects, {"hold", "cancel"}))
        await self._count_accounts(_first(effects, {"suspend"}))
        await self._count_texts()
        self._count_good(orders, effects)
        return Score(
            at=self._at,
            currency=next((row["currency"] for row in orders), ""),
            kinds={kind: _close(count) for kind, count in sorted(self._kinds.items())},
            rounds={
                kind: {number: _close(count) for number, count in sorted(rounds.items())}
                for kind, rounds in sorted(self._rounds.items())
            },
        )

    def _of(self, truth: _Truth | None) -> Iterable[_Count]:
        """Where something counts: its kind and its round."""
        if truth is None or truth.kind is None:
            return (self._kinds[ORDINARY],)
        if truth.round is None:
            return (self._kinds[truth.kind],)
        return (self._kinds[truth.kind], self._rounds[truth.kind][truth.round])

    def _fraud(self, subject_kind: str, subject_id: str) -> _Truth | None:
        truth = self._truths.get((subject_kind, subject_id))
        return truth if truth is not None and truth.is_fraud else None

    def _count_campaigns(self, rows: Iterable[Any]) -> None:
        for row in rows:
            whole = self._kinds[row["kind"]]
            whole.campaigns += 1
            whole.caught += any(row["caught"])
            reached = min(1 + sum(row["caught"]), ROUNDS)
            for number in range(1, reached + 1):
                one = self._rounds[row["kind"]][number]
                one.campaigns += 1
                one.caught += number <= sum(row["caught"])

    def _count_orders(self, orders: Iterable[Any], touched: Mapping[str, datetime]) -> None:
        for row in orders:
            truth = self._fraud("order", row["order_id"])
            if truth is None:
                continue
            amount, lost = row["amount"], _lost(truth, row)
            for one in self._of(truth):
                if row["never_came"]:
                    one.never_came += amount
                    continue
                one.orders += 1
                one.tried += amount
                one.charged_back += row["charged_back"]
                one.lost += lost
                if lost or not (row["stopped"] or row["of_suspended_seller"]):
                    one.open += amount - lost
                else:
                    one.orders_stopped += 1
                    one.canceled += amount if row["canceled"] else 0
                    if row["stopped"] and row["shipped_at"] is None:
                        one.stopped_before_shipment += amount
                    else:
                        one.stopped_before_payout += amount
                if row["order_id"] in touched:
                    waited = touched[row["order_id"]] - row["ordered_at"]
                    one.minutes_to_touch.append(waited.total_seconds() / 60)

    async def _count_accounts(self, suspended: Mapping[str, datetime]) -> None:
        acts = {
            row["account_id"]: row["at"]
            for row in await self._connection.fetch(_READ_FIRST_ACTS, *self._period)
        }
        attempts = {
            row["account_id"]: row["attempts"]
            for row in await self._connection.fetch(_READ_ATTEMPTS, *self._period)
        }
        for row in await self._connection.fetch(_READ_ACCOUNTS):
            account_id = row["account_id"]
            truth = self._fraud("account", account_id)
            if truth is None or account_id not in acts.keys() | suspended.keys():
                continue
            for one in self._of(truth):
                one.accounts += 1
                one.attempts += attempts.get(account_id, 0)
                if account_id not in suspended:
                    continue
                one.accounts_stopped += row["status"] == "suspended"
                if account_id in acts:
                    waited = suspended[account_id] - acts[account_id]
                    one.minutes_to_stop.append(max(waited.total_seconds() / 60, 0.0))

    async def _count_texts(self) -> None:
        for row in await self._connection.fetch(_READ_LISTINGS):
            truth = self._fraud("listing", row["listing_id"])
            for one in self._of(truth) if truth is not None else ():
                one.listings += 1
                one.listings_removed += row["status"] in {"removed", "hidden"}
        for row in await self._connection.fetch(_READ_POSTS, *self._period):
            truth = self._fraud("post", row["post_id"])
            for one in self._of(truth) if truth is not None else ():
                one.posts += 1
                one.posts_removed += row["removed"]

    def _count_good(self, orders: Iterable[Any], effects: Iterable[Any]) -> None:
        known = {row["order_id"]: row for row in orders}
        seen: set[tuple[str, str]] = set()
        for effect in effects:
            subject_id = effect["subject_id"]
            if effect["kind"] in {"hold", "cancel", "refund"} and subject_id in known:
                subject = ("order", subject_id)
            elif effect["kind"] == "suspend":
                subject = ("account", subject_id)
            else:
                continue
            if self._fraud(*subject) is not None or subject in seen:
                continue
            seen.add(subject)
            for one in self._of(self._nearest(subject, known)):
                if subject[0] == "order":
                    one.good_orders_touched += 1
                    one.good_money_touched += known[subject_id]["amount"]
                else:
                    one.good_accounts_stopped += 1

    def _nearest(self, subject: tuple[str, str], orders: Mapping[str, Any]) -> _Truth | None:
        """The campaign that something good stands beside: an order's partner, or an account's order, is a fraudster's."""
        kind, subject_id = subject
        if kind == "order":
            order = orders[subject_id]
            beside = (self._fraud("account", order[side]) for side in ("seller_id", "buyer_id"))
        else:
            beside = (
                self._fraud("order", order["order_id"])
                for order in orders.values()
                if subject_id in {order["seller_id"], order["buyer_id"]}
            )
        return next((truth for truth in beside if truth is not None), None)


def _lost(truth: _Truth, order: Any) -> int:
    """What an order cost; nothing while it is held or cancelled in time."""
    amount: int = order["amount"]
    if truth.kind == "refund_abuse":
        # What was cancelled is paid back too, and nobody lost by that.
        return 0 if order["canceled"] else min(order["refunded"], amount)
    if truth.kind in LOST_WHEN_SHIPPED:
        return amount if order["shipped_at"] is not None and not order["stopped"] else 0
    return amount if order["paid_out"] else 0


def _first(effects: Iterable[Any], kinds: set[str]) -> dict[str, datetime]:
    first: dict[str, datetime] = {}
    for effect in effects:
        if effect["kind"] in kinds:
            first.setdefault(effect["subject_id"], effect["at"])
    return first


def _close(count: _Count) -> Tally:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in asdict(count).items()
    }
    return Tally(**values)
