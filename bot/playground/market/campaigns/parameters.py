"""What each kind of campaign does, in numbers: written down before any detection's thresholds are set by it.

A campaign goes in waves. After a wave the fraudster waits, then looks at the marketplace: orders held or
cancelled, accounts suspended, posts gone. Not caught, they go on with the next wave; caught, they lie low and
come back a *round* later with new accounts, on the next *level* of care, until the third round is caught too.
Most start on level 1; `Temper.experienced` of them on level 2. Every number is drawn from its span by dice that
depend on the seed and the campaign alone; amounts are in yen and priced by the flavour.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

ROUNDS = 3
"""How often a fraudster comes: caught in the last one, they give up."""


class Kind(Enum):
    """As the truth names it."""

    SELF_DEALING = "self_dealing"
    CARD_TESTING = "card_testing"
    FOLLOW_PHISHING = "follow_phishing"
    REFUND_ABUSE = "refund_abuse"
    STOLEN_CARDS = "stolen_cards"
    RETURNING = "returning"


class Trait(Enum):
    """What accounts of one person may have in common."""

    DEVICE = "device"
    NETWORK = "network"
    """One address on the internet."""
    SUBNET = "subnet"
    """Neighbours in one /24 network."""
    DOOR = "door"
    BUILDING = "building"
    """One street and number, each another flat."""
    PHONE = "phone"
    CARD = "card"
    BIN = "bin"
    """Cards of one issuer's series."""
    PAYOUT = "payout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From the least to the most."""

    low: float
    high: float

    def draw(self, rng: random.Random) -> float:
        return rng.uniform(self.low, self.high)

    def count(self, rng: random.Random) -> int:
        return rng.randint(int(self.low), int(self.high))


