"""Masks personal data: enough stays to tell two values apart, not enough to know one."""

from __future__ import annotations

import ipaddress
import re

from bot.domain.findings import Mask

_STARS = "＊＊＊＊"
# The prefecture and the city of a Japanese address; what follows leads to the door.
_AREA = re.compile(
    r"\s*(?:〒?\s*\d{3}-?\d{4}\s*)?((?:東京都|北海道|(?:京都|大阪)府|..?.?県)(?:[^\d\s]{1,8}?[市区町村])?)"
)


def mask(value: str, kind: Mask) -> str:
    """The value as everybody in the channel may see it; its length does not show."""
    match kind:
        case Mask.NONE:
            return value
        case Mask.NAME:
            return value.strip()[:1] + _STARS
        case Mask.EMAIL:
            local, at, host = value.strip().rpartition("@")
            return local[:1] + _STARS + at + host if at else _STARS
        case Mask.IP:
            return _mask_ip(value.strip())
        case Mask.ADDRESS:
            area = _AREA.match(value)
            return (area[1] if area else "") + _STARS


def _mask_ip(value: str) -> str:
    """The network that providers commonly hand to one customer or one office."""
    try:
        address = ipaddress.ip_interface(value)
    except ValueError:
        return _STARS
    length = min(24 if address.version == 4 else 48, address.network.prefixlen)
    return str(address.network.supernet(new_prefix=length))
