"""みなと市場: a Japanese marketplace of handmade things, in yen."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from bot.playground.market.flavours.flavour import Flavour, Goods, Letters
from bot.playground.market.flavours.minato_people import make_resident


def _goods(*rows: tuple[str, int, int]) -> tuple[Goods, ...]:
    return tuple(Goods(title=title, cheapest=low, dearest=high) for title, low, high in rows)


_LETTERS = Letters(
    warnings={
        "identity_check": "ご本人確認のため、登録情報のご確認をお願いします。",
        "spam_warning": "多数のフォローや宣伝の投稿は、規約により禁止されています。おやめください。",
    },
    warning_subject="ご利用についてのお願い",
    canceled_subject="ご注文のキャンセルについて",
    canceled="ご注文 {order} は、当サービスの確認により成立しませんでした。",
    goes_back="お支払いは、お支払い方法を通じて返金されます。",
    bank_asked="返金先の口座を、別途お伺いします。",
    canceled_seller_subject="注文キャンセルのお知らせ",
    canceled_seller="注文 {order} は運営によりキャンセルされました。発送しないでください。",
    refunded_subject="返金のお知らせ",
    refunded="ご注文 {order} の返金の手続きをいたしました。",
    suspended_subject="アカウントのご利用停止について",
    suspended="規約に反する可能性のあるご利用を確認したため、アカウントのご利用を停止しました。",
    reinstated="アカウントのご利用停止を解除しました。",
    open_order="発送前の注文(購入者あり)",
    taken_down="作品の公開を停止しました。",
    restored="作品の公開停止を解除しました。",
)

MINATO = Flavour(
    name="minato",
    shop={"ja": "みなと市場", "en": "Minato Market"},
    locale="ja",
    zone=ZoneInfo("Asia/Tokyo"),
    glossary_file=None,
    currency="JPY",
    yen_a_minor_unit=1,
    price_step=100,
    methods={
        "card": 58,
        "konbini": 16,
        "wallet": 12,
        "carrier": 8,
        "bank_transfer": 4,
        "points": 2,
    },
    sale_days=frozenset({5, 15, 25}),
    make_resident=make_resident,
    surname_first=True,
    office_door="{address} 港ビル{floor}階",
    shops=(
        "こもれび", "月のしずく", "糸まき", "はるかぜ", "ねこのて", "木の実", "あさつゆ", "ことり", "ゆきどけ", "みずたま",
        "波まかせ", "ひなたぼっこ", "草かんむり", "つぎはぎ", "星あつめ", "くるみ", "よりみち", "灯", "葉ずえ", "ふたば",
    ),
    shop_kinds=("工房", "製作所", "手芸店", "窯", "舎", "の庭", "アトリエ", "堂"),
    hostile_names=(
        "<!channel> *free*",
        "さくら\u202egnp.exe\u202c",
        "@here <https://evil.example/login|公式サポート>",
        "`rm -rf` & <b>太字</b> ~~~",
        "zero\u200bwidth\u2066 \u2069_name_",
        "とても長い名前" * 40,
    ),
    goods=_goods(
        ("ピアス", 1200, 4800), ("ネックレス", 1800, 9800), ("革の財布", 6800, 19800),
        ("がま口", 1500, 4200), ("マグカップ", 1800, 5200), ("飯碗", 1600, 4800),
        ("木のスプーン", 900, 2400), ("刺繍ブローチ", 1400, 3900), ("手編みマフラー", 3800, 9800),
        ("草木染めストール", 4800, 15800), ("ポーチ", 1200, 3600), ("名刺入れ", 3800, 8800),
        ("帆布トート", 3200, 8900), ("羊毛フェルトの猫", 2200, 7800), ("ドライフラワー", 1800, 6400),
        ("蜜蝋キャンドル", 1100, 3300), ("ガラスの箸置き", 800, 2600), ("水引の髪飾り", 1300, 4400),
        ("消しゴムはんこ", 600, 1900), ("指輪", 2800, 24800),
    ),
    goods_words=(
        "春色の", "小さな", "北欧風", "一点もの", "秋の", "名入れできる", "レトロな", "透ける", "ふわふわの", "藍の",
    ),
    kits=_goods(
        ("クロスステッチキット 港の灯台", 1800, 2600), ("レジンのピアス手作りキット", 1200, 1900),
        ("羊毛フェルトキット 柴犬", 1500, 2300), ("つまみ細工キット 梅", 1400, 2100),
    ),
    description="{title}です。ひとつずつ手作りしています。",
    hostile_titles=("<@U0SATO> *無料* プレゼント", "ピアス\u202e100円\u202c & <!here>"),
    reviews=(
        "とても素敵でした。ありがとうございました！", "丁寧な梱包でした", "写真どおりの色で嬉しいです", "また買います♪",
    ),
    comments=("再販の予定はありますか？", "サイズを教えてください", "かわいい…！", "ラッピングできますか"),
    questions=("まだ届きません", "住所を間違えました", "領収書をください", "色違いで作れますか"),
    question_body="{question}。よろしくお願いします。",
    profiles=(
        "小さな工房でひとつずつ作っています。日々のことはこちら {url}",
        "SNSで作品を発表してきました。お店をはじめました！ {url}",
    ),
    thanks=(
        "このたびはご購入ありがとうございました。制作のようすはこちらに載せています。 {url}",
        "お買い上げありがとうございます！新作のお知らせはこちらからどうぞ {url}",
        "ありがとうございました。お手入れの方法をまとめています。よろしければご覧ください。{url}",
    ),
    own_pages=("https://{code}.atelier-pages.example/", "https://tsukuru-blog.example/{code}"),
    lures=(
        "フォロワー様限定🎁 プレゼントはこちら {url}",
        "【重要】お支払い方法の確認が必要です。24時間以内にこちらから手続きしてください {url}",
        "当選おめでとうございます！送料のみで受け取れます → {url}",
        "突然すみません。同じ作品がこちらで半額でした {url}",
    ),
    lure_pages=(
        "https://minato-present.example/{code}",
        "https://minato-ichiba-support.example/login/{code}",
        "https://tousen-minato.example/{code}",
        "https://handmade-outlet.example/s/{code}",
    ),
    claims=(
        "届いた箱が空でした。返金してください",
        "写真と色がまったく違います。返金をお願いします",
        "発送済みになっていますが届いていません",
        "開けたら割れていました。写真は撮っていません",
    ),
    bank_wishes=(
        "カードではなく銀行口座に振り込んでください", "カードは解約したので、口座への返金でお願いします",
    ),
    see_profile="プロフィールのリンクからどうぞ",
    letters=_LETTERS,
)  # fmt: skip
