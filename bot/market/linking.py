"""Reads what accounts share in the marketplace; a raw value never leaves this module, only its keyed hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bot.domain.rings import MOST, LinkKind, Touch, Value, normal_address
from bot.domain.subjects import Subject, SubjectKind
from bot.market.selecting import Limits, Rows

_LIMITS = Limits(seconds=10, rows=100_000, bytes=60_000_000)
_AT_ONCE = 500
"""Accounts or values in one query."""
_PER_ACCOUNT = 100
"""The newest orders, attempts, listings or follows of an account that count."""
_PER_POSTCODE = 500

# What an order tells of its buyer. A postcode alone is no address.
_OF_ORDER = """
LATERAL (VALUES ('card', o.card_fingerprint, NULL), ('device', o.device_id, NULL), ('ip', host(o.ip), NULL),
                ('address', o.ship_address, o.ship_postal_code)) AS e(kind, value, area)
"""
_OF_ACCOUNT = """
LATERAL (VALUES ('device', a.signup_device_id, NULL), ('ip', host(a.signup_ip), NULL),
                ('payout', a.payout_account_hash, NULL), ('address', a.address, a.postal_code))
        AS e(kind, value, area)
"""
# Only attempts that went through: a card tester tries the cards of strangers.
_TOUCHES = f"""
SELECT o.buyer_id AS account_id, 'order' AS subject_kind, o.order_id AS subject_id, e.kind, e.value, e.area
  FROM unnest($1::text[]) AS s(id)
 CROSS JOIN LATERAL (SELECT * FROM orders WHERE buyer_id = s.id AND ordered_at >= $2
                      ORDER BY ordered_at DESC LIMIT {_PER_ACCOUNT}) AS o
 CROSS JOIN {_OF_ORDER} WHERE e.value <> ''
UNION ALL
SELECT a.account_id, 'account', a.account_id, e.kind, e.value, e.area
  FROM accounts a CROSS JOIN {_OF_ACCOUNT} WHERE a.account_id = ANY ($1::text[]) AND e.value <> ''
UNION
SELECT p.account_id, 'account', p.account_id, e.kind, e.value, NULL
  FROM unnest($1::text[]) AS s(id)
 CROSS JOIN LATERAL (SELECT * FROM payment_attempts WHERE account_id = s.id AND attempted_at >= $2
                      ORDER BY attempted_at DESC LIMIT {_PER_ACCOUNT}) AS p
 CROSS JOIN LATERAL (VALUES ('card', p.card_fingerprint), ('device', p.device_id), ('ip', host(p.ip))) AS e(kind, value)
 WHERE p.result = 'approved' AND e.value <> ''
UNION
SELECT v.account_id, 'account', v.account_id, e.kind, e.value, NULL
  FROM unnest($1::text[]) AS s(id)
 CROSS JOIN LATERAL (SELECT * FROM account_events WHERE account_id = s.id AND occurred_at >= $2
                       AND kind <> 'login_failed' ORDER BY occurred_at DESC LIMIT {_PER_ACCOUNT}) AS v
 CROSS JOIN LATERAL (VALUES ('device', v.device_id), ('ip', host(v.ip))) AS e(kind, value)
 WHERE e.value <> ''
UNION
SELECT f.follower_id, 'account', f.follower_id, 'follow', f.followee_id, NULL
  FROM unnest($1::text[]) AS s(id)
 CROSS JOIN LATERAL (SELECT * FROM follow_events WHERE follower_id = s.id AND occurred_at >= $2
                       AND kind = 'follow' ORDER BY occurred_at DESC LIMIT {_PER_ACCOUNT}) AS f
UNION
SELECT l.seller_id, 'listing', l.listing_id, 'image', h.hash::text, NULL
  FROM unnest($1::text[]) AS s(id)
 CROSS JOIN LATERAL (SELECT * FROM listings WHERE seller_id = s.id
                      ORDER BY created_at DESC LIMIT {_PER_ACCOUNT}) AS l
 CROSS JOIN LATERAL unnest(l.image_hashes) AS h(hash)
"""  # noqa: S608 - only our own constants are put in

# Who else has a value: of each one more than may be, which is enough to know that they are too many.
_HOLDERS: Mapping[LinkKind, str] = {
    LinkKind.CARD: """
