"""Reads what callers of the admin API send, strictly: unknown fields and wrong types are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.playground.market.drafts import KINDS, TEMPLATES

_COMMON: dict[str, type] = {"reason": str, "actor": str, "note": str, "plan_token": str}
_FIELDS: dict[str, dict[str, type]] = {
    "cancel": {"refund_policy": str, "notify_buyer": bool, "notify_seller": bool},
    "refund": {"amount": int, "currency": str, "route": str, "external_reference": str},
    "warn": {"template": str},
    "remove_follows": {"since": str},
}
_REQUIRED = {"refund": ("amount", "currency"), "warn": ("template",), "remove_follows": ("since",)}
_CHOICES: dict[str, tuple[str, ...]] = {
    "refund_policy": ("normal", "withhold"),
    "route": ("original", "external"),
    "template": TEMPLATES,
}


class BodyError(Exception):
    """A request that is not as the contract says."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def parse_body(kind: str, raw: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a verb's request body.

    Raises:
        BodyError: 400 for what is no JSON object, 422 for fields that do not fit.
    """
    if content_type != "application/json":
        raise BodyError("malformed", "The body must be application/json.", 400)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise BodyError("malformed", "The body is not JSON.", 400) from None
    if not isinstance(body, dict):
        raise BodyError("malformed", "The body must be an object.", 400)
    fields = {**_COMMON, **_FIELDS.get(kind, {})}
    for name, value in body.items():
        expected = fields.get(name)
        if expected is None:
            raise BodyError("unknown_field", f"`{name[:80]}` is no field of {kind}.", 422)
        # bool is an int in Python, but not in JSON.
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise BodyError("invalid_field", f"`{name}` has the wrong type.", 422)
        if name in _CHOICES and value not in _CHOICES[name]:
            raise BodyError(
                "invalid_field", f"`{name}` must be one of {', '.join(_CHOICES[name])}.", 422
            )
        if isinstance(value, str) and "\x00" in value:
            raise BodyError("invalid_field", f"`{name}` holds a NUL character.", 422)
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise BodyError("invalid_field", f"`{name}` is not valid text.", 422)
    for name in ("reason", "actor", *_REQUIRED.get(kind, ())):
        if name not in body:
            raise BodyError("missing_field", f"`{name}` is missing.", 422)
    if kind == "refund" and not 1 <= body["amount"] < 2**63:
        raise BodyError("invalid_field", "`amount` must be at least 1.", 422)
    if kind == "refund":
        body.setdefault("route", "original")
    if kind == "remove_follows":
        body["since"] = parse_time(body["since"], "since")
    return body


def parse_plan_query(query: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The verb and its parameters from a plan's query. Raises BodyError."""
    kind = query.get("kind", "")
    if kind not in KINDS:
        raise BodyError("invalid_kind", "`kind` must be a verb of the contract.", 422)
    params: dict[str, Any] = {}
    if "amount" in query:
        amount = query["amount"]
        if (
            not amount.isascii()
            or not amount.isdigit()
            or not 1 <= len(amount) <= 18
            or amount == "0"
        ):
            raise BodyError("invalid_field", "`amount` must be a whole number from 1.", 422)
        params["amount"] = int(amount)
    if "refund_policy" in query:
        if query["refund_policy"] not in _CHOICES["refund_policy"]:
            raise BodyError("invalid_field", "`refund_policy` must be normal or withhold.", 422)
        params["refund_policy"] = query["refund_policy"]
    return kind, params


def parse_time(value: str | None, name: str) -> datetime | None:
    """A time with its zone. Raises BodyError."""
    if value is None:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise BodyError("invalid_field", f"`{name}` must be an ISO 8601 time.", 422) from None
    if parsed.tzinfo is None:
        raise BodyError("invalid_field", f"`{name}` must have a zone.", 422)
    # Near the ends of the calendar, a zone can move a time out of it.
    if not 1900 <= parsed.year <= 9000:
        raise BodyError("invalid_field", f"`{name}` is too far away.", 422)
    return parsed


def parse_id(value: str) -> str:
    """An id or a key from an address. Raises BodyError: 404 for what no database can hold."""
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise BodyError("not_found", "There is no such id.", 404)
    return value


def parse_key(values: list[str]) -> str:
    """The Idempotency-Key. Raises BodyError."""
    if (
        len(values) != 1
        or not 8 <= len(values[0]) <= 128
        or not values[0].isascii()
        or not values[0].isprintable()
    ):
        raise BodyError(
            "invalid_idempotency_key",
            "Idempotency-Key must have 8 to 128 printable ASCII characters.",
            400,
        )
    return values[0]
