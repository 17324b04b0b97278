"""A tick costs what changed, and misses nothing of what a look at everything would find."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import pytest

from bot.detections.detection import BUILT_IN, Detection
from bot.detections.engine import run
from bot.detections.loading import load_detections
from bot.market.reader import MarketReader

START = datetime(2026, 3, 1, tzinfo=UTC)
# In a shop of their own, which logs in, signs up, reports and refunds: test_increments_of_accounts.
ACCOUNT_SIDE = (
    "ato_change_then_act",
    "bulk_signup",
    "credential_stuffing",
    "payout_risk",
    "refund_conflict",
    "refund_payee_reuse",
    "user_reports",
)
NAMES = sorted(
    one.name
    for one in load_detections([BUILT_IN]).detections
    if one.source == "market" and one.name not in ACCOUNT_SIDE
)

# Thresholds that a small random shop reaches now and then.
SMALL: dict[str, dict[str, int | timedelta]] = {
    "many_cards_per_buyer": {"cards_hour": 1, "cards_day": 2, "cards_week": 3},
    "follow_churn": {
        "follows_hour": 4,
        "follows_day": 9,
        "churned_day": 2,
        "churned_week": 5,
        "follows_week": 15,
        "churned_month": 8,
    },
    "self_dealing_link": {"crowd": 1000},
    "card_testing": {
        "account_declines": 2,
        "shared_declines": 2,
        "cards": 1,
        "outage_tries": 1000,
    },
    "card_on_many_accounts": {"accounts": 2},
    "new_seller_burst": {"orders": 2, "share": 50},
    "link_spam": {"recipients": 3, "recipients_young": 2},
    "new_buyer_bulk": {"orders": 2, "age": timedelta(days=30)},
    "device_many_cards": {"cards_day": 2, "cards_week": 2, "crowd": 1000},
    "signup_to_purchase": {"seconds": 40_000},
    "ship_to_cluster": {"buyers": 2, "cards": 1, "names": 2, "crowd": 1000},
    "dropship_triangle": {"names": 2, "cards": 1},
    "instant_complete": {"amount": 500},
}


def sensitive(name: str) -> Detection:
    """A built-in detection with thresholds that a small shop reaches."""
    (detection,) = [d for d in load_detections([BUILT_IN]).detections if d.name == name]
    small = SMALL.get(name, {})
    return replace(
        detection,
        parameters=tuple(
            replace(p, default=small.get(p.name, p.default)) for p in detection.parameters
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A row, and when a reader can first see it: a transaction may take its time to commit."""

    visible_at: datetime
    sql: str
    values: tuple[object, ...]


