"""Sorts money of several currencies by a configured table; nothing is ever converted or added by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bot.domain.cases import Member

Rates = Mapping[str, float]
"""What one smallest unit (a yen, a cent) of a currency counts in comparison; a currency that is not listed: 1."""
NO_RATES: Rates = MappingProxyType({})


def weight(amount: int, currency: str, rates: Rates) -> int:
    """How dear an amount is, only to be compared with others of the same table."""
    return round(amount * rates.get(currency, 1))


def dearest_first(members: Iterable[Member], rates: Rates) -> tuple[Member, ...]:
    """Members in the order of a card: who is accused first, then the dearest, then by id."""

    def place(member: Member) -> tuple[bool, bool, int, str]:
        amount, currency = member.facts.amount, member.facts.currency
        dear = weight(amount, currency, rates) if amount is not None and currency else 0
        return (not member.is_subject, amount is None, -dear, member.subject.id)

    return tuple(sorted(members, key=place))
