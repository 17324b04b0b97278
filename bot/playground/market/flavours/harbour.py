"""Harbour Lane: a European marketplace in English, in euros and cents, with words of its own."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from bot.playground.market.flavours.flavour import Flavour, Goods, Letters
from bot.playground.market.flavours.harbour_people import make_resident


def _goods(*rows: tuple[str, int, int]) -> tuple[Goods, ...]:
    return tuple(Goods(title=title, cheapest=low, dearest=high) for title, low, high in rows)


_LETTERS = Letters(
    warnings={
        "identity_check": "Please check the details of your account, so that we know it is you.",
        "spam_warning": "Following crowds and posting advertisements is against our terms. Please stop.",
    },
    warning_subject="About your account",
    canceled_subject="Your order was cancelled",
    canceled="After a check by us, your order {order} was cancelled.",
    goes_back=" Your payment goes back the way it came.",
    bank_asked=" We will ask you which bank account to pay back to.",
    canceled_seller_subject="An order was cancelled",
    canceled_seller="We have cancelled order {order}. Please do not ship it.",
    refunded_subject="Your refund",
    refunded="We have refunded your order {order}.",
    suspended_subject="Your account is suspended",
    suspended="We saw activity that may be against our terms, and have suspended your account.",
    reinstated="Your account is no longer suspended.",
    open_order="Unshipped order of a customer",
    taken_down="We have taken your item down.",
    restored="Your item is back on sale.",
)

HARBOUR = Flavour(
    name="harbour",
    shop={"ja": "Harbour Lane", "en": "Harbour Lane"},
    locale="en",
    zone=ZoneInfo("Europe/Berlin"),
    glossary_file=Path(__file__).with_name("harbour_glossary.yml"),
    currency="EUR",
    yen_a_minor_unit=1.6,
    price_step=25,
    methods={"card": 70, "wallet": 19, "bank_transfer": 8, "points": 3},
    sale_days=frozenset({1, 11, 26}),
    make_resident=make_resident,
    surname_first=False,
    office_door="{address}, Harbour House, floor {floor}",
    shops=(
        "Salt & ", "Driftwood ", "Lantern ", "Old Quay ", "Seaglass ", "Heather ", "Tideline ", "Blue Door ",
        "Gull's ", "North Pier ", "Juniper ", "Thistle ", "Copper ", "Fern ", "Little Anchor ", "Foxglove ",
    ),
    shop_kinds=("Workshop", "Pottery", "Threads", "Studio", "Press", "Makery", "Woodcraft", "Silver"),
    hostile_names=(
        "<!channel> *free*",
        "Anna\u202egnp.exe\u202c",
        "@here <https://evil.example/login|Official support>",
        "`rm -rf` & <b>bold</b> ~~~",
        "zero\u200bwidth\u2066 \u2069_name_",
        "A very long name " * 18,
    ),
    goods=_goods(
        ("earrings", 1200, 4800), ("necklace", 1800, 9800), ("leather wallet", 6800, 19800),
        ("coin purse", 1500, 4200), ("mug", 1800, 5200), ("bowl", 1600, 4800),
        ("wooden spoon", 900, 2400), ("embroidered brooch", 1400, 3900), ("hand-knit scarf", 3800, 9800),
        ("plant-dyed shawl", 4800, 15800), ("pouch", 1200, 3600), ("card case", 3800, 8800),
        ("canvas tote", 3200, 8900), ("felted cat", 2200, 7800), ("dried flower wreath", 1800, 6400),
        ("beeswax candle", 1100, 3300), ("glass coaster", 800, 2600), ("hair pin", 1300, 4400),
        ("carved stamp", 600, 1900), ("ring", 2800, 24800),
    ),
    goods_words=(
        "Spring ", "Tiny ", "Nordic ", "One-of-a-kind ", "Autumn ", "Personalised ", "Retro ", "Sheer ", "Fluffy ",
        "Indigo ",
    ),
    kits=_goods(
        ("Cross-stitch kit: lighthouse", 1800, 2600), ("Resin earrings kit", 1200, 1900),
        ("Needle-felting kit: sheepdog", 1500, 2300), ("Macramé starter kit", 1400, 2100),
    ),
    description="{title}. Made by hand, one at a time.",
    hostile_titles=("<@U0SATO> *FREE* gift", "Earrings\u202e€1\u202c & <!here>"),
    reviews=(
        "Even lovelier than in the photo. Thank you!", "Beautifully packed", "Exactly the colour I hoped for",
        "Will buy again",
    ),
    comments=("Will this be back in stock?", "How big is it?", "So pretty!", "Could you gift-wrap it?"),
    questions=(
        "It has not arrived yet", "I gave the wrong address", "Could I have an invoice", "Can you make it in green",
    ),
    question_body="{question}. Thanks for your help.",
    profiles=(
        "Everything is made in my small workshop. More about it: {url}",
        "You may know me from elsewhere: now I have a shop! {url}",
    ),
    thanks=(
        "Thank you for your order! I post how things are made here: {url}",
        "Thanks so much. New pieces are announced on my page first: {url}",
        "Thank you! Here is how to care for it: {url}",
    ),
    own_pages=("https://{code}.studio-pages.example/", "https://madebyhand-blog.example/{code}"),
    lures=(
        "Gift for my followers only 🎁 get yours here {url}",
        "IMPORTANT: your payment method must be confirmed within 24 hours {url}",
        "Congratulations, you have won! Pay only the postage → {url}",
        "Sorry to bother you, I saw the same piece here for half the price {url}",
    ),
    lure_pages=(
        "https://harbour-gift.example/{code}",
        "https://harbourlane-support.example/login/{code}",
        "https://prize-harbour.example/{code}",
        "https://handmade-outlet.example/s/{code}",
    ),
    claims=(
        "The box was empty. Please refund me",
        "The colour is nothing like the photo. I want my money back",
        "It says shipped but nothing came",
        "It was broken when I opened it. I have no photo",
    ),
    bank_wishes=(
        "Please send it to my bank account, not to the card", "My card is cancelled, so I need a bank transfer",
    ),
    see_profile="(the link is in my profile)",
    letters=_LETTERS,
)  # fmt: skip