def insert(relation: str, visible_at: datetime, **row: object) -> Written:
    names = ", ".join(row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    sql = f"INSERT INTO market.{relation} ({names}) VALUES ({places})"
    return Written(visible_at=visible_at, sql=sql, values=tuple(row.values()))


class Shop:
    """Random traffic of few people, so that what they use is shared now and then."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311
        # Of its own, so that what is drawn with it changes nothing else.
        self.parcels = random.Random(seed + 1000)  # noqa: S311
        self.without_payee = [f"A{n}" for n in range(40)]
        self.rng.shuffle(self.without_payee)
        self.days = 3
        self.ids = count(1)

    def history(self) -> list[Written]:
        written = [
            *self._accounts(),
            *self._originals(),
            *(row for _ in range(350) for row in self._anything()),
        ]
        return sorted(written, key=lambda row: row.visible_at)

    def _moment(self) -> datetime:
        return START + timedelta(hours=self.rng.uniform(4, self.days * 24))

    def _commits(self, written_at: datetime) -> datetime:
        return written_at + timedelta(seconds=self.rng.choice((0, 1, 30, 280)))

    def _accounts(self) -> Iterator[Written]:
        for n in range(40):
            yield insert(
                "accounts",
                START,
                account_id=f"A{n}",
                display_name=f"A{n}",
                # Who is suspended is so from the first day, else what was found once would be hidden later.
                status="suspended" if n >= 36 else "active",
                suspended_at=START - timedelta(hours=1) if n >= 36 else None,
                phone=f"090-0000-{n // 2:04}" if self.rng.random() < 0.1 else None,
                email=f"somebody{self.rng.choice('xyz')}{n}@example.com",
                signup_device_id=self._device(),
                signup_ip=self._ip(),
                created_at=START + timedelta(hours=self.rng.uniform(-400, 0) if n % 2 else 10),
                updated_at=START,
            )

    def _originals(self) -> Iterator[Written]:
        for n in range(10):
            yield self._listing(f"L-old{n}", "maker", 1 << n, START - timedelta(days=20))

    def _listing(self, id_: str, seller: str, image: int, at: datetime) -> Written:
        return insert(
            "listings",
            self._commits(max(at, START)),
            listing_id=id_,
            seller_id=seller,
            title=id_,
            price=1000,
            image_hashes=[image],
            status="active",
            created_at=at,
            updated_at=at,
        )

    def _message(self, id_: int, at: datetime) -> Written:
        # To people who trade with nobody: an order that came late would make a stranger a customer.
        host = self.rng.choice(("one.example", "two.example"))
        return insert(
            "posts",
            self._commits(at),
            post_id=f"M{id_}",
            account_id=f"A{self.rng.randrange(4)}",
            kind="message",
            recipient_id=f"R{self.rng.randrange(30)}",
            body="Look",
            urls=[f"https://{host}/{id_}"],
            created_at=at,
            updated_at=at,
        )

    def _anything(self) -> Iterator[Written]:
        kind = self.rng.choice(("order", "order", "follow", "follow", "try", "login", "change"))
        if self.rng.random() < 0.15:
            at = self._moment()
            for n in range(self.rng.randrange(1, 6)):
                yield self._message(next(self.ids), at + n * timedelta(minutes=9))
        if self.rng.random() < 0.1:
            image = self.rng.choice((1 << self.rng.randrange(10), -1))
            seller = f"A{self.rng.randrange(30)}"
            yield self._listing(f"L{next(self.ids)}", seller, image, self._moment())
        at, id_ = self._moment(), next(self.ids)
        visible = self._commits(at)
        if kind == "order":
            buyer, card = self._person(), self._card()
            yield self._order(id_, buyer, card, at)
            if self.rng.random() < 0.2:
                again = at + timedelta(minutes=self.rng.uniform(0, 90))
                yield self._order(next(self.ids), buyer, card, again)
            if self.rng.random() < 0.3:
                shipped = at + timedelta(hours=self.rng.uniform(1, 20))
                yield Written(
                    visible_at=self._commits(shipped),
                    sql="UPDATE market.orders SET status = 'shipped', updated_at = $1 WHERE order_id = $2",
                    values=(shipped, f"O{id_:05}"),
                )
            elif self.parcels.random() < 0.2:
                yield Written(
                    visible_at=self._commits(at + timedelta(hours=1)),
                    sql="UPDATE market.orders SET status = 'completed', shipped_at = paid_at, delivered_at = $1,"
                    " updated_at = $1 WHERE order_id = $2",
                    values=(at + timedelta(hours=1), f"O{id_:05}"),
                )
            if self.parcels.random() < 0.15:
                warned = at + timedelta(hours=self.parcels.uniform(1, 20))
                yield insert(
                    "fraud_warnings",
                    self._commits(warned),
                    warning_id=f"W{id_}",
                    order_id=f"O{id_:05}",
                    kind="early_fraud_warning",
                    received_at=warned,
                )
        elif kind == "follow":
            who, whom = f"A{self.rng.randrange(6)}", f"A{self.rng.randrange(12)}"
            for n, what in enumerate(("follow", "unfollow", "follow")[: self.rng.randrange(1, 4)]):
                then = at + n * timedelta(hours=self.rng.uniform(0, 30))
                yield insert(
                    "follow_events",
                    self._commits(then),
                    event_id=f"{id_}-{n}",
                    follower_id=who,
                    followee_id=whom,
                    kind=what,
                    occurred_at=then,
                )
        elif kind == "try":
            person, device = self._person(), self._device()
            for n in range(self.rng.choice((1, 1, 1, 3))):
                then = at + n * timedelta(minutes=7)
                yield insert(
                    "payment_attempts",
                    self._commits(then),
                    attempt_id=f"P{id_}-{n}",
                    account_id=person,
                    card_fingerprint=self._card(),
                    device_id=device,
                    amount=1000,
                    result="declined",
                    attempted_at=then,
                )
        elif kind == "login":
            yield insert(
                "account_events",
                visible,
                event_id=f"E{id_}",
                account_id=self._person(),
                kind="login",
                device_id=self._device(),
                ip=self._ip(),
                occurred_at=at,
            )
        elif self.without_payee:
            # Each says it once: a link that is taken away again was found all the same.
            yield Written(
                visible_at=visible,
                sql="UPDATE market.accounts SET payout_account_hash = $1, updated_at = $2"
                " WHERE account_id = $3",
                values=(f"h{self.rng.randrange(20)}", at, self.without_payee.pop()),
            )

    def _order(self, id_: int, buyer: str, card: str | None, at: datetime) -> Written:
        # Some orders are copied over hours after they were made.
        late = timedelta(hours=self.rng.choice((0, 0, 0, 0, 3)))
        device = self._device()
        return insert(
            "orders",
            self._commits(at),
            order_id=f"O{id_:05}",
            buyer_id=buyer,
            seller_id=self._person(),
            status="paid",
            total_amount=1000,
            payment_method="card",
            card_fingerprint=card,
            device_id=device
            if self.parcels.random() < 0.8
            else f"kiosk{self.parcels.randrange(5)}",
            ip=self._ip(),
            ship_name=f"N{self.parcels.randrange(400)}",
            ship_postal_code=f"{self.parcels.randrange(40):07}",
            ship_address="1-2-3",
            ordered_at=at - late,
            paid_at=at - late,
            updated_at=at,
        )

    def _person(self) -> str:
        return f"A{self.rng.randrange(40)}"

    def _card(self) -> str | None:
        return self.rng.choice((None, f"c{self.rng.randrange(60)}"))

    def _device(self) -> str | None:
        return self.rng.choice((None, f"d{self.rng.randrange(400)}"))

    def _ip(self) -> str | None:
        return self.rng.choice((None, f"10.0.{self.rng.randrange(150)}.{self.rng.randrange(250)}"))


@pytest.fixture
async def market(market_dsn: str) -> AsyncIterator[Any]:
    conn = await asyncpg.connect(market_dsn)
    yield conn
    await conn.close()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
async def test_ticks_find_what_a_look_at_everything_finds(
    name: str, seed: int, market: Any, market_reader_dsn: str
) -> None:
    detection, reader = sensitive(name), MarketReader(market_reader_dsn)
    rng = random.Random(seed)  # noqa: S311
    history = Shop(seed).history()
    end = history[-1].visible_at
    found: set[str] = set()
    last, now = START, START
    for turn in count(1):
        last, now = now, now + timedelta(minutes=rng.choice((1, 10, 60, 300)))
        async with market.transaction():
            while history and history[0].visible_at <= now:
                row = history.pop(0)
                await market.execute(row.sql, *row.values)
        findings = await run(detection, reader, now=now, changed_since=last)
        found |= {finding.subject.id for finding in findings}
        if turn % 8 == 0 or now > end:
            everything = await run(detection, reader, now=now, changed_since=START)
            assert found == {finding.subject.id for finding in everything}
        if now > end:
            break
    assert len(found) >= 3  # else it proved nothing


# What a tick may cost


SEED = """
INSERT INTO market.accounts (account_id, display_name, status, phone, signup_ip, created_at, updated_at)
SELECT 'A' || n, 'A' || n, 'active', '090-' || n, '10.0.0.0'::inet + n, now() - interval '90 days', now() - interval '40 days'
  FROM generate_series(1, 20000) AS n;
INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount, payment_method,
                           card_fingerprint, device_id, ip, ordered_at, updated_at)
