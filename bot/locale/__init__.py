"""The message catalogue: Japanese and English, read from the .po files beside this module."""

from __future__ import annotations

from bot.locale.messages import Messages, messages_for, use_glossary

__all__ = ["LOCALES", "N_", "Messages", "messages_for", "use_glossary"]

LOCALES = ("ja", "en")


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for "extract, do not translate yet"
    """Mark a message for extraction; it is translated where it is drawn."""
    return message
