"""What the catalogue says, and how numbers, money and time read in a language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

from babel.dates import format_datetime
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_currency_precision, is_currency

from bot.locale.shop_words import ShopWords, shop_words

FOLDER = Path(__file__).parent
DEFAULT = "en"
GLOSSARY = "glossary"
"""The context of the shop's own words in the .po files."""
GLOSSARY_KEYS = ("seller", "sellers", "buyer", "buyers", "maker", "makers", "work", "works")
_KNOWN = frozenset(path.stem for path in FOLDER.glob("*.po"))
_DAY = timedelta(days=1)
_shop_words: dict[str, Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """One language's words; the shop's own words stand ready in every sentence, such as `{seller}`."""

    locale: str
    translations: GNUTranslations
    glossary: Mapping[str, str]
    own_words: ShopWords | None = None
    """Where the shop has other words than the catalogue."""

    def t(self, msgid: str, **params: object) -> str:
        """The sentence in this language with its parameters put in."""
        return self._fill(self.translations.gettext(msgid), params)

    def n(self, singular: str, plural: str, count: int, **params: object) -> str:
        """The sentence for this many; `{count}` reads with separators."""
        sentence = self.translations.ngettext(singular, plural, count)
        return self._fill(sentence, {"count": self.number(count), **params})

    def word(self, key: str) -> str:
        """The translation of a key that came from outside, or the key itself; nothing is put in."""
        return self.translations.gettext(key) if key else ""

    def pick(self, ja: str | None, en: str | None) -> str:
        """Which of two texts that were written in both languages, as by a detection; in the shop's words."""
        first, second = (ja, en) if self.locale == "ja" else (en, ja)
        picked = first or second or ""
        return self.own_words.put_into(picked) if self.own_words else picked

    def number(self, value: int) -> str:
        return format_decimal(value, locale="en")

    def money(self, amount: int, currency: str | None) -> str:
        """Minor units as people write them: ¥12,400, €124.00.

        Of an unknown currency nobody knows the minor unit: the number stands as it is.
        """
        code = (currency or "").upper()
        if not (len(code) == 3 and code.isascii() and is_currency(code, locale="en")):
            shown = code if code.isascii() and code.isalnum() and len(code) < 9 else "?"
            return f"{self.number(amount)} {shown}"
        places = get_currency_precision(code)
        told = format_currency(Decimal(amount).scaleb(-places), code, locale="en")
        # A currency without a sign of its own stands there by its code.
        return told.replace(code, f"{code} ")

    def monies(self, amounts: Iterable[tuple[int, str]]) -> str:
        """Money in several currencies, dearest first."""
        return " + ".join(self.money(amount, currency) for amount, currency in amounts)

    def moment(self, when: datetime, tz: tzinfo, now: datetime | None = None) -> str:
        """A local time; its date is left out on the day that `now` is in."""
        local = when.astimezone(tz)
        today = now.astimezone(tz) if now is not None else None
        if today is not None and local.date() == today.date():
            return f"{local:%H:%M}"
        far = today is not None and abs(today - local) > 180 * _DAY
        if self.locale == "ja":
            pattern = "y年M月d日 HH:mm" if far else "M月d日 HH:mm"
        else:
            pattern = "MMM d, y, HH:mm" if far else "MMM d, HH:mm"
        return format_datetime(local, pattern, locale=self.locale)

    def clock_time(self, when: datetime, tz: tzinfo) -> str:
        """A local time of day to the second."""
        return f"{when.astimezone(tz):%H:%M:%S}"

    def day(self, when: datetime, tz: tzinfo) -> str:
        """A local date with its year."""
        return f"{when.astimezone(tz):%Y-%m-%d}"

    def span(self, delta: timedelta, *, seconds: bool = False) -> str:
        """How long, in words, as exactly as it matters: 3 days, 2 h 14 min; to the second if asked."""
        whole = max(int(delta.total_seconds()), 0)
        minutes, rest = divmod(whole, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        parts: list[str] = []
        if days:
            parts.append(self.n("{count} day", "{count} days", days))
        if hours and days < 2:
            parts.append(self.t("{count} h", count=hours))
        if minutes and not days:
            parts.append(self.t("{count} min", count=minutes))
        if seconds and not days and not hours and (rest or not minutes):
            parts.append(self.t("{count} s", count=rest))
        if not parts:
            return self.t("less than 1 min")
        return ("" if self.locale == "ja" else " ").join(parts)

    def dots(self, parts: Iterable[str]) -> str:
        """Facts beside each other on one line."""
        return (" ・ " if self.locale == "ja" else " · ").join(parts)

    def all_of(self, words: Iterable[str]) -> str:
        """Things that belong together: A・B・C, or A, B, C."""
        return ("・" if self.locale == "ja" else ", ").join(words)

    def series(self, items: Iterable[str]) -> str:
        """Things one after the other that may have marks of their own: A、B、C, or A, B, C."""
        return ("、" if self.locale == "ja" else ", ").join(items)

    def any_of(self, words: Iterable[str]) -> str:
        """Things of which one is enough."""
        *first, last = words
        return self.t(" or ").join([self.series(first), last]) if first else last

    def _fill(self, sentence: str, params: Mapping[str, object]) -> str:
        return sentence.format_map({**self.glossary, **params})


def messages_for(locale: str) -> Messages:
    """The words of a language by its tag (`ja`, `en-US`, `pt_BR`); English where we have none."""
    language = locale.replace("_", "-").partition("-")[0].lower()
    return _read(language if language in _KNOWN else DEFAULT)


def use_glossary(words: Mapping[str, Mapping[str, str]]) -> None:
    """Put a shop's own words, by language, in the place of the catalogue's; said once, at the entrance."""
    _shop_words.clear()
    _shop_words.update(words)
    _read.cache_clear()


@cache
def _read(locale: str) -> Messages:
    catalog = read_catalog(locale)
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    translations = GNUTranslations(compiled)
    glossary = {key: translations.pgettext(GLOSSARY, key) for key in GLOSSARY_KEYS}
    own = _shop_words.get(locale, {})
    return Messages(
        locale=locale,
        translations=translations,
        glossary={**glossary, **own},
        own_words=shop_words(glossary, own),
    )


def read_catalog(locale: str) -> Catalog:
    """The .po file of a language."""
    with (FOLDER / f"{locale}.po").open("rb") as file:
        return read_po(file, locale=locale)