SELECT 'O' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'A' || (n::bigint * 104729 % 2000 + 1), 'paid', 1000, 'card',
       'c' || (n::bigint * 7919 % 30000), 'd' || (n::bigint * 7919 % 25000), '10.0.0.0'::inet + (n::bigint * 7919 % 20000),
       now() - n * interval '30 seconds', now() - n * interval '30 seconds'
  FROM generate_series(1, 80000) AS n;
INSERT INTO market.payment_attempts (attempt_id, account_id, card_fingerprint, amount, result, attempted_at)
SELECT 'P' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'c' || n, 1000, 'declined', now() - n * interval '50 seconds'
  FROM generate_series(1, 50000) AS n;
INSERT INTO market.follow_events (event_id, follower_id, followee_id, kind, occurred_at)
SELECT 'F' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'A' || (n % 20000 + 1), 'follow', now() - n * interval '30 seconds'
  FROM generate_series(1, 80000) AS n;
INSERT INTO market.account_events (event_id, account_id, kind, device_id, ip, occurred_at)
SELECT 'E' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'login', 'd' || n, '10.0.0.0'::inet + n, now() - n * interval '50 seconds'
  FROM generate_series(1, 50000) AS n;
INSERT INTO market.posts (post_id, account_id, kind, recipient_id, body, urls, created_at, updated_at)
SELECT 'P' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'message', 'R' || n, 'Look', ARRAY['https://x.example/'],
       now() - n * interval '50 seconds', now() - n * interval '50 seconds'
  FROM generate_series(1, 50000) AS n;
