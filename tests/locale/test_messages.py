"""Numbers, money and time as people of each language write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.locale import messages_for

TOKYO = ZoneInfo("Asia/Tokyo")
JA, EN = messages_for("ja"), messages_for("en")


@pytest.mark.parametrize(
    ("locale", "known"),
    [
        ("ja", "ja"),
        ("ja-JP", "ja"),
        ("en-GB", "en"),
        ("en_US", "en"),
        ("pt-BR", "en"),
        ("", "en"),
        ("../ja", "en"),
    ],
)
def test_a_language_that_we_lack_is_english(locale: str, known: str) -> None:
    assert messages_for(locale).locale == known


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        (148600, "JPY", "¥148,600"),
        (12400, "EUR", "€124.00"),
        (12405, "BRL", "R$124.05"),
        (5, "USD", "$0.05"),
        (1234, "KWD", "KWD 1.234"),
        (-500, "JPY", "-¥500"),
        (12400, "XQZ", "12,400 XQZ"),
        (12400, "?", "12,400 ?"),
        (12400, None, "12,400 ?"),
    ],
)
def test_money_stands_in_the_currency_s_own_units(
    amount: int, currency: str | None, money: str
) -> None:
    assert (JA.money(amount, currency), EN.money(amount, currency)) == (money, money)


@pytest.mark.parametrize(
    ("delta", "ja", "en"),
    [
        (timedelta(hours=2, minutes=14, seconds=50), "2時間14分", "2 h 14 min"),
        (timedelta(days=3, hours=5), "3日", "3 days"),
        (timedelta(days=1, hours=4, minutes=9), "1日4時間", "1 day 4 h"),
        (timedelta(hours=1), "1時間", "1 h"),
        (timedelta(minutes=3), "3分", "3 min"),
        (timedelta(seconds=20), "1分未満", "less than 1 min"),
        (timedelta(seconds=-20), "1分未満", "less than 1 min"),
    ],
)
def test_a_span_is_as_exact_as_it_matters(delta: timedelta, ja: str, en: str) -> None:
    assert (JA.span(delta), EN.span(delta)) == (ja, en)


@pytest.mark.parametrize(
    ("delta", "ja", "en"),
    [
        (timedelta(minutes=6, seconds=12), "6分12秒", "6 min 12 s"),
        (timedelta(seconds=4), "4秒", "4 s"),
        (timedelta(0), "0秒", "0 s"),
        (timedelta(hours=2, seconds=9), "2時間", "2 h"),
    ],
)
def test_a_duration_may_count_seconds(delta: timedelta, ja: str, en: str) -> None:
    assert (JA.span(delta, seconds=True), EN.span(delta, seconds=True)) == (ja, en)


NOW = datetime(2026, 4, 15, 5, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "ja", "en"),
    [
        (NOW, "14:02", "14:02"),
        (NOW + timedelta(hours=11), "4月16日 01:02", "Apr 16, 01:02"),
        (NOW - timedelta(days=300), "2025年6月19日 14:02", "Jun 19, 2025, 14:02"),
    ],
)
def test_a_moment_is_local_and_leaves_out_today(when: datetime, ja: str, en: str) -> None:
    assert (JA.moment(when, TOKYO, NOW), EN.moment(when, TOKYO, NOW)) == (ja, en)


def test_a_moment_without_a_now_says_its_date() -> None:
    assert JA.moment(NOW, TOKYO) == "4月15日 14:02"


def test_english_counts_one_and_many() -> None:
    counted = [EN.n("{count} order", "{count} orders", count) for count in (0, 1, 2, 12000)]
    assert counted == ["0 orders", "1 order", "2 orders", "12,000 orders"]


def test_a_key_from_outside_is_never_a_template() -> None:
    assert EN.word("{seller.__class__}") == "{seller.__class__}"
    assert JA.word("Stolen card") == "盗難カードの使用"
    assert JA.word("") == ""


def test_parameters_hold_no_templates() -> None:
    assert (
        EN.t("{name} approved: {action}.", name="{action}", action="x") == "{action} approved: x."
    )
