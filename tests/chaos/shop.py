"""The marketplace of a chaos run: it counts what arrives, and tells in the end what it really did."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from typing_extensions import override

from bot.playground.market.drafts import KINDS
from bot.playground.market.faults import Fault, Faults
from bot.playground.market.server import Marketplace
from tests.playground.market.stage import add_account, add_order

TOKEN = "market-token"
EXECUTION_BOUND_S = 5
CLASSES = {"hold": "lookup", "suspend": "lookup", "release": "none"}
"""The verbs that are trusted less than the others, which honour their key."""
FAULTS: dict[Fault, tuple[float, float]] = {
    Fault.ANSWER_LOST: (0.05, 1.0),
    Fault.ERROR_BEFORE: (0.03, 1.0),
    Fault.ERROR_AFTER: (0.04, 1.0),
    Fault.UNAVAILABLE: (0.02, 1.0),
    Fault.TOO_MANY: (0.02, 1.0),
    Fault.LATE: (0.03, 2.5),
    Fault.SLOW: (0.02, 4.0),
    Fault.PENDING: (0.02, 1.0),
    Fault.STEP_FAILS: (0.02, 1.0),
}
"""How likely each is, and its seconds; late and slow ones stay below the bound that is declared."""
LARGEST_RING = 20


class CountingMarketplace(Marketplace):
    """The strict demo marketplace; every request for a verb is counted by its key before anything else."""

    def __init__(self, dsn: str, *, seed: int) -> None:
        super().__init__(
            dsn, token=TOKEN, faults=Faults(seed=seed), execution_bound_s=EXECUTION_BOUND_S
        )
        self.classes.update(CLASSES)
        self.sends: Counter[str] = Counter()
        self.first_sent: dict[str, float] = {}
        """When the first request under each key came."""

    @override
    async def _post_verb(self, request: web.Request) -> web.StreamResponse:
        keys = request.headers.getall("Idempotency-Key", [])
        self.sends.update(keys)
        for key in keys:
            self.first_sent.setdefault(key, time.time())
        return await super()._post_verb(request)

    def misbehave(self, share: float) -> None:
        """Switch on every fault, each by its own chance times `share`."""
        for fault, (probability, seconds) in FAULTS.items():
            if share > 0:
                self.faults.switch_on(fault, probability=probability * share, seconds=seconds)

    async def executed(self) -> list[dict[str, Any]]:
        """Everything that was really done, one entry an effect, oldest first."""
        rows = await self.pool.fetch(
            """SELECT e.*, (SELECT o.body FROM backoffice.operations o
                             WHERE o.idempotency_key = e.idempotency_key
                             ORDER BY o.state = 'failed', o.seq LIMIT 1) AS body
                 FROM backoffice.effects e ORDER BY e.effect_id"""
        )
        return [
            {
                "key": row["idempotency_key"],
                "verb": row["kind"],
                "subject_kind": KINDS[row["kind"]].removesuffix("s"),
                "subject_id": row["subject_id"],
                "amount": row["amount"],
                "currency": row["currency"],
                "body": json.loads(row["body"] or "{}"),
                "executed_at": row["at"].isoformat(),
                "sends": self.sends[row["idempotency_key"]],
            }
            for row in rows
        ]


class Rings:
    """Makes the rows that a detection finds: one buyer, a row of orders of his at one seller."""

    def __init__(self, market: Marketplace, chance: random.Random) -> None:
        self._market = market
        self._chance = chance
        self.made = 0
        self.unseen = 0

    async def add(self) -> None:
        self.made += 1
        # Few and cheap enough for one person now and then; most need a second one.
        await self._add(
            f"ring-{self.made:05d}", self._chance.choice([1, 2, 3, 10, 12, 15, 18, LARGEST_RING])
        )

    async def add_unseen(self) -> str:
        """An order that no detection finds, for somebody who opens its case by hand."""
        self.unseen += 1
        name = f"unseen-{self.unseen:05d}"
        await self._add(name, 1)
        return f"{name}-00"

    async def _add(self, name: str, orders: int) -> None:
        chance = self._chance
        now = datetime.now(UTC)
        method = chance.choices(["card", "konbini"], [4, 1])[0]
        old = now - timedelta(days=400)
        async with self._market.pool.acquire() as conn, conn.transaction():
            await add_account(
                conn, name, full_name=f"購入者 {name}", created_at=old, updated_at=now
            )
            await add_account(
                conn,
                f"seller-{name}",
                full_name=f"<!channel> 出品者 {name}",
                is_seller=True,
                created_at=old,
                updated_at=now,
            )
            for n in range(orders):
                await add_order(
                    conn,
                    f"{name}-{n:02d}",
                    buyer_id=name,
                    seller_id=f"seller-{name}",
                    total_amount=chance.randrange(2000, 9000),
                    discount_amount=0,
                    points_amount=0,
                    payment_method=method,
                    ordered_at=now - timedelta(seconds=orders - n),
                    paid_at=now,
                    ship_due_at=now + timedelta(hours=20),
                    updated_at=now,
                )
