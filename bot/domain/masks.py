"""Masks personal data: enough stays to tell two values apart, not enough to know one."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

from bot.domain.findings import Mask

_WIDE = "＊＊＊"
_NARROW = "***"
# 〒123-4567 東京都…: what follows the prefecture leads to the door.
_PREFECTURE = re.compile(
    r"(?:〒?\s*\d{3}-?\d{4})?\s*(東京都|北海道|(?:京都|大阪)府|[^\s\d]{2,3}県)"
)


def mask(value: str, kind: Mask) -> str:
    """The value as everybody in the channel may see it; not even its length shows."""
    if kind is Mask.NONE:
        return value
    known = "".join(c for c in unicodedata.normalize("NFC", value) if c.isprintable()).strip()
    match kind:
        case Mask.NAME:
            return _first_letter(known) + _stars(known)
        case Mask.EMAIL:
            return _mask_mail(known)
        case Mask.IP:
            return _mask_ip(known)
        case Mask.ADDRESS:
            return _mask_address(known)


def _stars(value: str) -> str:
    """Stars as wide as the script that they stand beside."""
    return _NARROW if value[:1].isascii() and value else _WIDE


def _first_letter(value: str) -> str:
    """The first letter with its accents; nothing where it is no letter, such as a sign of formatting."""
    for end, sign in enumerate(value):
        if end and not unicodedata.combining(sign):
            return value[:end] if value[0].isalnum() else ""
    return ""  # a name of one letter would stand there whole


def _mask_mail(value: str) -> str:
    local, at, host = value.rpartition("@")
    if not at:
        return _NARROW
    return f"{_first_letter(local + '.')}{_NARROW}@{_first_letter(host + '.')}{_NARROW}"


def _mask_ip(value: str) -> str:
    """The network that providers commonly hand to one customer or one office."""
    try:
        address = ipaddress.ip_interface(value.partition("%")[0])
    except ValueError:
        return _NARROW
    length = min(24 if address.version == 4 else 48, address.network.prefixlen)
    return str(address.network.supernet(new_prefix=length))


def _mask_address(value: str) -> str:
    """The prefecture; abroad the last part, which is the country or the state by custom."""
    if found := _PREFECTURE.match(value):
        return found[1] + _WIDE
    *before, last = re.split(r"[,、，\n]", value)
    last = last.strip()
    # A last part with digits may be a postcode or a street number.
    if before and last and not any(sign.isdigit() for sign in last):
        return f"{_NARROW}, {last[:40]}"
    return _stars(value)