SELECT s.value, h.account_id FROM unnest($1::text[]) AS s(value) CROSS JOIN LATERAL (
  (SELECT DISTINCT buyer_id AS account_id FROM orders
    WHERE card_fingerprint = s.value AND ordered_at >= $2 LIMIT $3)
  UNION (SELECT DISTINCT account_id FROM payment_attempts
    WHERE card_fingerprint = s.value AND attempted_at >= $2 AND result = 'approved' LIMIT $3)) AS h
""",
    LinkKind.DEVICE: """
SELECT s.value, h.account_id FROM unnest($1::text[]) AS s(value) CROSS JOIN LATERAL (
  (SELECT DISTINCT buyer_id AS account_id FROM orders
    WHERE device_id = s.value AND ordered_at >= $2 LIMIT $3)
  UNION (SELECT account_id FROM accounts WHERE signup_device_id = s.value LIMIT $3)
  UNION (SELECT DISTINCT account_id FROM payment_attempts
    WHERE device_id = s.value AND attempted_at >= $2 AND result = 'approved' LIMIT $3)) AS h
""",
    LinkKind.PAYOUT: """
SELECT s.value, h.account_id FROM unnest($1::text[]) AS s(value) CROSS JOIN LATERAL (
  SELECT account_id FROM accounts WHERE payout_account_hash = s.value AND $2::timestamptz IS NOT NULL LIMIT $3) AS h
""",
    LinkKind.IP: """
SELECT s.value, h.account_id FROM unnest($1::text[]) AS s(value) CROSS JOIN LATERAL (
  (SELECT DISTINCT buyer_id AS account_id FROM orders
    WHERE ip = s.value::inet AND ordered_at >= $2 LIMIT $3)
  UNION (SELECT account_id FROM accounts WHERE signup_ip = s.value::inet LIMIT $3)) AS h
""",
    LinkKind.FOLLOW: """
SELECT s.value, h.account_id FROM unnest($1::text[]) AS s(value) CROSS JOIN LATERAL (
  SELECT DISTINCT follower_id AS account_id FROM follow_events
   WHERE followee_id = s.value AND occurred_at >= $2 AND kind = 'follow' LIMIT $3) AS h
""",
}
# By postcode, since only we know which addresses are one. Images are compared among those found otherwise.
_AT_POSTCODES = """
SELECT h.account_id, h.ship_address AS value, s.area
  FROM unnest($1::text[]) AS s(area) CROSS JOIN LATERAL (
  SELECT buyer_id AS account_id, ship_address FROM orders
   WHERE ship_postal_code = s.area AND ordered_at >= $2 AND ship_address <> ''
   ORDER BY ordered_at DESC LIMIT $3) AS h
"""
_OF_ORDERS = f"""
SELECT o.buyer_id AS account_id, 'order' AS subject_kind, o.order_id AS subject_id, e.kind, e.value, e.area
  FROM orders o CROSS JOIN {_OF_ORDER} WHERE o.order_id = ANY ($1::text[]) AND e.value <> ''
"""  # noqa: S608
_CHANGED_ORDERS = f"""
SELECT o.buyer_id AS account_id, 'order' AS subject_kind, o.order_id AS subject_id, e.kind, e.value, e.area,
       o.updated_at
  FROM (SELECT * FROM orders WHERE updated_at >= $1 AND canceled_at IS NULL
         ORDER BY updated_at LIMIT $2) AS o
 CROSS JOIN {_OF_ORDER} WHERE e.value <> ''
"""  # noqa: S608
_CHANGED_ACCOUNTS = f"""
SELECT a.account_id, 'account' AS subject_kind, a.account_id AS subject_id, e.kind, e.value, e.area, a.updated_at
  FROM (SELECT * FROM accounts WHERE updated_at >= $1 ORDER BY updated_at LIMIT $2) AS a
 CROSS JOIN {_OF_ACCOUNT} WHERE e.value <> ''
"""  # noqa: S608
_BETWEEN = """
SELECT order_id, buyer_id FROM orders
 WHERE buyer_id = ANY ($1::text[]) AND seller_id = ANY ($1::text[]) AND ordered_at >= $2
   AND canceled_at IS NULL LIMIT 5000
