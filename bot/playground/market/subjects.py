"""Reads one order, account, listing or post whole, with what belongs to it."""

from __future__ import annotations

import json
from typing import Any

from bot.playground.market.effects import plain

COLLECTIONS = {
    "orders": "order_id",
    "accounts": "account_id",
    "listings": "listing_id",
    "posts": "post_id",
}
"""Each collection of the admin API, and the column that names its members."""

_BELONGING: dict[str, dict[str, str]] = {
    "orders": {
        "order_items": "SELECT * FROM market.order_items WHERE order_id = $1 ORDER BY line_no",
        "refunds": "SELECT * FROM market.refunds WHERE order_id = $1 ORDER BY created_at, refund_id",
        "payment_attempts": """SELECT * FROM market.payment_attempts WHERE order_id = $1
                                ORDER BY attempted_at, attempt_id LIMIT 100""",
        "chargebacks": "SELECT * FROM market.chargebacks WHERE order_id = $1 ORDER BY received_at",
        "fraud_warnings": "SELECT * FROM market.fraud_warnings WHERE order_id = $1 ORDER BY received_at",
    },
    "accounts": {
        "listings": """SELECT * FROM market.listings WHERE seller_id = $1
                        ORDER BY created_at DESC, listing_id LIMIT 100""",
        "orders": """(SELECT * FROM market.orders WHERE buyer_id = $1 ORDER BY ordered_at DESC LIMIT 100)
                     UNION
                     (SELECT * FROM market.orders WHERE seller_id = $1 ORDER BY ordered_at DESC LIMIT 100)
                     ORDER BY ordered_at DESC, order_id LIMIT 100""",
        "posts": """SELECT * FROM market.posts WHERE account_id = $1
                     ORDER BY created_at DESC, post_id LIMIT 100""",
        "account_events": """SELECT * FROM market.account_events WHERE account_id = $1
                              ORDER BY occurred_at DESC, event_id LIMIT 100""",
    },
    "listings": {},
    "posts": {},
}


async def read_subject(pool: Any, collection: str, subject_id: str) -> dict[str, Any] | None:
    """The record as JSON has it; None if there is no such subject. A hidden post is still one."""
    row = await pool.fetchrow(
        f"SELECT * FROM market.{collection} WHERE {COLLECTIONS[collection]} = $1",  # noqa: S608 - our own names
        subject_id,
    )
    if row is None:
        return await _read_hidden_post(pool, subject_id) if collection == "posts" else None
    record: dict[str, Any] = plain(dict(row))
    for name, query in _BELONGING[collection].items():
        record[name] = [plain(dict(one)) for one in await pool.fetch(query, subject_id)]
    if collection == "posts":
        record["hidden"] = False
    return record


async def _read_hidden_post(pool: Any, post_id: str) -> dict[str, Any] | None:
    post = await pool.fetchval(
        "SELECT post FROM backoffice.removed_posts WHERE post_id = $1", post_id
    )
    return None if post is None else {**json.loads(post), "hidden": True}
