"""The demo's shops: one module a flavour, drawn from by ordinary traffic and by fraud alike."""

from __future__ import annotations

from bot.playground.market.flavours.flavour import Flavour, Goods, Letters, Resident
from bot.playground.market.flavours.harbour import HARBOUR
from bot.playground.market.flavours.minato import MINATO

__all__ = ["DEFAULT", "FLAVOURS", "HARBOUR", "MINATO", "Flavour", "Goods", "Letters", "Resident"]

FLAVOURS = {flavour.name: flavour for flavour in (MINATO, HARBOUR)}
DEFAULT = MINATO
