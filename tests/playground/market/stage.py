"""Sets the stage for tests against a running demo marketplace."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)


class StillClock:
    """A market whose time moves only when a test says so."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


async def add_account(conn: Any, account_id: str, **columns: Any) -> None:
    await _insert(
        conn,
        "accounts",
        {
            "account_id": account_id,
            "display_name": account_id,
            "status": "active",
            "updated_at": NOW,
        }
        | columns,
    )


async def add_order(conn: Any, order_id: str, **columns: Any) -> None:
    await _insert(
        conn,
        "orders",
        {
            "order_id": order_id,
            "buyer_id": "b-1",
            "seller_id": "s-1",
            "status": "paid",
            "total_amount": 10000,
            "currency": "JPY",
            "discount_amount": 500,
            "points_amount": 300,
            "payment_method": "card",
            "ordered_at": NOW,
            "paid_at": NOW,
            "updated_at": NOW,
        }
        | columns,
    )


async def add_listing(conn: Any, listing_id: str, **columns: Any) -> None:
    await _insert(
        conn,
        "listings",
        {
            "listing_id": listing_id,
            "seller_id": "s-1",
            "title": "器",
            "price": 3000,
            "status": "active",
            "created_at": NOW,
            "updated_at": NOW,
        }
        | columns,
    )


async def _insert(conn: Any, table: str, columns: dict[str, Any]) -> None:
    places = ", ".join(f"${n + 1}" for n in range(len(columns)))
    await conn.execute(
        f"INSERT INTO market.{table} ({', '.join(columns)}) VALUES ({places})", *columns.values()
    )