"""


class Selects(Protocol):
    """Something that runs one SELECT over the marketplace's relations."""

    async def select(
        self, sql: str, params: Sequence[object] = (), *, limits: Limits | None = None
    ) -> Rows: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What has been used since a moment; `until` is how far this is complete, None: to the end."""

    touches: tuple[Touch, ...]
    until: datetime | None


class LinkReader:
    """What accounts share, by hashes under one ledger's key; remembers raw values while one look lasts."""

    def __init__(self, reader: Selects, key: bytes) -> None:
        self._reader = reader
        self._key = key
        self._raw: dict[Value, tuple[str, str | None]] = {}

    async def touches_of(self, accounts: Collection[str], since: datetime) -> list[Touch]:
        """All that these accounts have used since then."""
        found: list[Touch] = []
        for part in _parts(sorted(accounts)):
            found += self._touches(await self._rows(_TOUCHES, part, since))
        return found

    async def touches_of_orders(self, order_ids: Collection[str]) -> list[Touch]:
        """What was used in these orders."""
        found: list[Touch] = []
        for part in _parts(sorted(order_ids)):
            found += self._touches(await self._rows(_OF_ORDERS, part))
        return found

    async def holders_of(
        self, values: Iterable[Value], since: datetime
    ) -> tuple[frozenset[str], frozenset[Value]]:
        """The accounts that have one of these values (read before by this reader), and the values that more
        accounts have than may link.
        """
        raw: dict[LinkKind, dict[str, Value]] = {}
        for value in values:
            raw.setdefault(value[0], {})[self._raw[value][0]] = value
        holders: dict[Value, set[str]] = {}
        for kind, sql in _HOLDERS.items():
            known = raw.get(kind, {})
            for part in _parts(sorted(known)):
                for row in await self._rows(sql, part, since, MOST[kind] + 1):
                    holders.setdefault(known[str(row["value"])], set()).add(str(row["account_id"]))
        addresses = frozenset(raw.get(LinkKind.ADDRESS, {}).values())
        areas = {area for value in addresses if (area := self._raw[value][1])}
        for part in _parts(sorted(areas)):
            for row in await self._rows(_AT_POSTCODES, part, since, _PER_POSTCODE):
                value = self._seal(LinkKind.ADDRESS, str(row["value"]), str(row["area"]))
                if value in addresses:
                    holders.setdefault(value, set()).add(str(row["account_id"]))
        crowded = frozenset(v for v, accounts in holders.items() if len(accounts) > MOST[v[0]])
        accounts = frozenset(
            account for value, found in holders.items() if value not in crowded for account in found
        )
        return accounts, crowded

    async def changed(self, since: datetime, limit: int) -> Changed:
        """What orders and accounts used that came or changed since then, the oldest change first."""
        touches: list[Touch] = []
        ends: list[datetime] = []
        for sql in (_CHANGED_ORDERS, _CHANGED_ACCOUNTS):
            rows = await self._rows(sql, since, limit)
            touches += self._touches(rows)
            moments = {row["subject_id"]: row["updated_at"] for row in rows}
            if len(moments) >= limit:
                ends.append(max(at for at in moments.values() if isinstance(at, datetime)))
        return Changed(touches=tuple(touches), until=min(ends, default=None))

    async def orders_between(
        self, accounts: Collection[str], since: datetime
    ) -> dict[Subject, str]:
        """Orders that one of these accounts placed with another, and their buyers."""
        if len(accounts) < 2:
            return {}
        rows = await self._rows(_BETWEEN, sorted(accounts), since)
        return {
            Subject(SubjectKind.ORDER, str(row["order_id"])): str(row["buyer_id"]) for row in rows
        }

    async def _rows(self, sql: str, *params: object) -> Sequence[Mapping[str, object]]:
        return (await self._reader.select(sql, params, limits=_LIMITS)).rows

    def _touches(self, rows: Iterable[Mapping[str, object]]) -> list[Touch]:
        found = []
        for row in rows:
            area = row["area"]
            kind, value = self._seal(
                LinkKind(str(row["kind"])),
                str(row["value"]),
                None if area is None else str(area),
            )
            subject = Subject(SubjectKind(str(row["subject_kind"])), str(row["subject_id"]))
            found.append(Touch(str(row["account_id"]), kind, value, subject))
        return found

    def _seal(self, kind: LinkKind, raw: str, area: str | None) -> Value:
        """The opaque value; an address as all who write it mean it."""
        plain = normal_address(area, raw) if kind is LinkKind.ADDRESS else raw
        digest = hmac.new(self._key, f"{kind.value}:{plain}".encode(), hashlib.sha256)
        sealed = (kind, digest.hexdigest()[:32])
        self._raw[sealed] = (raw, area)
        return sealed


def _parts(all_of_them: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(all_of_them), _AT_ONCE):
        yield list(all_of_them[start : start + _AT_ONCE])
