"""Reads the marketplace through a role that can only SELECT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bot.domain.cases import MemberFacts
from bot.domain.findings import Mask
from bot.domain.masks import mask
from bot.domain.subjects import Subject, SubjectKind
from bot.market.absent import stand_in
from bot.market.contract import CONTRACT
from bot.market.read_only import ReadOnly, UnreachableError
from bot.market.templates import fill_url

_NO_URLS: Mapping[SubjectKind, str] = MappingProxyType({})

# What a card says of orders; `name` is masked before it leaves this module.
_ORDER_FACTS = """
SELECT o.order_id AS id, o.status, coalesce(b.full_name, b.display_name) AS name,
       o.total_amount - coalesce(o.discount_amount, 0) - coalesce(o.points_amount, 0) AS amount,
       o.currency, o.payment_method, o.buyer_id, o.seller_id, o.ordered_at, o.ship_due_at,
       o.shipped_at, o.payout_at, o.held_at, o.canceled_at, o.admin_url, now() AS read_at
  FROM orders o LEFT JOIN accounts b ON b.account_id = o.buyer_id
 WHERE o.order_id = ANY ($1)
"""
_ACCOUNT_FACTS = """
SELECT account_id AS id, status, coalesce(display_name, full_name) AS name, is_seller,
       suspended_at, created_at, admin_url, now() AS read_at
  FROM accounts WHERE account_id = ANY ($1)
"""
_LISTING_FACTS = """
SELECT listing_id AS id, status, title AS name, price AS amount, currency, seller_id,
       created_at, admin_url, now() AS read_at
  FROM listings WHERE listing_id = ANY ($1)
"""
# Of a post no word is read, since messages are private: its kind, and where its first link leads.
_POST_FACTS = """
SELECT post_id AS id, 'active' AS status,
       concat_ws(' ', kind, substring(urls[1] FROM '^[a-z+]+://([^/?#]+)')) AS name,
       account_id AS seller_id, created_at, now() AS read_at
  FROM posts WHERE post_id = ANY ($1)
"""
_FACTS = {
    SubjectKind.ORDER: _ORDER_FACTS,
    SubjectKind.ACCOUNT: _ACCOUNT_FACTS,
    SubjectKind.LISTING: _LISTING_FACTS,
    SubjectKind.POST: _POST_FACTS,
}

_ORDER_PARTIES = "SELECT buyer_id, seller_id FROM orders WHERE order_id = $1"
_POST_AUTHOR = "SELECT account_id FROM posts WHERE post_id = $1"
_LISTING_SELLER = "SELECT seller_id FROM listings WHERE listing_id = $1"
# What could still be stopped of an account's orders, dearest first.
_OPEN_ORDERS = """
SELECT order_id FROM orders
 WHERE (buyer_id = $1 OR seller_id = $1)
   AND status IN ('pending', 'paid') AND shipped_at IS NULL AND canceled_at IS NULL
 ORDER BY total_amount DESC, order_id LIMIT 200
"""
_LINKED = {
    SubjectKind.ORDER: (_ORDER_PARTIES, SubjectKind.ACCOUNT),
    SubjectKind.ACCOUNT: (_OPEN_ORDERS, SubjectKind.ORDER),
    SubjectKind.LISTING: (_LISTING_SELLER, SubjectKind.ACCOUNT),
    SubjectKind.POST: (_POST_AUTHOR, SubjectKind.ACCOUNT),
}


class MarketUnreachableError(UnreachableError):
    """The marketplace's database does not answer."""


class MarketReader(ReadOnly):
    """The contract's relations, as a role sees them that cannot write."""

    of = "the marketplace"
    setting = "MARKET_DATABASE_URL"
    whole = CONTRACT
    required = ("accounts", "orders")
    make_it = "create it as contract/market.sql says, grant SELECT on it, or name another schema in MARKET_SCHEMA."
    unreachable = MarketUnreachableError

    def __init__(
        self,
        dsn: str,
        schema: str = "market",
        *,
        admin_urls: Mapping[SubjectKind, str] = _NO_URLS,
    ) -> None:
        """Args:
        admin_urls: the back office's page of a subject, with `{subject_id}`, where the views name none.
        """
        super().__init__(dsn, schema)
        self._admin_urls = admin_urls

    async def facts(self, subjects: Sequence[Subject]) -> dict[Subject, MemberFacts]:
        """What cards say of subjects, names masked; a subject that is not there is left out."""
        found: dict[Subject, MemberFacts] = {}
        ids: dict[SubjectKind, list[str]] = {}
        for subject in dict.fromkeys(subjects):
            if subject.kind not in _FACTS:
                continue  # a detection of ours is not in the marketplace
            ids.setdefault(subject.kind, []).append(subject.id)
        if not ids:
            return found
        async with self._connected() as (conn, present):
            for kind in ids:
                sql = stand_in(_FACTS[kind], present, self._schema)
                for record in await conn.fetch(sql, ids[kind]):
                    values = dict(record)
                    subject = Subject(kind, values.pop("id"))
                    if values.get("admin_url") is None and kind in self._admin_urls:
                        values["admin_url"] = fill_url(self._admin_urls[kind], subject.id)
                    found[subject] = _facts(kind, values)
        return found

    async def exists(self, subject: Subject) -> bool:
        """Whether the marketplace knows it."""
        return subject in await self.facts([subject])

    async def link(self, subject: Subject) -> tuple[Subject, ...]:
        """What comes along when a case is opened by hand: an order's buyer and seller, an account's
        orders that could still be stopped (dearest first), a listing's seller.
        """
        if subject.kind not in _LINKED:
            return ()
        sql, kind = _LINKED[subject.kind]
        async with self._connected() as (conn, present):
            records = await conn.fetch(stand_in(sql, present, self._schema), subject.id)
        linked = (Subject(kind, id_) for record in records for id_ in record if id_)
        return tuple(dict.fromkeys(linked))


def _facts(kind: SubjectKind, values: dict[str, Any]) -> MemberFacts:
    name = values.pop("name")
    if name is not None and kind not in {SubjectKind.LISTING, SubjectKind.POST}:
        name = mask(name, Mask.NAME)
    return MemberFacts(name_masked=name, **values)
