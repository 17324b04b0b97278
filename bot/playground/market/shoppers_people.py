"""Invented people of the demo: makers, buyers, families, an office; names are made up, places exist."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

SURNAMES = (
    ("青柳", "アオヤギ"), ("浅井", "アサイ"), ("石動", "イスルギ"), ("磯部", "イソベ"), ("上原", "ウエハラ"),
    ("榎本", "エノモト"), ("大槻", "オオツキ"), ("風間", "カザマ"), ("神崎", "カンザキ"), ("桐谷", "キリタニ"),
    ("久我", "クガ"), ("小泉", "コイズミ"), ("沢渡", "サワタリ"), ("篠宮", "シノミヤ"), ("白石", "シライシ"),
    ("瀬尾", "セノオ"), ("高梨", "タカナシ"), ("千秋", "チアキ"), ("辻村", "ツジムラ"), ("土岐", "トキ"),
    ("鳥居", "トリイ"), ("中臣", "ナカトミ"), ("楢崎", "ナラサキ"), ("西園", "ニシゾノ"), ("野々村", "ノノムラ"),
    ("花岡", "ハナオカ"), ("日向", "ヒナタ"), ("深水", "フカミ"), ("牧瀬", "マキセ"), ("三雲", "ミクモ"),
    ("望月", "モチヅキ"), ("柳瀬", "ヤナセ"), ("結城", "ユウキ"), ("蓬田", "ヨモギダ"), ("若槻", "ワカツキ"),
)  # fmt: skip
GIVEN_NAMES = (
    ("葵", "アオイ", "aoi"), ("彩", "アヤ", "aya"), ("一花", "イチカ", "ichika"), ("恵美", "エミ", "emi"),
    ("薫", "カオル", "kaoru"), ("和樹", "カズキ", "kazuki"), ("圭", "ケイ", "kei"), ("健太", "ケンタ", "kenta"),
    ("心", "ココロ", "kokoro"), ("早紀", "サキ", "saki"), ("汐里", "シオリ", "shiori"), ("翔", "ショウ", "sho"),
    ("澄", "スミ", "sumi"), ("大地", "ダイチ", "daichi"), ("千尋", "チヒロ", "chihiro"), ("紬", "ツムギ", "tsumugi"),
    ("智子", "トモコ", "tomoko"), ("直", "ナオ", "nao"), ("夏海", "ナツミ", "natsumi"), ("遥", "ハルカ", "haruka"),
    ("光", "ヒカル", "hikaru"), ("文", "フミ", "fumi"), ("真央", "マオ", "mao"), ("瑞希", "ミズキ", "mizuki"),
    ("美雪", "ミユキ", "miyuki"), ("優", "ユウ", "yu"), ("由香", "ユカ", "yuka"), ("陽菜", "ヨウナ", "yona"),
    ("律", "リツ", "ritsu"), ("凛", "リン", "rin"),
)  # fmt: skip
PLACES = (
    ("060-0001", "北海道札幌市中央区北一条西"), ("980-0811", "宮城県仙台市青葉区一番町"),
    ("330-0854", "埼玉県さいたま市大宮区桜木町"), ("260-0013", "千葉県千葉市中央区中央"),
    ("104-0061", "東京都中央区銀座"), ("150-0001", "東京都渋谷区神宮前"), ("154-0004", "東京都世田谷区太子堂"),
    ("166-0003", "東京都杉並区高円寺南"), ("180-0004", "東京都武蔵野市吉祥寺本町"),
    ("220-0012", "神奈川県横浜市西区みなとみらい"), ("248-0006", "神奈川県鎌倉市小町"),
    ("950-0088", "新潟県新潟市中央区万代"), ("920-0961", "石川県金沢市香林坊"),
    ("460-0008", "愛知県名古屋市中区栄"), ("605-0074", "京都府京都市東山区祇園町南側"),
    ("530-0001", "大阪府大阪市北区梅田"), ("650-0021", "兵庫県神戸市中央区三宮町"),
    ("630-8215", "奈良県奈良市東向中町"), ("700-0822", "岡山県岡山市北区表町"), ("730-0035", "広島県広島市中区本通"),
    ("760-0029", "香川県高松市丸亀町"), ("790-0004", "愛媛県松山市大街道"), ("810-0001", "福岡県福岡市中央区天神"),
    ("850-0853", "長崎県長崎市浜町"), ("890-0053", "鹿児島県鹿児島市中央町"), ("900-0015", "沖縄県那覇市久茂地"),
)  # fmt: skip
SHOPS = (
    "こもれび", "月のしずく", "糸まき", "はるかぜ", "ねこのて", "木の実", "あさつゆ", "ことり", "ゆきどけ", "みずたま",
    "波まかせ", "ひなたぼっこ", "草かんむり", "つぎはぎ", "星あつめ", "くるみ", "よりみち", "灯", "葉ずえ", "ふたば",
)  # fmt: skip
SHOP_KINDS = ("工房", "製作所", "手芸店", "窯", "舎", "の庭", "アトリエ", "堂")
HOSTILE_NAMES = (
    "<!channel> *free*",
    "さくら\u202egnp.exe\u202c",
    "@here <https://evil.example/login|公式サポート>",
    "`rm -rf` & <b>太字</b> ~~~",
    "zero\u200bwidth\u2066 \u2069_name_",
    "とても長い名前" * 40,
)
"""Display names that must arrive on a card as harmless text."""
BACK_OFFICE = "http://127.0.0.1:8900"
POPULATION_BUYERS = 600
POPULATION_MAKERS = 48
FAMILIES = 8
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
    full_name: str
    kana: str
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Everybody who was there before the play began."""

    makers: tuple[Person, ...]
    buyers: tuple[Person, ...]
    families: tuple[tuple[Person, ...], ...]
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


