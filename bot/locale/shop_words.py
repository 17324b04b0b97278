"""Puts a shop's own words into texts that were written with the usual ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LEFT_ALONE = frozenset({"work", "works"})
"""In English a verb as well."""
_VOWELS = tuple("aeiouAEIOU")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopWords:
    """For each usual word the shop's; the pattern finds the usual ones."""

    pattern: re.Pattern[str]
    words: Mapping[str, str]

    def put_into(self, text: str) -> str:
        return self.pattern.sub(self._put, text)

    def _put(self, found: re.Match[str]) -> str:
        article, word = found.group("article") or "", found.group("word")
        own = self.words[word]
        if article:
            article = article[0] + ("n " if own.startswith(_VOWELS) else " ")
        return article + own


def shop_words(usual: Mapping[str, str], own: Mapping[str, str]) -> ShopWords | None:
    """What to put for what; None where every word is the usual one. English takes the article along."""
    words: dict[str, str] = {}
    for key, word in own.items():
        known = usual[key]
        if known != word and known not in _LEFT_ALONE:
            words[known] = word
            words[known.capitalize()] = word.capitalize()
    if not words:
        return None
    longest_first = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    # Japanese has no spaces around its words.
    one = (
        rf"\b(?P<word>{longest_first})\b"
        if longest_first.isascii()
        else f"(?P<word>{longest_first})"
    )
    return ShopWords(pattern=re.compile(rf"(?P<article>\b[Aa]n? )?{one}"), words=words)
