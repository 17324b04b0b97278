"""Carry a draft out in one transaction, with an effect ledger that proves how often it happened."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from bot.playground.market.drafts import KINDS, Draft
from bot.playground.postgres import MARKET_READER, grant_market_reader

CONTRACT = Path(__file__).parents[3] / "contract" / "market.sql"

BACKOFFICE = """
CREATE SCHEMA IF NOT EXISTS backoffice;
CREATE TABLE IF NOT EXISTS backoffice.secrets (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS backoffice.operations (
    seq             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_id    text        NOT NULL UNIQUE,
    idempotency_key text        NOT NULL,
    kind            text        NOT NULL,
    subject_id      text        NOT NULL,
    body            jsonb       NOT NULL,
    request_hash    text        NOT NULL,
    state           text        NOT NULL,
    http_status     integer     NOT NULL,
    outcome         jsonb       NOT NULL,
    received_at     timestamptz NOT NULL,
    completes_at    timestamptz
);
CREATE INDEX IF NOT EXISTS operations_by_key ON backoffice.operations (idempotency_key);
CREATE INDEX IF NOT EXISTS operations_by_subject ON backoffice.operations (subject_id);
CREATE INDEX IF NOT EXISTS operations_pending ON backoffice.operations (completes_at) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS backoffice.effects (
    effect_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text        NOT NULL,
    kind            text        NOT NULL,
    subject_id      text        NOT NULL,
    amount          bigint      NOT NULL DEFAULT 0,
    currency        text,
    at              timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS backoffice.hidden_listings (
    account_id text NOT NULL, listing_id text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS backoffice.removed_listings (listing_id text PRIMARY KEY, status text NOT NULL);
CREATE TABLE IF NOT EXISTS backoffice.removed_posts (post_id text PRIMARY KEY, post jsonb NOT NULL);
"""

_KEYS = {"orders": "order_id", "accounts": "account_id", "listings": "listing_id"}


async def create_schema(dsn: str) -> None:
    """The contract's relations where they are missing, the back office's own tables, and the reader's grants."""
    conn = await asyncpg.connect(dsn)
    try:
        if not await conn.fetchval("SELECT to_regclass('market.orders') IS NOT NULL"):
            await conn.execute(CONTRACT.read_text(encoding="utf-8"))
        await conn.execute(BACKOFFICE)
        await conn.execute(
            """INSERT INTO backoffice.secrets VALUES ('plan_token', gen_random_uuid()::text)
               ON CONFLICT DO NOTHING"""
        )
        reader = await conn.fetchval(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", MARKET_READER
        )
    finally:
        await conn.close()
    if reader:
        await grant_market_reader(dsn)


async def apply(conn: Any, draft: Draft, *, key: str, now: datetime) -> None:
    """Do what the draft says, and note that it was done; the caller's transaction holds both."""
    await _change_row(conn, draft, now)
    if draft.refund is not None:
        await conn.execute(
            """INSERT INTO market.refunds (refund_id, order_id, amount, currency, route, state,
                 external_reference, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, 'succeeded', $6, $7, $7)""",
            f"R-{uuid4().hex[:16]}",
            draft.subject_id,
            draft.refund.amount,
            draft.refund.currency,
            draft.refund.route,
            draft.refund.external_reference,
            now,
        )
    await conn.execute(
        """INSERT INTO backoffice.effects (idempotency_key, kind, subject_id, amount, currency, at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        key,
        draft.kind,
        draft.subject_id,
        draft.refund.amount if draft.refund else 0,
        draft.currency,
        now,
    )


async def _change_row(conn: Any, draft: Draft, now: datetime) -> None:
    match draft.kind:
        case "warn":
            return
        case "refund":
            await conn.execute(
                "UPDATE market.orders SET updated_at = $2 WHERE order_id = $1",
                draft.subject_id,
                now,
            )
            return
        case "remove_follows":
            await conn.executemany(
                """INSERT INTO market.follow_events (event_id, follower_id, followee_id, kind, occurred_at)
                   VALUES ($1, $2, $3, 'unfollow', $4)""",
                [
                    (f"B-{uuid4().hex[:16]}", draft.subject_id, followee, now)
                    for followee in draft.follows
                ],
            )
            return
        case "remove_post" | "restore_post":
            await _move_post(conn, draft)
            return
        case _:
            await _set_columns(conn, draft, now)
    match draft.kind:
        case "suspend":
            await conn.execute(
                """WITH hidden AS (
                     UPDATE market.listings SET status = 'hidden', updated_at = $3
                      WHERE listing_id = ANY ($2) RETURNING listing_id)
                   INSERT INTO backoffice.hidden_listings SELECT $1, listing_id FROM hidden
                   ON CONFLICT (listing_id) DO UPDATE SET account_id = excluded.account_id""",
                draft.subject_id,
                list(draft.listings),
                now,
            )
        case "reinstate":
            await conn.execute(
                """WITH shown AS (DELETE FROM backoffice.hidden_listings WHERE account_id = $1
                                  RETURNING listing_id)
                   UPDATE market.listings l SET status = 'active', updated_at = $2 FROM shown
                    WHERE l.listing_id = shown.listing_id AND l.status = 'hidden'""",
                draft.subject_id,
                now,
            )
        case "takedown":
            await conn.execute(
                """WITH shown_again AS (DELETE FROM backoffice.hidden_listings WHERE listing_id = $1)
                   INSERT INTO backoffice.removed_listings VALUES ($1, $2)
                   ON CONFLICT (listing_id) DO UPDATE SET status = excluded.status""",
                draft.subject_id,
                draft.remembered,
            )
        case "restore":
            await conn.execute(
                "DELETE FROM backoffice.removed_listings WHERE listing_id = $1", draft.subject_id
            )
            if draft.after["status"] != draft.remembered:
                # Its seller is suspended: it is shown when that ends.
                await conn.execute(
                    """INSERT INTO backoffice.hidden_listings
                       SELECT seller_id, listing_id FROM market.listings WHERE listing_id = $1""",
                    draft.subject_id,
                )
        case _:
            return


async def _set_columns(conn: Any, draft: Draft, now: datetime) -> None:
    table = KINDS[draft.kind]
    names = list(draft.after)
    assignments = ", ".join(f"{name} = ${n + 3}" for n, name in enumerate(names))
    await conn.execute(
        f"UPDATE market.{table} SET {assignments}, updated_at = $2 WHERE {_KEYS[table]} = $1",  # noqa: S608
        draft.subject_id,
        now,
        *draft.after.values(),
    )


async def _move_post(conn: Any, draft: Draft) -> None:
    if draft.kind == "remove_post":
        await conn.execute(
            """WITH gone AS (DELETE FROM market.posts WHERE post_id = $1 RETURNING *)
               INSERT INTO backoffice.removed_posts SELECT post_id, to_jsonb(gone) FROM gone""",
            draft.subject_id,
        )
        return
    await conn.execute(
        """WITH back AS (DELETE FROM backoffice.removed_posts WHERE post_id = $1 RETURNING post)
           INSERT INTO market.posts SELECT r.* FROM back, jsonb_populate_record(NULL::market.posts, post) r""",
        draft.subject_id,
    )


def plain(values: Any) -> Any:
    """Values of rows as JSON has them."""
    return json.loads(json.dumps(values, default=_text))


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
