"""What makes one demo shop another than the next: people, places, goods, money and words."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """Somebody's name, and the door behind which they live."""

    surname: str
    given_name: str
    full_name: str
    surname_kana: str | None
    """The reading, where names are written with one."""
    given_kana: str | None
    latin: str
    """The given name as it may stand in a mail address."""
    nicks: tuple[str, ...]
    """What they may call themselves in the shop."""
    postal_code: str
    street: str
    """Town, street and number."""
    address: str
    """The street, and the flat there."""
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """A kind of thing that is sold; prices in yen, as `Flavour.price` takes them."""

    title: str
    cheapest: int
    dearest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """What the shop writes to its people when the back office acts; `{order}` is an order's number."""

    warnings: Mapping[str, str]
    """By template."""
    warning_subject: str
    canceled_subject: str
    canceled: str
    """To the buyer; what happens with the money stands behind it."""
    goes_back: str
    bank_asked: str
    canceled_seller_subject: str
    canceled_seller: str
    refunded_subject: str
    refunded: str
    suspended_subject: str
    suspended: str
    reinstated: str
    open_order: str
    """An order of somebody else that a suspension touches."""
    taken_down: str
    restored: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """One shop. Whoever writes rows takes every word, name and amount from here.

    Texts with `{url}` take a link, links with `{code}` a few letters that tell one from the next.
    """

    name: str
    """As on the command line."""
    shop: Mapping[str, str]
    """By language, what the shop is called on its own pages and in the team's workspace."""
    locale: str
    """The language of the shop's people, and so of the cards: ja or en."""
    zone: ZoneInfo
    glossary_file: Path | None
    """The shop's own words in the place of the catalogue's, as GLOSSARY_FILE names them."""

    currency: str
    yen_a_minor_unit: float
    price_step: int
    """Prices are multiples of this many minor units."""
    methods: Mapping[str, int]
    """How people pay, and how often out of all."""
    sale_days: frozenset[int]
    """The days of a month whose evenings are a sale."""

    make_resident: Callable[[random.Random], Resident]
    surname_first: bool
    office_door: str
    """A door in the office building: `{address}` of its street, `{floor}`."""
    shops: tuple[str, ...]
    """First halves of makers' names, then the second ones."""
    shop_kinds: tuple[str, ...]
    hostile_names: tuple[str, ...]
    """Display names that must arrive on a card as harmless text."""

    goods: tuple[Goods, ...]
    goods_words: tuple[str, ...]
    """What stands before a title, with the space after it where the language has one."""
    kits: tuple[Goods, ...]
    """Sold by many, with the supplier's photo: honest listings that look alike."""
    description: str
    """Of a listing, with its `{title}`."""
    hostile_titles: tuple[str, ...]

    reviews: tuple[str, ...]
    comments: tuple[str, ...]
    questions: tuple[str, ...]
    question_body: str
    """An inquiry around its `{question}`."""
    profiles: tuple[str, ...]
    """How makers introduce themselves, with the `{url}` of the page that they have elsewhere."""
    thanks: tuple[str, ...]
    """What a maker writes to a buyer, with that `{url}`."""
    own_pages: tuple[str, ...]
    """Where honest shops have such pages, with a `{code}`."""

    lures: tuple[str, ...]
    """A spammer's texts, with the `{url}` of a phishing page."""
    lure_pages: tuple[str, ...]
    """Where phishing pages are, with a `{code}`: each another host."""
    claims: tuple[str, ...]
    """What somebody writes who wants the money back, true or not."""
    bank_wishes: tuple[str, ...]
    """What follows where it shall come by bank."""
    see_profile: str
    """What stands in a spammer's message in the place of the link that is in the profile."""
    letters: Letters

    def price(self, yen: float) -> int:
        """About as much as this many yen, in minor units, as a shop would price it."""
        steps = round(yen / self.yen_a_minor_unit / self.price_step)
        return max(steps, 1) * self.price_step

    def full_name(self, surname: str, given_name: str) -> str:
        return f"{surname} {given_name}" if self.surname_first else f"{given_name} {surname}"

    def make_shop_name(self, rng: random.Random) -> str:
        return f"{rng.choice(self.shops)}{rng.choice(self.shop_kinds)}"

    def make_lure(self, rng: random.Random) -> tuple[str, str]:
        """A spammer's text, and the link in it."""
        url = rng.choice(self.lure_pages).format(code=f"{rng.getrandbits(24):06x}")
        return rng.choice(self.lures).format(url=url), url