INSERT INTO market.user_reports (report_id, reporter_id, subject_kind, subject_id, reason, created_at)
SELECT 'R' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'account', 'A' || (n % 20000 + 1), 'spam', now() - n * interval '10 minutes'
  FROM generate_series(1, 50000) AS n;
INSERT INTO market.refunds (refund_id, order_id, amount, route, state, created_at, updated_at)
SELECT 'R' || n, 'O' || n, 1000, 'original', 'succeeded', now() - n * interval '60 seconds', now() - n * interval '60 seconds'
  FROM generate_series(1, 50000) AS n;
INSERT INTO market.inquiries (inquiry_id, account_id, category, body, created_at)
SELECT 'Q' || n, 'A' || (n::bigint * 7919 % 20000 + 1), 'refund', 'Nothing came', now() - n * interval '5 minutes'
  FROM generate_series(1, 50000) AS n;
"""
LARGE = {
    "accounts",
    "orders",
    "payment_attempts",
    "follow_events",
    "account_events",
    "posts",
    "user_reports",
    "refunds",
    "inquiries",
}


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan:
        yield plan
    for part in plan.get("Plans", ()):
        yield from scans(part)


class Explaining:
    """Explains the SELECT that a detection runs instead of returning its rows."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn

    async def explain(self, detection: Detection, now: datetime) -> dict[str, Any]:
        since = now - timedelta(minutes=5, seconds=30)
        values: dict[str, object] = {
            "now": now,
            "changed_since": since,
            "window_start": now - detection.window,
            **{parameter.name: parameter.default for parameter in detection.parameters},
        }
        params = [values.get(name, []) for name in detection.statement.names]
        await self.conn.execute("SET search_path TO market; SET jit TO off")
        explained = await self.conn.fetchval(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + detection.statement.sql, *params
        )
        plan: dict[str, Any] = json.loads(explained)[0]["Plan"]
        return plan


async def test_a_tick_reads_what_changed_through_indexes(market: Any) -> None:
    await market.execute(SEED)
    await market.execute("ANALYZE")
    now = await market.fetchval("SELECT now()")
    for detection in load_detections([BUILT_IN]).detections:
        if detection.source != "market":
            continue
        plan = await Explaining(market).explain(detection, now)
        read = list(scans(plan))
        whole = [scan for scan in read if scan["Node Type"] == "Seq Scan"]
        assert {scan["Relation Name"] for scan in whole} & LARGE == set(), detection.name
        assert {scan["Relation Name"] for scan in read} & LARGE, detection.name
        # About a dozen orders and follows came in since; each touches one buyer or card.
        rows = sum(
            (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)) * scan["Actual Loops"]
            for scan in read
        )
        assert rows < 8000, detection.name
