"""How much fraud was cancelled before shipment and payout: the early forced-cancel rate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from bot.digests._kit import Ask, Section, closing_actions
from bot.domain.digests import (
    Figure,
    Part,
    Sentence,
    Value,
    count,
    money,
    month,
    n,
    share,
    t,
    text,
    when,
)
from bot.domain.verbs import Verb
from bot.ledger import tallies
from bot.market.reader import MarketUnreachableError
from bot.market.selecting import Limits, SelectFault

_NEEDED = ("canceled_at", "shipped_at", "payout_at")
_BATCH = 2000
_LIMITS = Limits(seconds=10, rows=50_000, bytes=20_000_000)
# What banks and providers call fraud: words, Visa's 10.x, Mastercard's, American Express's.
_FRAUD = re.compile(
    r"fraud|unauthori[sz]ed|stolen|counterfeit|no[ _-]?card(holder)?[ _-]?auth|not[ _-]?recogni[sz]ed"
    r"|不正|盗難|^10\.\d|^48(37|63|40|70|71)\b|^F(24|29|30|31)\b",
    re.IGNORECASE,
)

_CHARGEBACKS = """
SELECT c.order_id, c.reason, c.received_at FROM chargebacks c
 WHERE c.order_id IN (SELECT order_id FROM chargebacks WHERE received_at >= $1) AND c.received_at < $2
