"""Rings: which accounts belong together, by what they share; pure, whatever order the facts come in."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from types import MappingProxyType

from bot.domain.subjects import Subject


class LinkKind(StrEnum):
    """What two accounts may share; in the order in which people read it."""

    CARD = "card"
    DEVICE = "device"
    ADDRESS = "address"
    PAYOUT = "payout"
    IP = "ip"
    IMAGE = "image"
    FOLLOW = "follow"


MOST: Mapping[LinkKind, int] = MappingProxyType(
    {
        # Tokens of one card or bank account: many accounts on one are a ring, however large.
        LinkKind.CARD: 200,
        LinkKind.PAYOUT: 200,
        # A till or a library's computer serves many people; a ring's phone some dozens.
        LinkKind.DEVICE: 100,
        # A dormitory, an office, a freight forwarder.
        LinkKind.ADDRESS: 20,
        # A carrier's NAT, a company, a school.
        LinkKind.IP: 12,
        # A stock photograph.
        LinkKind.IMAGE: 20,
        # A popular shop.
        LinkKind.FOLLOW: 30,
    }
)
"""An edge's value that more accounts have joins nobody: it says where people are, not who they are."""

WEAK = frozenset({LinkKind.IP, LinkKind.IMAGE, LinkKind.FOLLOW})
"""What joins two accounts only beside another weak kind that they share too. An image is one of them, as
the one who was copied has the same as the copier, and must not be taken for one of the ring.
"""
WEAK_KINDS_NEEDED = 2

Value = tuple[LinkKind, str]
"""One piece of evidence: its kind and an opaque hash of it."""


@dataclass(frozen=True, slots=True, order=True)
class Touch:
    """An account has used a piece of evidence, and where that shows: an order, a listing, the account itself."""

    account_id: str
    kind: LinkKind
    value: str
    subject: Subject

    @property
    def evidence(self) -> Value:
        return (self.kind, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Accounts that belong together, with the touches that join them."""

    accounts: frozenset[str]
    edges: tuple[Touch, ...]
    """Only those that link: of a value that another account of the component has too."""

    @property
    def values(self) -> frozenset[Value]:
        return frozenset(edge.evidence for edge in self.edges)

    @property
    def strong_values(self) -> frozenset[Value]:
        return frozenset(value for value in self.values if value[0] not in WEAK)


class _Forest:
    """Union-find with path halving; the smallest name is the root, so that no order of unions shows."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, one: str) -> str:
        parents = self._parents
        parents.setdefault(one, one)
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    def join(self, one: str, other: str) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._parents[high] = low


def damped(touches: Iterable[Touch], crowded: Collection[Value] = ()) -> frozenset[Value]:
    """The values that join nobody: too many accounts have them, or were seen to have them."""
    return frozenset(crowded) | {
        value for value, accounts in _holders(touches).items() if len(accounts) > MOST[value[0]]
    }


def join_accounts(
    touches: Iterable[Touch], crowded: Collection[Value] = ()
) -> tuple[Component, ...]:
    """The rings among these touches: at least two accounts each, the one with the smallest name first.

    Args:
        crowded: values that more accounts have than the touches tell.
    """
    known = sorted(set(touches))
    out = damped(known, crowded)
    holders = {
        value: accounts
        for value, accounts in _holders(known).items()
        if len(accounts) > 1 and value not in out
    }
    forest = _Forest()
    weakly: dict[tuple[str, str], set[LinkKind]] = defaultdict(set)
    for value, accounts in holders.items():
        first, *others = sorted(accounts)
        if value[0] in WEAK:
            for pair in combinations([first, *others], 2):
                weakly[pair].add(value[0])
        else:
            for other in others:
                forest.join(first, other)
    # What two weak kinds join; a pair that one weak kind shares is evidence only within a ring.
    for (one, other), kinds in weakly.items():
        if len(kinds) >= WEAK_KINDS_NEEDED:
            forest.join(one, other)
    together: dict[str, set[str]] = defaultdict(set)
    for account in {touch.account_id for touch in known}:
        together[forest.root(account)].add(account)
    edges: dict[str, list[Touch]] = defaultdict(list)
    for touch in known:
        root = forest.root(touch.account_id)
        shared = holders.get(touch.evidence, frozenset())
        if len(shared & together[root]) > 1:
            edges[root].append(touch)
    return tuple(
        Component(accounts=frozenset(together[root]), edges=tuple(edges[root]))
        for root in sorted(together)
        if len(together[root]) > 1
    )


def _holders(touches: Iterable[Touch]) -> dict[Value, frozenset[str]]:
    accounts: dict[Value, set[str]] = defaultdict(set)
    for touch in touches:
        accounts[touch.evidence].add(touch.account_id)
    return {value: frozenset(found) for value, found in accounts.items()}


_KANJI_DIGITS = str.maketrans("〇一二三四五六七八九", "0123456789")
_BLOCK = re.compile(r"([〇一二三四五六七八九十]+)(?=丁目|番|号|[-‐-―ー−])")
_BETWEEN = re.compile(r"(?<=\d)(?:丁目|番地の|番地|番|号室|号)")
_PART = re.compile(r"\d+|[^\W\d_]+")


def normal_address(postal_code: str | None, address: str) -> str:
    """An address without what people write differently: width, spaces, 丁目 against a hyphen."""
    known = unicodedata.normalize("NFKC", address).casefold()
    known = _BLOCK.sub(lambda found: _number(found[1]), known)
    # A long vowel between two numbers is a hyphen that somebody typed in kana.
    known = re.sub(r"(?<=\d)ー(?=\d)", "-", _BETWEEN.sub("-", known))
    # Numbers stay apart from each other; words are joined, whatever stands between them.
    parts = " ".join(_PART.findall(known))
    known = re.sub(r"(?<!\d) (?!\d)", "", parts)
    digits = re.sub(r"\D", "", unicodedata.normalize("NFKC", postal_code or ""))
    return f"{digits} {known}"


def _number(kanji: str) -> str:
    """一 to 九十九, as blocks of a town are numbered."""
    if "十" not in kanji:
        return kanji.translate(_KANJI_DIGITS)
    tens, _, ones = kanji.partition("十")
    return str(
        10 * int((tens or "一").translate(_KANJI_DIGITS))
        + int((ones or "〇").translate(_KANJI_DIGITS))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RingEdge:
    """One member of a case and what links it, as its card and picture show it."""

    account_id: str
    kind: LinkKind
    value: str
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """What joins the members of a case."""

    revision: int
    edges: tuple[RingEdge, ...]
    tied: tuple[int, ...] = ()
    """Other open cases of the same ring."""

    @property
    def accounts(self) -> tuple[str, ...]:
        return tuple(sorted({edge.account_id for edge in self.edges}))

    @property
    def orders(self) -> tuple[str, ...]:
        return tuple(sorted({e.subject.id for e in self.edges if e.subject.kind == "order"}))

    @property
    def kinds(self) -> tuple[LinkKind, ...]:
        """What joins them, the strongest first."""
        found = {edge.kind for edge in self.edges}
        return tuple(kind for kind in LinkKind if kind in found)

    def kinds_of(self, subject: Subject) -> tuple[LinkKind, ...]:
        """What links this member: an order by what was used in it, an account by all that it used."""
        found = {
            edge.kind
            for edge in self.edges
            if edge.subject == subject
            or (subject.kind == "account" and edge.account_id == subject.id)
        }
        return tuple(kind for kind in LinkKind if kind in found)
