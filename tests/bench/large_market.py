"""Fills a marketplace with a year's traffic of made-up rows, in the database itself: millions in minutes."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.detections.proving import CONTRACT_FILE

END = datetime(2026, 11, 1, tzinfo=UTC)
"""The moment up to which it is filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much traffic; the rest follows: a buyer orders ten times, a seller sells two hundred."""

    orders: int
    follows: int
    days: int = 365

    @property
    def buyers(self) -> int:
        return max(self.orders // 10, 10)

    @property
    def sellers(self) -> int:
        return max(self.orders // 200, 5)


# Ids count up with time, as a sequence's do; who and what is drawn by a hash of the number, the same in every run.
_RANDOM = """
CREATE FUNCTION pg_temp.draw(n bigint, salt bigint, of bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashint8extended(n, salt) & x'7fffffffffffffff'::bigint) % of $$;
CREATE FUNCTION pg_temp.id(prefix text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT prefix || lpad(n::text, 9, '0') $$;
CREATE FUNCTION pg_temp.place(n bigint) RETURNS inet LANGUAGE sql IMMUTABLE AS
$$ SELECT '10.0.0.0'::inet + (n % 16000000) $$;
"""
# {orders}, {follows}, {buyers}, {sellers}, {days} and {end} are filled in; a step is the time between two rows.
_ROWS = {
    "accounts": """
SELECT pg_temp.id('b', n), 'buyer ' || n, false, 'active', pg_temp.place(n), pg_temp.id('d', n),
       at, at
  FROM (SELECT n, timestamptz '{end}' - interval '{days} days' * 2 * (1 - n::float8 / {buyers}) AS at
          FROM generate_series(1, {buyers}) AS n) AS b
 UNION ALL
SELECT pg_temp.id('s', n), 'seller ' || n, true, 'active', pg_temp.place(n + 8000000), pg_temp.id('e', n),
       at, at
  FROM (SELECT n, timestamptz '{end}' - interval '{days} days' * 2 * (1 - n::float8 / {sellers}) AS at
          FROM generate_series(1, {sellers}) AS n) AS s
""",
    "orders": """
SELECT pg_temp.id('o', n), pg_temp.id('b', b), pg_temp.id('s', s),
       CASE WHEN age > interval '5 days' THEN 'delivered' WHEN age > interval '2 days' THEN 'shipped' ELSE 'paid' END,
       500 + pg_temp.draw(n, 3, 20000), 'card',
       -- One in fifty pays with another card than usual.
       pg_temp.id('k', CASE WHEN pg_temp.draw(n, 4, 50) = 0 THEN pg_temp.draw(n, 5, {buyers}) ELSE b END),
       pg_temp.place(b), pg_temp.id('d', b), 'name ' || b, lpad((b % 90000)::text, 7, '0'), 'address ' || b,
       at, at, CASE WHEN age > interval '2 days' THEN at + interval '2 days' END,
       CASE WHEN age > interval '5 days' THEN at + interval '5 days' END,
       CASE WHEN age > interval '5 days' THEN at + interval '5 days'
            WHEN age > interval '2 days' THEN at + interval '2 days' ELSE at END
  FROM (SELECT n, 1 + pg_temp.draw(n, 1, {buyers}) AS b, 1 + pg_temp.draw(n, 2, {sellers}) AS s, at,
               timestamptz '{end}' - at AS age
          FROM (SELECT n, timestamptz '{end}' - interval '{days} days' * (1 - n::float8 / {orders}) AS at
                  FROM generate_series(1, {orders}) AS n) AS t) AS drawn
""",
    "payment_attempts": """
SELECT 'p' || o.order_id || '-' || try, o.buyer_id, o.order_id, o.card_fingerprint, o.total_amount,
       CASE WHEN try = 0 THEN 'approved' ELSE 'declined' END, o.ip, o.device_id, o.ordered_at
  FROM market.orders AS o
  -- One in twenty is declined once before.
 CROSS JOIN LATERAL generate_series(0, CASE WHEN hashtext(o.order_id) % 20 = 0 THEN 1 ELSE 0 END) AS try
""",
    "follow_events": """
SELECT pg_temp.id('f', n), pg_temp.id('b', 1 + pg_temp.draw(m, 6, {buyers})),
       pg_temp.id('s', 1 + pg_temp.draw(m, 7, {sellers})), CASE WHEN n = m THEN 'follow' ELSE 'unfollow' END,
       timestamptz '{end}' - interval '{days} days' * (1 - n::float8 / {follows})
  -- One in ten takes back what was followed a while before.
  FROM (SELECT n, CASE WHEN pg_temp.draw(n, 8, 10) = 0 AND n > 50000
                       THEN n - 1 - pg_temp.draw(n, 9, 50000) ELSE n END AS m
          FROM generate_series(1, {follows}) AS n) AS t
""",
    "account_events": """
SELECT pg_temp.id('l', n), pg_temp.id('b', 1 + pg_temp.draw(n, 10, {buyers})),
       CASE WHEN pg_temp.draw(n, 11, 20) = 0 THEN 'login_failed' ELSE 'login' END,
       pg_temp.place(1 + pg_temp.draw(n, 10, {buyers})), pg_temp.id('d', 1 + pg_temp.draw(n, 10, {buyers})),
       timestamptz '{end}' - interval '{days} days' * (1 - n::float8 / {orders})
  FROM generate_series(1, {orders}) AS n
""",
    "posts": """
SELECT pg_temp.id('m', n), pg_temp.id('b', 1 + pg_temp.draw(n, 12, {buyers})), 'message',
       pg_temp.id('s', 1 + pg_temp.draw(n, 13, {sellers})), 'hello ' || n,
       CASE WHEN n % 5 = 0 THEN ARRAY['https://shop.example/' || n] ELSE '{{}}' END, at, at
  FROM (SELECT n, timestamptz '{end}' - interval '{days} days' * (1 - n::float8 * 4 / {orders}) AS at
          FROM generate_series(1, {orders} / 4) AS n) AS t
""",
    "user_reports": """
SELECT pg_temp.id('r', n), pg_temp.id('b', 1 + pg_temp.draw(n, 14, {buyers})), 'account',
       pg_temp.id('s', 1 + pg_temp.draw(n, 15, {sellers})), 'counterfeit',
       timestamptz '{end}' - interval '{days} days' * (1 - n::float8 * 200 / {orders})
  FROM generate_series(1, {orders} / 200) AS n
""",
    "refunds": """
SELECT 'rf' || order_id, order_id, total_amount, 'original', 'succeeded', delivered_at + interval '1 day',
       delivered_at + interval '1 day'
  FROM market.orders WHERE delivered_at < timestamptz '{end}' - interval '1 day' AND hashtext(order_id) % 100 = 0
""",
}
_COLUMNS = {
    "accounts": "account_id, display_name, is_seller, status, signup_ip, signup_device_id, created_at, updated_at",
    "orders": "order_id, buyer_id, seller_id, status, total_amount, payment_method, card_fingerprint, ip, device_id,"
    " ship_name, ship_postal_code, ship_address, ordered_at, paid_at, shipped_at, delivered_at, updated_at",
    "payment_attempts": "attempt_id, account_id, order_id, card_fingerprint, amount, result, ip, device_id,"
    " attempted_at",
    "follow_events": "event_id, follower_id, followee_id, kind, occurred_at",
    "account_events": "event_id, account_id, kind, ip, device_id, occurred_at",
    "posts": "post_id, account_id, kind, recipient_id, body, urls, created_at, updated_at",
    "user_reports": "report_id, reporter_id, subject_kind, subject_id, reason, created_at",
    "refunds": "refund_id, order_id, amount, route, state, created_at, updated_at",
}


async def fill(conn: Any, size: Size) -> dict[str, int]:
    """The contract's tables with these rows; indexes come after the rows, statistics last. Returns rows by relation."""
    contract = CONTRACT_FILE.read_text(encoding="utf-8")
    indexes = re.findall(r"^CREATE INDEX .*;$", contract, re.MULTILINE)
    # What is made anew in minutes need not survive a crash.
    tables = re.sub(r"^CREATE INDEX .*;$", "", contract, flags=re.MULTILINE)
    await conn.execute(tables.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"))
    await conn.execute(f"{_RANDOM}; SET maintenance_work_mem TO '512MB'; SET work_mem TO '256MB'")
    rows = {}
    for relation, select in _ROWS.items():
        begun = time.monotonic()
        sql = select.format(
            orders=size.orders,
            follows=size.follows,
            buyers=size.buyers,
            sellers=size.sellers,
            days=size.days,
            end=END.isoformat(),
        )
        tag = await conn.execute(f"INSERT INTO market.{relation} ({_COLUMNS[relation]}) {sql}")
        rows[relation] = int(tag.rpartition(" ")[2])
        _say(f"{rows[relation]:,} {relation}", begun)
    begun = time.monotonic()
    for index in indexes:
        await conn.execute(index)
    _say(f"{len(indexes)} indexes", begun)
    begun = time.monotonic()
    await conn.execute("VACUUM ANALYZE")
    _say("statistics", begun)
    return rows


def moments(count: int, apart: timedelta = timedelta(seconds=97)) -> list[datetime]:
    """Moments before the end at which a tick may look: each sees other rows than the one before."""
    return [END - apart * n for n in range(count)]


def _say(what: str, begun: float) -> None:
    sys.stderr.write(f"  {what} in {time.monotonic() - begun:.0f} s\n")
