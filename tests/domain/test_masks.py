"""A mask leaves enough to tell two values apart, and not enough to know one."""

from __future__ import annotations

import pytest

from bot.domain.findings import Mask
from bot.domain.masks import mask


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("山田太郎", "山＊＊＊"),
        ("山田 太郎", "山＊＊＊"),
        ("Élodie Durand", "É＊＊＊"),
        ("E\u0301lodie Durand", "É＊＊＊"),
        ("John Smith", "J***"),
        ("Nguyễn Văn A", "N***"),
        ("김철수", "김＊＊＊"),
        ("Иван Петров", "И＊＊＊"),
        ("李", "＊＊＊"),
        ("X", "***"),
        ("\u202eflow", "f***"),
        ("\u200b山田", "山＊＊＊"),
        ("*bold*", "***"),
        ("", "＊＊＊"),
        ("\ud800田", "＊＊＊"),
    ],
)
def test_a_name_keeps_its_first_letter(value: str, masked: str) -> None:
    assert mask(value, Mask.NAME) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("alice@docomo.ne.jp", "a***@d***"),
        ("Taro.Yamada+shop@gmail.com", "T***@g***"),
        ('"odd@local"@example.com', "***@e***"),
        ("no address", "***"),
        ("@example.com", "***@e***"),
        ("a@", "a***@***"),
    ],
)
def test_a_mail_address_keeps_one_letter_a_side(value: str, masked: str) -> None:
    assert mask(value, Mask.EMAIL) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77/32", "203.0.113.0/24"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("nonsense", "***"),
    ],
)
def test_an_ip_address_keeps_its_network(value: str, masked: str) -> None:
    assert mask(value, Mask.IP) == masked


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("東京都渋谷区道玄坂1-2-3", "東京都＊＊＊"),
        ("〒150-0043 東京都渋谷区道玄坂1-2-3", "東京都＊＊＊"),
        ("北海道札幌市中央区北1条", "北海道＊＊＊"),
        ("京都府京都市左京区", "京都府＊＊＊"),
        ("神奈川県横浜市", "神奈川県＊＊＊"),
        ("渋谷区道玄坂1-2-3", "＊＊＊"),
        ("10 Rue de Rivoli, 75001 Paris, France", "***, France"),
        ("350 5th Ave, New York, NY 10118", "***"),
        ("", "＊＊＊"),
    ],
)
def test_an_address_keeps_the_prefecture_or_the_country(value: str, masked: str) -> None:
    assert mask(value, Mask.ADDRESS) == masked


@pytest.mark.parametrize("kind", [kind for kind in Mask if kind is not Mask.NONE])
def test_a_mask_does_not_tell_how_long_the_value_is(kind: Mask) -> None:
    assert len(mask("a" * 10, kind)) == len(mask("a" * 1000, kind))


def test_a_value_without_a_mask_stays_as_it_is() -> None:
    assert mask("visa", Mask.NONE) == "visa"