def span(low: float, high: float) -> Span:
    return Span(low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a fraudster of a level takes their time; all in hours of the market."""

    lead: Span
    """From opening the first account to the first wave."""
    looks_after: Span
    """From the end of a wave to the look at what became of it."""
    rests: Span
    """From such a look to the next wave, when nothing happened."""
    lies_low: Span
    """From such a look to the new accounts, when caught."""
    waves: Span
    """How many, if never caught."""


HASTY = Pace(
    lead=span(2, 30),
    looks_after=span(2, 4),
    rests=span(1, 4),
    lies_low=span(1, 4),
    waves=span(1, 3),
)
CAREFUL = Pace(
    lead=span(2, 10),
    looks_after=span(3, 6),
    rests=span(3, 8),
    lies_low=span(3, 8),
    waves=span(2, 4),
)
PATIENT = Pace(
    lead=span(4, 14),
    looks_after=span(5, 10),
    rests=span(6, 14),
    lies_low=span(6, 14),
    waves=span(3, 5),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What all kinds have in common on a level."""

    story: str
    """The name of this way to work, as the truth has it beside the kind."""
    pace: Pace
    shares: frozenset[Trait]
    """What the accounts of one round have in common."""
    keeps: frozenset[Trait] = frozenset()
    """What is taken along from the round before, where that one was caught."""
    accounts: Span
    """How many a wave uses, beside a shop."""
    chance: float = 1.0
    """Among the ways to work of one level of a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfDealing(Level):
    """One person sells to themselves: copied listings, own buyers, a stolen card for each order."""

    orders: Span
    """Of one buyer in one wave."""
    minutes: Span
    """Between two orders."""
    yen: Span
    """What a copy costs at least and at most."""
    declines: Span
    """Cards that are refused before one passes."""
    copies: Span
    """Listings copied from honest makers."""
    same_text: float
    """How likely a copy keeps the title too; the photo is always the maker's, cut a little."""
    share_of_traits: float = 1.0
    """How likely a buyer after the first one has each of the shared traits."""
    fooled: float = 0.0
    """How likely an honest buyer orders from the shop as well, in each wave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTesting(Level):
    """Bots try card numbers on something cheap of an honest maker; what passes is sold on."""

    attempts: Span
    """Of one account in one wave."""
    seconds: Span
    """Between two attempts of one account."""
    yen: Span
    """What is tried for: a listing of about this price."""
    passes: Span
    """Cards that pass in a wave: each leaves an order."""
    minutes_between_accounts: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowPhishing(Level):
    """Follow and let go, so that many look at a profile; the link in it, and in messages, asks for passwords."""

    follows: Span
    """Of one account in one wave."""
    seconds: Span
    """Between two follows."""
    lets_go: float
    """Share of the follows that is taken back."""
    lets_go_after_minutes: Span
    messages: Span
    """Of one account in one wave, each to somebody else."""
    varies: bool
    """The words change a little from message to message; else all say the same."""
    link_in_messages: bool
    """Else the messages only point to the profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundAbuse(Level):
    """Buys with a card of their own, receives, says that nothing came, and wants the money by bank."""

    orders: Span
    """Of one account in one wave."""
    minutes: Span
    """Between two orders of the wave."""
    yen: Span
    claims_after: Span
    """Hours from the delivery to the claim. The claims are a wave of their own, after a look at what became of the orders."""
    asks_for_bank: float
    """Share of the claims that ask for a bank transfer though it was paid by card."""
    claims_again: float
    """Share of the claims that are repeated some hours later."""
    granted: float
    """Share of the claims to which the shop's support gives in, unless the account is suspended by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StolenCards(Level):
    """Buys from honest makers with stolen cards; the goods go to somebody who sends them on."""

    orders: Span
    """Of one account in one wave."""
    minutes: Span
    """Between two orders of the wave."""
    yen: Span
    declines: Span
    """Cards that are refused before one passes."""
    one_card: bool
    """One card is emptied over all accounts; else each order has the next of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returning(Level):
    """Suspended before, opens a shop again, and sells to buyers of their own with nothing in common with it."""

    suspended_ago: Span
    """Hours between the suspension and the new shop, in the first round."""
    orders: Span
    minutes: Span
    yen: Span
    copies: Span


LONGEST_BEFORE = 70
"""A campaign's first account is made at most this many hours before its first act."""


def _of(*traits: Trait) -> frozenset[Trait]:
    return frozenset(traits)


LEVELS: Mapping[Kind, tuple[tuple[Level, ...], ...]] = {
    Kind.SELF_DEALING: (
        (
            SelfDealing(
                story="ring",
                pace=HASTY,
                shares=_of(Trait.DEVICE, Trait.NETWORK, Trait.DOOR),
                share_of_traits=0.6,
                accounts=span(1, 3),
                orders=span(2, 4),
                minutes=span(2, 9),
                yen=span(6_000, 32_000),
                declines=span(0, 2),
                copies=span(3, 5),
                same_text=1.0,
                fooled=0.3,
            ),
        ),
        (
            SelfDealing(
                story="careful",
                pace=CAREFUL,
                shares=_of(Trait.DOOR, Trait.PHONE),
                keeps=_of(Trait.PAYOUT),
                accounts=span(1, 2),
                orders=span(1, 2),
                minutes=span(70, 150),
                yen=span(5_000, 24_000),
                declines=span(0, 1),
                copies=span(2, 4),
                same_text=0.7,
                fooled=0.25,
            ),
        ),
        (
            SelfDealing(
                story="quiet",
                pace=PATIENT,
                shares=_of(Trait.SUBNET),
                accounts=span(1, 2),
                orders=span(1, 1),
                minutes=span(120, 300),
                yen=span(2_500, 9_000),
                declines=span(0, 0),
                copies=span(2, 3),
                same_text=0.5,
                fooled=0.25,
            ),
        ),
    ),
    Kind.CARD_TESTING: (
        (
            CardTesting(
                story="burst",
                pace=HASTY,
                shares=_of(Trait.DEVICE, Trait.NETWORK),
                accounts=span(1, 1),
                attempts=span(14, 32),
                seconds=span(12, 40),
                yen=span(300, 1_800),
                passes=span(1, 2),
                minutes_between_accounts=span(0, 0),
            ),
        ),
        (
            CardTesting(
                story="spread",
                pace=CAREFUL,
                shares=_of(Trait.NETWORK, Trait.BIN),
                accounts=span(4, 7),
                attempts=span(3, 5),
                seconds=span(40, 150),
                yen=span(400, 2_400),
                passes=span(1, 2),
                minutes_between_accounts=span(3, 12),
            ),
        ),
        (
            CardTesting(
                story="drip",
                pace=PATIENT,
                shares=_of(Trait.SUBNET, Trait.BIN),
                accounts=span(6, 10),
                attempts=span(2, 3),
                seconds=span(200, 900),
                yen=span(600, 3_200),
                passes=span(1, 3),
                minutes_between_accounts=span(8, 30),
            ),
        ),
    ),
    Kind.FOLLOW_PHISHING: (
        (
            FollowPhishing(
                story="follow_churn",
                pace=HASTY,
                shares=_of(),
                accounts=span(1, 1),
                follows=span(125, 165),
                seconds=span(14, 16),
                lets_go=0.66,
                lets_go_after_minutes=span(4, 15),
                messages=span(4, 14),
                varies=False,
                link_in_messages=True,
            ),
        ),
        (
            FollowPhishing(
                story="message_spam",
                pace=CAREFUL,
                shares=_of(Trait.SUBNET),
                keeps=_of(Trait.DEVICE),
                accounts=span(1, 2),
                follows=span(25, 45),
                seconds=span(50, 120),
                lets_go=0.3,
                lets_go_after_minutes=span(60, 600),
                messages=span(12, 26),
                varies=True,
                link_in_messages=True,
            ),
        ),
        (
            FollowPhishing(
                story="slow_churn",
                pace=PATIENT,
                shares=_of(Trait.SUBNET),
                accounts=span(1, 2),
                follows=span(45, 80),
                seconds=span(240, 600),
                lets_go=0.7,
                lets_go_after_minutes=span(1_500, 3_600),
                messages=span(3, 7),
                varies=True,
                link_in_messages=False,
            ),
        ),
    ),
    Kind.REFUND_ABUSE: (
        (
            RefundAbuse(
                story="not_arrived",
                pace=HASTY,
                shares=_of(Trait.DEVICE, Trait.DOOR, Trait.CARD),
                accounts=span(3, 4),
                orders=span(1, 2),
                minutes=span(10, 60),
                yen=span(4_000, 20_000),
                claims_after=span(1, 6),
                asks_for_bank=0.8,
                claims_again=0.5,
                granted=0.7,
            ),
        ),
        (
            RefundAbuse(
                story="same_door",
                pace=CAREFUL,
                shares=_of(Trait.DOOR),
                keeps=_of(Trait.CARD),
                accounts=span(2, 4),
                orders=span(1, 1),
                minutes=span(30, 200),
                yen=span(3_000, 14_000),
                claims_after=span(4, 14),
                asks_for_bank=0.6,
                claims_again=0.4,
                granted=0.7,
            ),
        ),
        (
            RefundAbuse(
                story="patient",
                pace=PATIENT,
                shares=_of(Trait.BUILDING),
                accounts=span(2, 3),
                orders=span(1, 1),
                minutes=span(120, 500),
                yen=span(2_000, 9_000),
                claims_after=span(8, 30),
                asks_for_bank=0.4,
                claims_again=0.2,
                granted=0.7,
            ),
        ),
    ),
    Kind.STOLEN_CARDS: (
        (
            StolenCards(
                story="card_burst",
                pace=HASTY,
                shares=_of(),
                accounts=span(1, 1),
                orders=span(4, 6),
                minutes=span(3, 9),
                yen=span(3_000, 20_000),
                declines=span(0, 1),
                one_card=False,
                chance=0.55,
            ),
            StolenCards(
                story="same_card",
                pace=HASTY,
                shares=_of(Trait.CARD),
                accounts=span(2, 3),
                orders=span(2, 2),
                minutes=span(2, 9),
                yen=span(3_000, 16_000),
                declines=span(0, 0),
                one_card=True,
                chance=0.45,
            ),
        ),
        (
            StolenCards(
                story="mules",
                pace=CAREFUL,
                shares=_of(Trait.CARD, Trait.DOOR),
                accounts=span(3, 4),
                orders=span(1, 1),
                minutes=span(65, 200),
                yen=span(3_000, 14_000),
                declines=span(0, 1),
                one_card=True,
            ),
        ),
        (
            StolenCards(
                story="trickle",
                pace=PATIENT,
                shares=_of(Trait.SUBNET, Trait.BUILDING),
                accounts=span(1, 2),
                orders=span(1, 1),
                minutes=span(120, 400),
                yen=span(2_000, 9_000),
                declines=span(0, 0),
                one_card=False,
            ),
        ),
    ),
    Kind.RETURNING: (
        (
            Returning(
                story="same_device",
                pace=HASTY,
                shares=_of(),
                keeps=_of(Trait.DEVICE, Trait.PAYOUT),
                accounts=span(2, 3),
                suspended_ago=span(6, 36),
                orders=span(1, 2),
                minutes=span(5, 40),
                yen=span(5_000, 24_000),
                copies=span(2, 4),
            ),
        ),
        (
            Returning(
                story="same_payout",
                pace=CAREFUL,
                shares=_of(),
                keeps=_of(Trait.PAYOUT),
                accounts=span(1, 2),
                suspended_ago=span(10, 48),
                orders=span(1, 1),
                minutes=span(40, 150),
                yen=span(4_000, 16_000),
                copies=span(2, 3),
            ),
        ),
        (
            Returning(
                story="same_phone",
                pace=PATIENT,
                shares=_of(),
                keeps=_of(Trait.PHONE),
                accounts=span(1, 2),
                suspended_ago=span(20, 48),
                orders=span(1, 1),
                minutes=span(120, 400),
                yen=span(2_500, 9_000),
                copies=span(1, 2),
            ),
        ),
    ),
}
"""By kind, level by level: the ways to work of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """What makes the fraudsters of one seed others than those of the next."""

    births: float
    """New campaigns in an hour."""
    weights: Mapping[Kind, float]
    """Which kinds they are."""
    experienced: float
    """Share that begins on level 2."""
    amounts: float
    """All amounts, times this."""
    haste: float
    """All times of `Pace` but the lead, divided by this."""
    opening: tuple[tuple[Kind, str, float], ...] = field(default=())
    """What begins whatever the dice say: kind, way to work, and the hour of the play at which it acts first."""


WEIGHTS = {
    Kind.SELF_DEALING: 34,
    Kind.CARD_TESTING: 13,
    Kind.FOLLOW_PHISHING: 12,
    Kind.REFUND_ABUSE: 10,
    Kind.STOLEN_CARDS: 21,
    Kind.RETURNING: 10,
}
OPENING = (
    (Kind.REFUND_ABUSE, "not_arrived", -20.0),
    # Under way as the play begins: the first look of a detection finds it.
    (Kind.SELF_DEALING, "ring", -0.37),
    (Kind.STOLEN_CARDS, "card_burst", 0.03),
    (Kind.CARD_TESTING, "burst", 0.07),
    (Kind.FOLLOW_PHISHING, "follow_churn", 0.1),
    (Kind.RETURNING, "same_device", 0.3),
    (Kind.SELF_DEALING, "ring", 0.52),
    (Kind.STOLEN_CARDS, "same_card", 1.2),
    (Kind.SELF_DEALING, "ring", 1.6),
    (Kind.SELF_DEALING, "careful", 2.4),
    (Kind.FOLLOW_PHISHING, "message_spam", 3.3),
    (Kind.STOLEN_CARDS, "card_burst", 3.6),
    (Kind.SELF_DEALING, "ring", 4.5),
    (Kind.CARD_TESTING, "spread", 5.5),
)
"""Each kind is seen within the first hours of every demo, and some of it within the first minutes."""


def draw_temper(seed: int) -> Temper:
    """The fraudsters of a seed."""
    rng = random.Random(f"{seed} temper")  # noqa: S311 (a repeatable story, no secret)
    return Temper(
        births=rng.uniform(0.55, 0.95),
        weights={kind: weight * rng.uniform(0.6, 1.5) for kind, weight in WEIGHTS.items()},
        experienced=rng.uniform(0.1, 0.35),
        amounts=rng.uniform(0.8, 1.3),
        haste=rng.uniform(0.8, 1.3),
        opening=OPENING,
    )