"""
_ORDERS = """
SELECT order_id, ordered_at, canceled_at, shipped_at, payout_at, currency,
       total_amount - coalesce(discount_amount, 0) - coalesce(points_amount, 0) AS amount
  FROM orders WHERE order_id = ANY ($1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudOrder:
    """An order that is confirmed to be fraud, with the day on which it first was; times by the market."""

    order_id: str
    confirmed_on: date
    ordered_at: datetime
    canceled_at: datetime | None
    shipped_at: datetime | None
    payout_at: datetime | None
    amount: int
    currency: str

    @property
    def before_shipment(self) -> bool:
        return self.canceled_at is not None and (
            self.shipped_at is None or self.canceled_at < self.shipped_at
        )

    @property
    def before_payout(self) -> bool:
        return self.canceled_at is not None and (
            self.payout_at is None or self.canceled_at < self.payout_at
        )

    @property
    def early(self) -> bool:
        """Cancelled before both."""
        return self.before_shipment and self.before_payout


def is_fraud(reason: str) -> bool:
    """Whether a chargeback's reason says that somebody else's card was used."""
    return _FRAUD.search(reason) is not None


async def read(ask: Ask) -> Part:
    try:
        relations = await ask.reader.relations()
        missing = [name for name in _NEEDED if name not in relations.get("orders", frozenset())]
        if missing:
            reason = t(
                "No early forced-cancel rate: the marketplace does not record {columns}.",
                columns=text(", ".join(missing)),
            )
            return await _without_rate(ask, reason)
        orders = await _fraud_orders(ask)
    except MarketUnreachableError:
        reason = t("No early forced-cancel rate: the marketplace's database did not answer.")
        return await _without_rate(ask, reason)
    except SelectFault:
        reason = t("No early forced-cancel rate: the marketplace's database refused the question.")
        return await _without_rate(ask, reason)
    mine = [order for order in orders if order.confirmed_on == ask.day.day]
    week = [order for order in orders if order.confirmed_on in ask.week]
    before = [order for order in orders if order.confirmed_on == ask.before]
    lines = [*_late(mine), *_by_month(ask, orders)]
    if "chargebacks" not in relations:
        lines.append(
            t("The marketplace records no chargebacks: only what people judged counts as fraud.")
        )
    return Part(
        headline=_headline(ask, mine, week),
        figures=(
            Figure(
                name="early_forced_cancel_rate",
                label=t("Early forced-cancel rate"),
                value=_rate(mine),
                before=_rate(before),
                week=_rate(week),
            ),
        ),
        lines=tuple(lines),
    )


async def _fraud_orders(ask: Ask) -> list[FraudOrder]:
    """Every order that was confirmed since the first day looked back to, by verdict or chargeback."""
    found = await ask.reader.select(
        _CHARGEBACKS, [ask.days[0].starts, ask.day.ends], limits=_LIMITS
    )
    confirmed: dict[str, datetime] = {}
    for row in found.rows:
        if is_fraud(str(row["reason"])):
            _keep_first(confirmed, str(row["order_id"]), _time(row["received_at"]))
    days: dict[str, date] = {
        order_id: at.astimezone(ask.zone).date() for order_id, at in confirmed.items()
    }
    verdicts = await tallies.confirmed_orders(
        ask.conn,
        since=ask.days[0].wall_starts,
        also=list(confirmed),
        closing=closing_actions(),
    )
    for order_id, at in verdicts.items():
        day = _day_of(ask, at)
        days[order_id] = min(day, days.get(order_id, day))
    ids = sorted(id_ for id_, day in days.items() if ask.days[0].day <= day <= ask.day.day)
    orders: list[FraudOrder] = []
    for start in range(0, len(ids), _BATCH):
        rows = await ask.reader.select(_ORDERS, [ids[start : start + _BATCH]], limits=_LIMITS)
        orders += [_order(row, days) for row in rows.rows]
    return orders


def _order(row: Mapping[str, object], days: Mapping[str, date]) -> FraudOrder:
    order_id = str(row["order_id"])
    return FraudOrder(
        order_id=order_id,
        confirmed_on=days[order_id],
        ordered_at=_time(row["ordered_at"]),
        canceled_at=_maybe(row["canceled_at"]),
        shipped_at=_maybe(row["shipped_at"]),
        payout_at=_maybe(row["payout_at"]),
        amount=int(str(row["amount"])),
        currency=str(row["currency"]),
    )


def _day_of(ask: Ask, wall: datetime) -> date:
    """The digest day that a moment of the database's clock lies in."""
    for day in ask.days:
        if wall < day.wall_ends:
            # Before the first day looked back to: confirmed earlier, and told then.
            return day.day if wall >= day.wall_starts else date.min
    return date.max


def _keep_first(first: dict[str, datetime], order_id: str, at: datetime) -> None:
    first[order_id] = min(at, first.get(order_id, at))


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError("a time of the marketplace is none")
    return value


def _maybe(value: object) -> datetime | None:
    return None if value is None else _time(value)


def _rate(orders: Sequence[FraudOrder]) -> Value | None:
    return share(sum(order.early for order in orders), len(orders))


def _headline(ask: Ask, mine: Sequence[FraudOrder], week: Sequence[FraudOrder]) -> Sentence:
    rate, usual = _rate(mine), _rate(week)
    day = when(ask.day.day)
    if rate is None and usual is None:
        return t(
            "{when} no order was confirmed as fraud, so there is no early forced-cancel rate.",
            when=day,
        )
    if rate is None and usual is not None:
        return t(
            "{when} no order was confirmed as fraud, so there is no early forced-cancel rate "
            "(week before: {week}).",
            when=day,
            week=usual,
        )
    early = [order for order in mine if order.early]
    values = {"when": day, **({"rate": rate} if rate else {}), **({"week": usual} if usual else {})}
    if not early:
        if usual is None:
            return n(
                "{when} {count} order was confirmed as fraud and not cancelled in time: "
                "the early forced-cancel rate was {rate}.",
                "{when} {count} orders were confirmed as fraud and none was cancelled in time: "
                "the early forced-cancel rate was {rate}.",
                len(mine),
                **values,
            )
        return n(
            "{when} {count} order was confirmed as fraud and not cancelled in time: "
            "the early forced-cancel rate was {rate} (week before: {week}).",
            "{when} {count} orders were confirmed as fraud and none was cancelled in time: "
            "the early forced-cancel rate was {rate} (week before: {week}).",
            len(mine),
            **values,
        )
    values["money"] = money(_sums(early))
    if usual is None:
        return n(
            "{when} {count} fraudulent order ({money}) was stopped in time; "
            "the early forced-cancel rate was {rate}.",
            "{when} {count} fraudulent orders ({money}) were stopped in time; "
            "the early forced-cancel rate was {rate}.",
            len(early),
            **values,
        )
    return n(
        "{when} {count} fraudulent order ({money}) was stopped in time; "
        "the early forced-cancel rate was {rate} (week before: {week}).",
        "{when} {count} fraudulent orders ({money}) were stopped in time; "
        "the early forced-cancel rate was {rate} (week before: {week}).",
        len(early),
        **values,
    )


def _late(mine: Sequence[FraudOrder]) -> Iterator[Sentence]:
    """Why orders were not stopped in time."""
    late = [order for order in mine if not order.early]
    if late:
        yield t(
            "Not in time: not cancelled {open}, cancelled after shipment {shipped}, after payout {paid}.",
            open=count(sum(order.canceled_at is None for order in late)),
            shipped=count(
                sum(order.canceled_at is not None and not order.before_shipment for order in late)
            ),
            paid=count(
                sum(order.canceled_at is not None and order.before_shipment for order in late)
            ),
        )


def _by_month(ask: Ask, orders: Sequence[FraudOrder]) -> Iterator[Sentence]:
    """The rate by the month of the order, which still moves while chargebacks come in."""
    first = ask.day.day.replace(day=1)
    for start in (first, ask.days[0].day):
        mine = [
            order
            for order in orders
            if order.ordered_at.astimezone(ask.zone).date().replace(day=1) == start
        ]
        rate = _rate(mine)
        paid = share(sum(order.before_payout for order in mine), len(mine))
        if rate is not None and paid is not None:
            yield n(
                "Orders of {month}: {rate} of {count} confirmed as fraud so far; before payout {paid}.",
                "Orders of {month}: {rate} of {count} confirmed as fraud so far; before payout {paid}.",
                len(mine),
                month=month(start),
                rate=rate,
                paid=paid,
            )


async def _without_rate(ask: Ask, reason: Sentence) -> Part:
    """What the ledger alone can tell: what was force-cancelled, in time or not."""
    effects = await tallies.sum_effects(ask.conn, [ask.day], [Verb.CANCEL])
    orders = sum(effect.orders for effect in effects)
    sums = {effect.currency: effect.amount for effect in effects if effect.currency}
    day = when(ask.day.day)
    return Part(
        headline=n(
            "{when} {count} order ({money}) was force-cancelled; whether in time cannot be told now.",
            "{when} {count} orders ({money}) were force-cancelled; whether in time cannot be told now.",
            orders,
            when=day,
            money=money(sums),
        )
        if orders
        else t("{when} no order was force-cancelled.", when=day),
        figures=(
            Figure(
                name="early_forced_cancel_rate", label=t("Early forced-cancel rate"), value=None
            ),
        ),
        lines=(reason,),
    )


def _sums(orders: Iterable[FraudOrder]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for order in orders:
        sums[order.currency] = sums.get(order.currency, 0) + order.amount
    return sums


SECTION = Section(
    name="early_cancel", order=20, title=t("Cancelled before shipment and payout"), read=read
)
