"""The people of the demo: makers, buyers, families, an office; who they are comes from the flavour."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.playground.market.flavours import Flavour

BACK_OFFICE = "http://127.0.0.1:8900"
POPULATION_BUYERS = 600
POPULATION_MAKERS = 48
FAMILIES = 8
HOUSEHOLDS = 5
STUDIOS = 4
OFFICE_SIZE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    fingerprint: str
    bin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One account of the marketplace, and what it shows when it shops."""

    account_id: str
    display_name: str
    surname: str
    given_name: str
    full_name: str
    kana: str | None
    """The reading of the name, where names are written with one."""
    email: str
    phone: str
    postal_code: str
    address: str
    ip: str
    device_id: str
    cards: tuple[Card, ...]
    created_at: datetime
    is_seller: bool = False
    payout_account: str | None = None
    signup_ip: str | None = None
    """Where they signed up, if elsewhere."""

    @property
    def payee(self) -> str:
        """The holder of their bank account, as banks write it."""
        return self.kana or self.full_name.upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Everybody who was there before the play began."""

    flavour: Flavour
    makers: tuple[Person, ...]
    buyers: tuple[Person, ...]
    families: tuple[tuple[Person, ...], ...]
    households: tuple[tuple[Person, Person], ...]
    """Two accounts of one person, on one card and one device."""
    studios: tuple[tuple[Person, Person], ...]
    """A maker, and somebody of the same home who buys there now and then."""
    office: tuple[Person, ...]
    """The first one is a maker whose studio is in the building."""
    everybody: tuple[Person, ...] = field(default=())


def make_id(rng: random.Random, prefix: str) -> str:
    return f"{prefix}-{rng.getrandbits(44):011x}"


def make_card(rng: random.Random) -> Card:
    return Card(
        fingerprint=f"card_{rng.getrandbits(64):016x}", bin=str(490000 + rng.randrange(200))
    )


def make_ip(rng: random.Random) -> str:
    """An address of 100.64.0.0/10: carriers' own, so nobody's on the public internet."""
    return f"100.{rng.randrange(64, 128)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def make_person(
    rng: random.Random, flavour: Flavour, created_at: datetime, *, is_seller: bool = False
) -> Person:
    resident = flavour.make_resident(rng)
    readings = (resident.surname_kana, resident.given_kana)
    return Person(
        account_id=make_id(rng, "a"),
        display_name=flavour.make_shop_name(rng) if is_seller else rng.choice(resident.nicks),
        surname=resident.surname,
        given_name=resident.given_name,
        full_name=resident.full_name,
        kana=" ".join(part for part in readings if part) or None,
        email=f"{resident.latin}.{rng.getrandbits(20):05x}@mail.example",
        phone=resident.phone,
        postal_code=resident.postal_code,
        address=resident.address,
        ip=make_ip(rng),
        device_id=make_id(rng, "d"),
        cards=(make_card(rng),),
        created_at=created_at,
        is_seller=is_seller,
        payout_account=make_id(rng, "bank") if is_seller else None,
    )


def make_population(seed: int, flavour: Flavour, start: datetime) -> Population:
    """Who was there before the play: the same for the same seed."""
    rng = random.Random(f"{seed} population")  # noqa: S311 (a repeatable story, no secret)

    def since() -> datetime:
        return start - timedelta(days=rng.uniform(10, 700))

    makers = [make_person(rng, flavour, since(), is_seller=True) for _ in range(POPULATION_MAKERS)]
    buyers = [make_person(rng, flavour, since()) for _ in range(POPULATION_BUYERS)]
    for n, name in enumerate(flavour.hostile_names):
        buyers[n * 7] = replace(buyers[n * 7], display_name=name)
    families = [_make_family(rng, flavour, since()) for _ in range(FAMILIES)]
    households = [_make_household(rng, flavour, since()) for _ in range(HOUSEHOLDS)]
    studios = [(maker, _make_relative(rng, flavour, maker)) for maker in makers[:STUDIOS]]
    office = _make_office(rng, flavour, since())
    everybody = (
        *makers,
        *buyers,
        *(person for family in families for person in family),
        *(person for household in households for person in household),
        *(relative for _, relative in studios),
        *office,
    )
    return Population(
        flavour=flavour,
        makers=tuple(makers),
        buyers=tuple(buyers),
        families=tuple(families),
        households=tuple(households),
        studios=tuple(studios),
        office=office,
        everybody=everybody,
    )


def _make_family(rng: random.Random, flavour: Flavour, created_at: datetime) -> tuple[Person, ...]:
    """Two or three people of one home on one card, each with a telephone of their own."""
    first = make_person(rng, flavour, created_at)
    others = [
        replace(
            _of_one_name(make_person(rng, flavour, _later(rng, created_at)), first, flavour),
            postal_code=first.postal_code,
            address=first.address,
            ip=first.ip,
            cards=first.cards,
        )
        for _ in range(rng.choice((1, 2)))
    ]
    return (first, *others)


def _make_household(
    rng: random.Random, flavour: Flavour, created_at: datetime
) -> tuple[Person, Person]:
    first = make_person(rng, flavour, created_at)
    second = replace(
        first,
        account_id=make_id(rng, "a"),
        display_name=f"{first.display_name} 2",
        email=f"work.{first.email}",
        created_at=_later(rng, created_at, 3),
    )
    return first, second


def _make_relative(rng: random.Random, flavour: Flavour, maker: Person) -> Person:
    """Of the maker's home, with a telephone, a device and a card of their own."""
    relative = make_person(rng, flavour, _later(rng, maker.created_at))
    return replace(
        _of_one_name(relative, maker, flavour),
        postal_code=maker.postal_code,
        address=maker.address,
        ip=maker.ip,
    )


def _of_one_name(person: Person, relative: Person, flavour: Flavour) -> Person:
    """With the surname of a relative."""
    kana = None
    if person.kana and relative.kana:
        kana = f"{relative.kana.split()[0]} {person.kana.split()[1]}"
    return replace(
        person,
        surname=relative.surname,
        full_name=flavour.full_name(relative.surname, person.given_name),
        kana=kana,
    )


def _make_office(rng: random.Random, flavour: Flavour, created_at: datetime) -> tuple[Person, ...]:
    """People who shop from one office and have it sent there, and a maker on another floor."""
    building = flavour.make_resident(rng)

    def door(floor: int) -> str:
        return flavour.office_door.format(address=building.street, floor=floor)

    maker = replace(
        make_person(rng, flavour, created_at, is_seller=True),
        postal_code=building.postal_code,
        address=door(2),
        ip="203.0.113.40",
    )
    colleagues = []
    for _ in range(OFFICE_SIZE - 1):
        # They signed up at home, and not all in the week in which the maker did.
        person = make_person(rng, flavour, _later(rng, created_at, 3))
        colleagues.append(
            replace(
                person,
                postal_code=building.postal_code,
                address=door(5),
                ip=maker.ip,
                signup_ip=person.ip,
            )
        )
    return (maker, *colleagues)


def _later(rng: random.Random, moment: datetime, days: float = 1) -> datetime:
    return moment + timedelta(days=rng.uniform(days, 9))


def payout_hash(account: str) -> str:
    """What the marketplace shows of a bank account."""
    return hashlib.sha256(f"demo|{account}".encode()).hexdigest()
