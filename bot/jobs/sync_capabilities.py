"""Ask the marketplace which verbs it offers and how far each can be trusted."""

from __future__ import annotations

import logging

from bot.cases.room import CARDS, Room
from bot.ledger import cases, people
from bot.market.marketplace import Marketplace, MarketUnreachable

logger = logging.getLogger(__name__)


async def sync_capabilities(room: Room, api: Marketplace) -> bool:
    """Store what the marketplace declares; a changed set of verbs redraws the cards' buttons."""
    try:
        capabilities = await api.capabilities()
    except MarketUnreachable as error:
        logger.warning("the marketplace did not tell its capabilities: %s", error)
        return False
    async with room.engine.begin() as conn:
        if await people.store_capabilities(conn, capabilities):
            await cases.redraw_all_cards(conn)
    room.bell.ring(CARDS)
    return True
