"""The message catalogue: Japanese and English."""

from __future__ import annotations


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for "extract, do not translate yet"
    """Mark a message for extraction; it is translated where it is drawn."""
    return message
