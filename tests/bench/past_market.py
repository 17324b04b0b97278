"""Writes a market directory of made-up orders, for timing backtests: `python -m tests.bench.past_market DIR`."""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
_SEED = 5

Row = Sequence[object]


def write_market(folder: Path, *, orders: int, days: float) -> None:
    """Orders at an even rate with what surrounds them: attempts, items, log-ins, follows, a few chargebacks.

    One buyer orders about four times, one seller sells about fifty; one order in a hundred comes back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(_SEED)  # noqa: S311 - no secret
    buyers, sellers = max(orders // 4, 10), max(orders // 50, 5)
    gap = timedelta(days=days) / orders
    joined = {f"b{n}": START - timedelta(days=rng.uniform(1, 400)) for n in range(buyers)}
    joined |= {f"s{n}": START - timedelta(days=rng.uniform(100, 900)) for n in range(sellers)}
    _write(
        folder / "accounts.csv",
        "account_id display_name is_seller status signup_ip signup_device_id created_at updated_at",
        (
            (id_, id_, id_[0] == "s", "active", _ip(rng), f"d-{id_}", at, at)
            for id_, at in joined.items()
        ),
    )
    chosen = [(rng.randrange(buyers), rng.randrange(sellers)) for _ in range(orders)]
    amounts = [rng.randrange(500, 20_000) for _ in range(orders)]
    times = [START + gap * n for n in range(orders)]
    _write(
        folder / "orders.csv",
        "order_id buyer_id seller_id status total_amount payment_method card_fingerprint card_bin ip device_id"
        " ship_name ship_postal_code ship_address ordered_at paid_at shipped_at delivered_at updated_at",
        _orders(rng, chosen, amounts, times),
    )
    _write(
        folder / "order_items.csv",
        "order_id line_no listing_id title unit_price quantity",
        (
            (f"o{n}", 1, f"l{chosen[n][1]}-{n % 20}", "a thing", amounts[n], 1)
            for n in range(orders)
        ),
    )
    _write(
        folder / "payment_attempts.csv",
        "attempt_id account_id order_id card_fingerprint card_bin amount result attempted_at",
        (
            (f"p{n}", f"b{b}", f"o{n}", f"k-{b}", "411111", amounts[n], "approved", times[n])
            for n, (b, _) in enumerate(chosen)
        ),
    )
    _write(
        folder / "account_events.csv",
        "event_id account_id kind ip device_id occurred_at",
        (
            (f"e{n}", f"b{b}", "login", _ip(rng), f"d-b{b}", times[n] - timedelta(minutes=5))
            for n, (b, _) in enumerate(chosen)
        ),
    )
    _write(
        folder / "follow_events.csv",
        "event_id follower_id followee_id kind occurred_at",
        (
            (f"f{n}", f"b{b}", f"s{rng.randrange(sellers)}", "follow", times[n])
            for n, (b, _) in enumerate(chosen)
            if n % 2
        ),
    )
    _write(
        folder / "chargebacks.csv",
        "chargeback_id order_id amount reason received_at",
        (
            (f"c{n}", f"o{n}", amounts[n], "fraud", times[n] + timedelta(days=rng.uniform(5, 30)))
            for n in range(0, orders, 100)
        ),
    )


def _orders(
    rng: random.Random,
    chosen: Sequence[tuple[int, int]],
    amounts: Sequence[int],
    times: Sequence[datetime],
) -> Iterator[Row]:
    for n, (b, s) in enumerate(chosen):
        shipped = times[n] + timedelta(hours=rng.uniform(12, 96))
        delivered = shipped + timedelta(hours=rng.uniform(12, 72))
        yield (
            *(f"o{n}", f"b{b}", f"s{s}", "delivered", amounts[n], "card", f"k-{b}", "411111"),
            *(_ip(rng), f"d-b{b}", f"name {b}", f"{b % 9999:07}", f"address {b}"),
            *(times[n], times[n], shipped, delivered, delivered),
        )


def _ip(rng: random.Random) -> str:
    return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _write(path: Path, header: str, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder for the CSV files")
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=90)
    asked = parser.parse_args()
    write_market(asked.folder, orders=asked.orders, days=asked.days)


if __name__ == "__main__":
    main()
