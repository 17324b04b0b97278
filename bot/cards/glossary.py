"""Reads the file in which a shop gives its own words for sellers, buyers and what they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from bot.domain.errors import SayableError
from bot.locale import LOCALES
from bot.locale.messages import GLOSSARY_KEYS

LONGEST_WORD = 24
_MARKS = " -'’・ー"


def read_glossary(path: Path) -> dict[str, dict[str, str]]:
    """By language, the words that stand in the place of the catalogue's.

    Raises:
        SayableError: the file is none, or names a language or word that nobody asks for.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SayableError(f"GLOSSARY_FILE {path} cannot be read.") from error
    except yaml.YAMLError as error:
        raise SayableError(f"GLOSSARY_FILE {path} is not YAML.") from error
    if not isinstance(content, Mapping) or not content:
        raise SayableError(f"GLOSSARY_FILE {path} must hold words by language, such as `en:`.")
    return {str(locale): _check_words(path, locale, words) for locale, words in content.items()}


def _check_words(path: Path, locale: object, words: object) -> dict[str, str]:
    if locale not in LOCALES:
        raise SayableError(
            f"GLOSSARY_FILE {path} names the language {locale}: there are {' and '.join(LOCALES)}."
        )
    if not isinstance(words, Mapping):
        raise SayableError(f"GLOSSARY_FILE {path} must hold words under {locale}.")
    for key, word in words.items():
        if key not in GLOSSARY_KEYS:
            raise SayableError(
                f"GLOSSARY_FILE {path} names {key} under {locale}: the words are "
                f"{', '.join(GLOSSARY_KEYS)}."
            )
        if not isinstance(word, str) or not _is_plain(word):
            raise SayableError(
                f"GLOSSARY_FILE {path} gives {key} under {locale} no plain word of at most "
                f"{LONGEST_WORD} characters."
            )
    for one in (key for key in GLOSSARY_KEYS if f"{key}s" in GLOSSARY_KEYS):
        if (one in words) != (f"{one}s" in words):
            raise SayableError(f"GLOSSARY_FILE {path} must name {one} and {one}s under {locale}.")
    return {str(key): word.strip() for key, word in words.items()}


def _is_plain(word: str) -> bool:
    """Whether it can stand in every sentence, and never as markup."""
    return 0 < len(word.strip()) <= LONGEST_WORD and all(
        sign.isalnum() or sign in _MARKS for sign in word
    )
