"""`make bench-detect`: a tick that costs what changed, against the plain query that would be run each minute instead."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from bot.actions import registry
from bot.detections.detection import BUILT_IN, Detection
from bot.detections.engine import values_of
from bot.detections.loading import load_detections
from bot.playground.postgres import MARKET_OWNER, MARKET_READER, Server
from tests.bench import report
from tests.bench.large_market import Size, fill, moments
from tests.bench.report import Figure
from tests.bench.world import a_server

AIM = 20.0
"""How many times cheaper a tick shall be for windows of a day and more, at ten million orders."""
_AIM_FROM = timedelta(hours=24)
_AIM_ORDERS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What somebody writes who counts the whole window each minute; $1 is the moment."""

    window: timedelta
    sql: str


def _hours(count: float, sql: str) -> Plain:
    return Plain(window=timedelta(hours=count), sql=sql.replace("$1", "$1::timestamptz"))


# The longest window that a detection counts in one go, and the same question asked plainly.
PLAIN: Mapping[str, Plain] = {
    "follow_churn": _hours(28 * 24, """
SELECT follower_id, count(*) FILTER (WHERE kind = 'follow' AND occurred_at > $1 - interval '1 hour') AS hour,
       count(*) FILTER (WHERE kind = 'follow' AND occurred_at > $1 - interval '24 hours') AS day,
       count(*) FILTER (WHERE kind = 'follow' AND occurred_at > $1 - interval '7 days') AS week,
       count(*) FILTER (WHERE kind = 'unfollow' AND before = 'follow') AS churned
  FROM (SELECT *, lag(kind) OVER (PARTITION BY follower_id, followee_id ORDER BY occurred_at) AS before
          FROM follow_events WHERE occurred_at > $1 - interval '28 days' AND occurred_at <= $1) AS e
 GROUP BY 1
HAVING count(*) FILTER (WHERE kind = 'follow' AND occurred_at > $1 - interval '1 hour') >= 100
    OR count(*) FILTER (WHERE kind = 'follow' AND occurred_at > $1 - interval '24 hours') >= 400
    OR count(*) FILTER (WHERE kind = 'follow' AND occurred_at > $1 - interval '7 days') >= 1500
    OR count(*) FILTER (WHERE kind = 'unfollow' AND before = 'follow') >= 250"""),
    "refund_payee_reuse": _hours(90 * 24, """
SELECT o.buyer_id, count(DISTINCT o.order_id) AS orders, count(DISTINCT r.refund_id) AS refunds
  FROM orders o LEFT JOIN refunds r ON r.order_id = o.order_id AND r.state <> 'failed'
 WHERE o.ordered_at > $1 - interval '90 days' AND o.ordered_at <= $1
 GROUP BY 1
HAVING count(DISTINCT r.refund_id) >= 3 AND 100 * count(DISTINCT r.refund_id) >= 30 * count(DISTINCT o.order_id)"""),
    "many_cards_per_buyer": _hours(7 * 24, """
SELECT account_id, count(DISTINCT card) FROM (
    SELECT buyer_id AS account_id, card_fingerprint AS card FROM orders
     WHERE ordered_at > $1 - interval '7 days' AND ordered_at <= $1
     UNION ALL
    SELECT account_id, card_fingerprint FROM payment_attempts
     WHERE attempted_at > $1 - interval '7 days' AND attempted_at <= $1) AS seen
 GROUP BY 1 HAVING count(DISTINCT card) > 8"""),
    "device_many_cards": _hours(7 * 24, """
SELECT device_id, count(DISTINCT card) FROM (
    SELECT device_id, card_fingerprint AS card FROM orders
     WHERE ordered_at > $1 - interval '7 days' AND ordered_at <= $1
     UNION ALL
    SELECT device_id, card_fingerprint FROM payment_attempts
     WHERE attempted_at > $1 - interval '7 days' AND attempted_at <= $1) AS seen
 GROUP BY 1 HAVING count(DISTINCT card) >= 4"""),
    "card_on_many_accounts": _hours(7 * 24, """
SELECT card_fingerprint, count(DISTINCT buyer_id) FROM orders
 WHERE ordered_at > $1 - interval '7 days' AND ordered_at <= $1
 GROUP BY 1 HAVING count(DISTINCT buyer_id) >= 3"""),
    "ship_to_cluster": _hours(7 * 24, """
SELECT ship_postal_code, ship_address, count(DISTINCT buyer_id) AS buyers, count(DISTINCT card_fingerprint) AS cards FROM orders
 WHERE ordered_at > $1 - interval '7 days' AND ordered_at <= $1
 GROUP BY 1, 2 HAVING count(DISTINCT buyer_id) >= 3 AND count(DISTINCT card_fingerprint) >= 2"""),
    "dropship_triangle": _hours(7 * 24, """
SELECT buyer_id, count(DISTINCT ship_name) AS names, count(DISTINCT card_fingerprint) AS cards FROM orders
 WHERE ordered_at > $1 - interval '7 days' AND ordered_at <= $1
 GROUP BY 1 HAVING count(DISTINCT ship_name) >= 4 AND count(DISTINCT card_fingerprint) >= 2"""),
    "user_reports": _hours(7 * 24, """
SELECT subject_id, count(DISTINCT reporter_id) FROM user_reports
 WHERE subject_kind = 'account' AND created_at > $1 - interval '7 days' AND created_at <= $1
 GROUP BY 1 HAVING count(DISTINCT reporter_id) >= 3"""),
    "new_seller_burst": _hours(24, """
SELECT o.seller_id, count(*) FROM orders o
  JOIN accounts s ON s.account_id = o.seller_id JOIN accounts b ON b.account_id = o.buyer_id
 WHERE o.ordered_at > $1 - interval '24 hours' AND o.ordered_at <= $1 AND s.created_at > $1 - interval '14 days'
 GROUP BY 1
HAVING count(*) >= 3 AND 100 * count(*) FILTER (WHERE b.created_at > $1 - interval '48 hours') >= 70 * count(*)"""),
    "repeat_card_or_buyer_day": _hours(24, """
SELECT buyer_id, count(*) FROM orders
 WHERE ordered_at > $1 - interval '24 hours' AND ordered_at <= $1 GROUP BY 1 HAVING count(*) >= 3
 UNION ALL
SELECT card_fingerprint, count(*) FROM orders
 WHERE ordered_at > $1 - interval '24 hours' AND ordered_at <= $1 GROUP BY 1 HAVING count(*) >= 3"""),
    "card_testing": _hours(2, """
SELECT account_id, count(*) FROM payment_attempts
 WHERE attempted_at > $1 - interval '2 hours' AND attempted_at <= $1 AND result = 'declined'
 GROUP BY 1 HAVING count(*) >= 5
 UNION ALL
SELECT ip::text, count(*) FROM payment_attempts
 WHERE attempted_at > $1 - interval '1 hour' AND attempted_at <= $1 AND result = 'declined'
 GROUP BY 1 HAVING count(*) >= 5"""),
    "new_buyer_bulk": _hours(1, """
SELECT o.buyer_id, count(*), sum(o.total_amount) FROM orders o JOIN accounts b ON b.account_id = o.buyer_id
 WHERE o.ordered_at > $1 - interval '1 hour' AND o.ordered_at <= $1 AND b.created_at > $1 - interval '24 hours'
 GROUP BY 1 HAVING count(*) >= 3 OR count(*) >= 2 AND sum(o.total_amount) >= 30000"""),
    "repeat_card_or_buyer_hour": _hours(1, """
SELECT buyer_id, count(*) FROM orders
 WHERE ordered_at > $1 - interval '1 hour' AND ordered_at <= $1 GROUP BY 1 HAVING count(*) >= 2
 UNION ALL
SELECT card_fingerprint, count(*) FROM orders
 WHERE ordered_at > $1 - interval '1 hour' AND ordered_at <= $1 GROUP BY 1 HAVING count(*) >= 2"""),
    "link_spam": _hours(1, """
SELECT account_id, lower(substring(url FROM '^[a-z]+://([^/?#]+)')) AS host, count(DISTINCT recipient_id)
  FROM posts CROSS JOIN LATERAL unnest(urls) AS url
 WHERE created_at > $1 - interval '1 hour' AND created_at <= $1 GROUP BY 1, 2 HAVING count(DISTINCT recipient_id) >= 5"""),
    "bulk_signup": _hours(1, """
SELECT signup_device_id, count(*) FROM accounts
 WHERE created_at > $1 - interval '1 hour' AND created_at <= $1 GROUP BY 1 HAVING count(*) >= 5
 UNION ALL
SELECT set_masklen(signup_ip, 24)::text, count(*) FROM accounts
 WHERE created_at > $1 - interval '1 hour' AND created_at <= $1 GROUP BY 1 HAVING count(*) >= 5"""),
    "credential_stuffing": _hours(1, """
SELECT ip, count(DISTINCT account_id) FROM account_events
 WHERE kind = 'login_failed' AND occurred_at > $1 - interval '1 hour' AND occurred_at <= $1
 GROUP BY 1 HAVING count(DISTINCT account_id) >= 30"""),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds of one detection, medians over the moments."""

    detection: Detection
    plain: Plain
    tick_s: float
    plain_s: float

    @property
    def ratio(self) -> float:
        return self.plain_s / self.tick_s


async def measure(server: Server, size: Size, *, looks: int) -> list[Figure]:
    """Time every detection that counts in a window, on a marketplace of this size."""
    name = "bench_detect"
    await server.drop_database(name)
    await server.create_database(name, owner=MARKET_OWNER, guests=(MARKET_READER,))
    owner = await asyncpg.connect(
        server.dsn(name, MARKET_OWNER), server_settings={"timezone": "UTC"}
    )
    try:
        sys.stderr.write(f"filling {size.orders:,} orders, {size.follows:,} follows …\n")
        await fill(owner, size)
        await owner.execute(
            f"GRANT USAGE ON SCHEMA market TO {MARKET_READER};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA market TO {MARKET_READER}"
        )
    finally:
        await owner.close()
    pack = {one.name: one for one in load_detections([BUILT_IN], actions=registry()).detections}
    figures = []
    reader = await asyncpg.connect(
        server.dsn(name, MARKET_READER),
        statement_cache_size=0,
        # As the engine reads.
        server_settings={"timezone": "UTC", "search_path": "market", "jit": "off"},
    )
    try:
        for detection_name, plain in PLAIN.items():
            timed = await time_one(reader, pack[detection_name], plain, looks=looks)
            sys.stderr.write(f"  {detection_name}: {timed.ratio:.1f}\n")
            figures.append(figure_of(timed, size))
    finally:
        await reader.close()
    await server.drop_database(name)
    return figures


async def time_one(conn: Any, detection: Detection, plain: Plain, *, looks: int) -> Timed:
    """Both planned and run anew each time in one session, as neither is prepared when its minute comes."""

    async def tick(now: datetime) -> None:
        values = values_of(detection, now=now, changed_since=now - detection.every)
        statement = detection.statement
        await conn.fetch(statement.sql, *(values[name] for name in statement.names))

    async def whole(now: datetime) -> None:
        await conn.fetch(plain.sql, now)

    return Timed(
        detection=detection,
        plain=plain,
        tick_s=await _median(tick, moments(looks)),
        plain_s=await _median(whole, moments(max(3, looks // 5))),
    )


async def _median(work: Callable[[datetime], Awaitable[None]], at: list[datetime]) -> float:
    taken = []
    # The first finds the caches cold, for both alike; it does not count.
    for now in [at[-1], *at]:
        begun = time.perf_counter()
        await work(now)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def figure_of(timed: Timed, size: Size) -> Figure:
    """One line; the aim stands where the issue of it is: long windows over ten million orders."""
    has_aim = timed.plain.window >= _AIM_FROM and size.orders >= _AIM_ORDERS
    hours = timed.plain.window / timedelta(hours=1)
    window = f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"
    return Figure(
        name=f"{size.orders:,} orders: {timed.detection.name} ({window})",
        value=f"{timed.tick_s * 1000:.1f} ms",
        baseline=f"whole window: {timed.plain_s * 1000:.1f} ms",
        ratio=timed.ratio,
        aim=f"≥ {AIM:.0f}" if has_aim else None,
        met=timed.ratio >= AIM if has_aim else None,
    )


async def bench(sizes: list[Size], *, looks: int) -> tuple[dict[str, str], list[Figure]]:
    with tempfile.TemporaryDirectory(prefix="mimawari_bench_") as folder:
        async with a_server(Path(folder)) as server:
            async with server.superuser() as conn:
                settings = [
                    (name, str(await conn.fetchval(f"SHOW {name}")))
                    for name in ("server_version", "shared_buffers", "work_mem")
                ]
            about = report.machine(settings)
            figures: list[Figure] = []
            for size in sizes:
                figures += await measure(server, size, looks=looks)
    return about, figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.detect", description=__doc__)
    parser.add_argument(
        "--orders",
        type=int,
        action="append",
        help="how many; twice as many follows. Repeatable; not given: one and ten million",
    )
    parser.add_argument("--days", type=int, default=365, help="over how many days")
    parser.add_argument("--looks", type=int, default=25, help="ticks that are timed a detection")
    parser.add_argument(
        "--markdown", action="store_true", help="print a table for docs/performance.md"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args()
    sizes = [
        Size(orders=orders, follows=2 * orders, days=asked.days)
        for orders in asked.orders or [1_000_000, 10_000_000]
    ]
    about, figures = asyncio.run(bench(sizes, looks=asked.looks))
    draw = report.as_markdown if asked.markdown else report.as_text
    sys.stdout.write(draw(about, figures) + "\n")
    if asked.json:
        asked.json.write_text(report.as_json(about, figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
