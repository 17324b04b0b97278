"""Learns from chargebacks: what the bank took back as fraud labels what was found, and shows what was missed."""

from __future__ import annotations

from datetime import timedelta

from bot.cases.room import Room
from bot.detections.engine import Selects
from bot.ledger import feedback
from bot.ledger.feedback import Chargeback

FIRST = timedelta(days=180)
"""How far back the first look goes: a chargeback may come months after its order."""
OVERLAP = timedelta(days=2)
"""Looked at again each time, for rows that arrive late."""
_AT_ONCE = 5000
# One query reads oldest first, so that a long past is taken in several looks.
_NEWS = f"""
SELECT c.chargeback_id, c.order_id, c.amount, c.currency, c.received_at, o.ordered_at
  FROM chargebacks c LEFT JOIN orders o ON o.order_id = c.order_id
 WHERE c.reason = 'fraud' AND c.received_at >= $1 AND c.received_at <= $2
   AND c.chargeback_id IS NOT NULL AND c.order_id IS NOT NULL
 ORDER BY c.received_at, c.chargeback_id LIMIT {_AT_ONCE}
"""  # noqa: S608 - our own number


async def learn_from_chargebacks(room: Room, reader: Selects) -> int:
    """Take what is new. Returns how many there were.

    Raises:
        SelectFault: the marketplace's chargebacks cannot be read; the ticker tells it.
    """
    now = room.clock.now()
    async with room.engine.connect() as conn:
        latest = await feedback.latest_chargeback(conn)
    since = now - FIRST if latest is None else latest - OVERLAP
    rows = await reader.select(_NEWS, [since, now])
    taken = 0
    for row in rows.rows:
        async with room.engine.begin() as conn:
            taken += await feedback.take_chargeback(conn, Chargeback(**dict(row)))  # type: ignore[arg-type]
    return taken