def make_person(rng: random.Random, created_at: datetime, *, is_seller: bool = False) -> Person:
    surname, surname_kana = rng.choice(SURNAMES)
    given, given_kana, roman = rng.choice(GIVEN_NAMES)
    postal_code, town = rng.choice(PLACES)
    shop = f"{rng.choice(SHOPS)}{rng.choice(SHOP_KINDS)}"
    nick = rng.choice(
        (given, f"{roman}{rng.randrange(100)}", f"{given_kana}☆", f"{surname}{given}")
    )
    account_id = make_id(rng, "a")
    return Person(
        account_id=account_id,
        display_name=shop if is_seller else nick,
        full_name=f"{surname} {given}",
        kana=f"{surname_kana} {given_kana}",
        email=f"{roman}.{rng.getrandbits(20):05x}@mail.example",
        phone=f"090-0{rng.randrange(1000):03d}-{rng.randrange(10000):04d}",
        postal_code=postal_code,
        address=_make_address(rng, town),
        ip=make_ip(rng),
        device_id=make_id(rng, "d"),
        cards=(make_card(rng),),
        created_at=created_at,
        is_seller=is_seller,
        payout_account=make_id(rng, "bank") if is_seller else None,
    )


def _make_address(rng: random.Random, town: str) -> str:
    number = f"{rng.randrange(1, 9)}-{rng.randrange(1, 30)}-{rng.randrange(1, 20)}"
    rooms = f" {rng.choice(('コーポ', 'メゾン', 'ハイツ'))}{rng.choice(SHOPS)}{rng.randrange(1, 12)}0{rng.randrange(1, 9)}"
    return f"{town}{number}{rooms if rng.random() < 0.5 else ''}"


def make_population(seed: int, start: datetime) -> Population:
    """Who was there before the play: the same for the same seed."""
    rng = random.Random(f"{seed} population")  # noqa: S311 (a repeatable story, no secret)

    def since() -> datetime:
        return start - timedelta(days=rng.uniform(10, 700))

    makers = [make_person(rng, since(), is_seller=True) for _ in range(POPULATION_MAKERS)]
    buyers = [make_person(rng, since()) for _ in range(POPULATION_BUYERS)]
    for n, name in enumerate(HOSTILE_NAMES):
        buyers[n * 7] = replace(buyers[n * 7], display_name=name)
    families = [_make_family(rng, since()) for _ in range(FAMILIES)]
    office = _make_office(rng, since())
    everybody = (*makers, *buyers, *(p for f in families for p in f), *office)
    return Population(
        makers=tuple(makers),
        buyers=tuple(buyers),
        families=tuple(families),
        office=office,
        everybody=everybody,
    )


def _make_family(rng: random.Random, created_at: datetime) -> tuple[Person, ...]:
    """Two or three people of one home on one card, each with a telephone of their own."""
    first = make_person(rng, created_at)
    surname, surname_kana = first.full_name.split()[0], first.kana.split()[0]
    others = []
    for _ in range(rng.choice((1, 2))):
        other = make_person(rng, created_at + timedelta(days=rng.uniform(1, 9)))
        others.append(
            replace(
                other,
                full_name=f"{surname} {other.full_name.split()[1]}",
                kana=f"{surname_kana} {other.kana.split()[1]}",
                postal_code=first.postal_code,
                address=first.address,
                ip=first.ip,
                cards=first.cards,
            )
        )
    return (first, *others)


def _make_office(rng: random.Random, created_at: datetime) -> tuple[Person, ...]:
    """People who shop from one office and have it sent there, and a maker on another floor."""
    maker = make_person(rng, created_at, is_seller=True)
    building = f"{maker.address.split()[0]} 港ビル"
    maker = replace(maker, address=f"{building}2階", ip="203.0.113.40")
    colleagues = []
    for _ in range(OFFICE_SIZE - 1):
        # They signed up at home, and not all in the week in which the maker did.
        person = make_person(rng, created_at + timedelta(days=rng.uniform(3, 9)))
        colleagues.append(
            replace(
                person,
                postal_code=maker.postal_code,
                address=f"{building}5階",
                ip=maker.ip,
                signup_ip=person.ip,
            )
        )
    return (maker, *colleagues)


def payout_hash(account: str) -> str:
    """What the marketplace shows of a bank account."""
    return hashlib.sha256(f"demo|{account}".encode()).hexdigest()
