"""The read side of the market contract as values: its relations, their columns and types."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Relations = Mapping[str, Mapping[str, str]]

CONTRACT: Relations = MappingProxyType(
    {
        "accounts": MappingProxyType(
            {
                "account_id": "text",
                "display_name": "text",
                "full_name": "text",
                "full_name_kana": "text",
                "email": "text",
                "phone": "text",
                "postal_code": "text",
                "address": "text",
                "is_seller": "boolean",
                "status": "text",
                "signup_ip": "inet",
                "signup_device_id": "text",
                "payout_account_hash": "text",
                "payout_name_kana": "text",
                "payout_changed_at": "timestamptz",
                "suspended_at": "timestamptz",
                "admin_url": "text",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
            }
        ),
        "orders": MappingProxyType(
            {
                "order_id": "text",
                "buyer_id": "text",
                "seller_id": "text",
                "status": "text",
                "total_amount": "bigint",
                "currency": "text",
                "discount_amount": "bigint",
                "points_amount": "bigint",
                "payment_method": "text",
                "card_fingerprint": "text",
                "card_bin": "text",
                "ip": "inet",
                "device_id": "text",
                "ship_name": "text",
                "ship_postal_code": "text",
                "ship_address": "text",
                "three_ds_result": "text",
                "tracking_number": "text",
                "ordered_at": "timestamptz",
                "paid_at": "timestamptz",
                "ship_due_at": "timestamptz",
                "shipped_at": "timestamptz",
                "delivered_at": "timestamptz",
                "payout_at": "timestamptz",
                "held_at": "timestamptz",
                "canceled_at": "timestamptz",
                "admin_url": "text",
                "updated_at": "timestamptz",
            }
        ),
        "order_items": MappingProxyType(
            {
                "order_id": "text",
                "line_no": "integer",
                "listing_id": "text",
                "title": "text",
                "unit_price": "bigint",
                "quantity": "integer",
            }
        ),
        "payment_attempts": MappingProxyType(
            {
                "attempt_id": "text",
                "account_id": "text",
                "order_id": "text",
                "card_fingerprint": "text",
                "card_bin": "text",
                "amount": "bigint",
                "currency": "text",
                "result": "text",
                "decline_code": "text",
                "ip": "inet",
                "device_id": "text",
                "attempted_at": "timestamptz",
            }
        ),
        "listings": MappingProxyType(
            {
                "listing_id": "text",
                "seller_id": "text",
                "title": "text",
                "description": "text",
                "price": "bigint",
                "currency": "text",
                "image_hashes": "bigint[]",
                "image_urls": "text[]",
                "admin_url": "text",
                "status": "text",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
            }
        ),
        "follow_events": MappingProxyType(
            {
                "event_id": "text",
                "follower_id": "text",
                "followee_id": "text",
                "kind": "text",
                "occurred_at": "timestamptz",
            }
        ),
        "posts": MappingProxyType(
            {
                "post_id": "text",
                "account_id": "text",
                "kind": "text",
                "recipient_id": "text",
                "body": "text",
                "urls": "text[]",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
            }
        ),
        "chargebacks": MappingProxyType(
            {
                "chargeback_id": "text",
                "order_id": "text",
                "amount": "bigint",
                "currency": "text",
                "reason": "text",
                "received_at": "timestamptz",
            }
        ),
        "refunds": MappingProxyType(
            {
                "refund_id": "text",
                "order_id": "text",
                "amount": "bigint",
                "currency": "text",
                "route": "text",
                "state": "text",
                "external_reference": "text",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
            }
        ),
        "fraud_warnings": MappingProxyType(
            {
                "warning_id": "text",
                "order_id": "text",
                "kind": "text",
                "reason": "text",
                "received_at": "timestamptz",
            }
        ),
        "account_events": MappingProxyType(
            {
                "event_id": "text",
                "account_id": "text",
                "kind": "text",
                "ip": "inet",
                "device_id": "text",
                "occurred_at": "timestamptz",
            }
        ),
        "user_reports": MappingProxyType(
            {
                "report_id": "text",
                "reporter_id": "text",
                "subject_kind": "text",
                "subject_id": "text",
                "reason": "text",
                "body": "text",
                "created_at": "timestamptz",
            }
        ),
        "inquiries": MappingProxyType(
            {
                "inquiry_id": "text",
                "account_id": "text",
                "category": "text",
                "subject": "text",
                "body": "text",
                "created_at": "timestamptz",
            }
        ),
    }
)
"""By relation: the Postgres type of each column, as contract/market.sql declares it."""
