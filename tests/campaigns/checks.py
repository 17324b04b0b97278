"""What must hold after every seed, whatever the figures say: nothing twice, nothing lost, a log that verifies."""

from __future__ import annotations

from collections import Counter

from bot.ledger import audit
from tests.campaigns.shop import Shop


async def find_faults(shop: Shop) -> list[str]:
    """What went wrong in the run itself; empty where it was sound."""
    return [
        *await _compare_ledgers(shop),
        *await _verify_log(shop),
        *await _find_stuck(shop),
        *_read_errors(shop),
    ]


async def _compare_ledgers(shop: Shop) -> list[str]:
    """The marketplace's own ledger of effects against what we believe that we did."""
    done = Counter(effect["idempotency_key"] for effect in await shop.marketplace.effects())
    rows = await shop.ledger.fetch("SELECT operation_id, verb, state FROM ledger.operations")
    succeeded = {row["operation_id"] for row in rows if row["state"] == "succeeded"}
    return [
        *(f"the effect of {key} happened {n} times" for key, n in done.items() if n > 1),
        *(f"{key} had an effect and did not succeed for us" for key in done.keys() - succeeded),
        *(f"{key} succeeded for us and had no effect" for key in succeeded - done.keys()),
    ]


async def _verify_log(shop: Shop) -> list[str]:
    async with shop.bot.room.engine.connect() as conn:
        verification = await audit.verify(conn)
    return [] if verification.ok else [f"the audit log does not verify: {verification}"]


async def _find_stuck(shop: Shop) -> list[str]:
    rows = await shop.ledger.fetch(
        """SELECT 'operation ' || operation_id || ' is ' || state AS what FROM ledger.operations
            WHERE ended_at IS NULL OR state = 'needs_human'
           UNION ALL SELECT name || ': ' || last_error FROM ledger.ticks WHERE last_error IS NOT NULL"""
    )
    return [row["what"] for row in rows]


def _read_errors(shop: Shop) -> list[str]:
    told = []
    while not shop.errors.empty():
        record = shop.errors.get()
        told.append(f"an error was logged by {record.name}: {record.getMessage()}")
    return told
