"""Sets the stage for tests of the digest: days in Tokyo with cases, decisions and effects at known times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from bot.cases.deciding import decide, dismiss
from bot.cases.room import Press, Room
from bot.digests import collect
from bot.domain.cases import CaseView
from bot.domain.digests import Digest, Figure, Part, Sentence
from bot.domain.refusals import Refusal
from bot.ledger.engine import snapshot
from bot.market.reader import MarketReader
from tests.cases.stage import an_open_case, cancel_choice, hold_choice, press_of, the_case_of
from tests.playground.market.stage import add_account, add_order

TOKYO = ZoneInfo("Asia/Tokyo")
DAY = date(2026, 11, 22)
"""The digest day of these tests; the digest is made at nine on the next one."""
AGENT, APPROVER = "U0SATO", "U0TANAKA"


def at(hour: float = 12.0, *, days_ago: int = 0) -> datetime:
    """A moment of the digest day, or of one before it, in Tokyo."""
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=TOKYO)
    return midnight - timedelta(days=days_ago) + timedelta(hours=hour)


MORNING_AFTER = at(33)


@dataclass
class DayClock:
    """The market's clock, where a test has put it."""

    time: datetime = MORNING_AFTER

    def now(self) -> datetime:
        return self.time


@dataclass
class Shop:
    """A case room and a marketplace."""

    room: Room
    clock: DayClock
    market: Any
    reader: MarketReader

    async def open(self, order: str, when: datetime, *, amount: int = 12400) -> CaseView:
        """A case about one order, opened at a moment of the market's clock."""
        self.clock.time = when
        return await an_open_case(self.room, order, amount=amount)

    async def cancel(
        self, order: str, when: datetime, *, by: str = APPROVER, effect: bool = True
    ) -> str:
        """Decide a forced cancel and, unless told otherwise, let it be carried out at that moment."""
        view = await the_case_of(self.room, order)
        return await self._decided(
            await decide(self.room, press_of(view, by), cancel_choice(order)), when, effect=effect
        )

    async def hold(self, order: str, when: datetime) -> str:
        view = await the_case_of(self.room, order)
        decision_id = await self._decided(
            await decide(self.room, press_of(view, AGENT), hold_choice(order)), when, effect=True
        )
        await self.execute(
            """UPDATE ledger.case_members
                  SET facts = facts || jsonb_build_object('held_at', cast(:when AS timestamptz))
                WHERE subject_kind = 'order' AND subject_id = :order""",
            when=when,
            order=order,
        )
        # As the executor leaves a case after a hold: open, to be decided.
        await self.execute(
            "UPDATE ledger.cases SET state = 'open' WHERE case_id = :case_id", case_id=view.case_id
        )
        return decision_id

    async def dismiss(self, order: str, when: datetime) -> str:
        view = await the_case_of(self.room, order)
        press = Press(user_id=AGENT, case_id=view.case_id, version=view.version)
        return await self._decided(
            await dismiss(self.room, press, reason="Family or colleagues"), when, effect=False
        )

    async def _decided(self, answer: Any, when: datetime, *, effect: bool) -> str:
        assert not isinstance(answer, Refusal), answer
        await self.execute(
            """UPDATE ledger.decisions SET decided_at = :when
                WHERE decision_id = :decision_id AND state = 'approved'""",
            when=when,
            decision_id=answer.decision_id,
        )
        if effect:
            for change in (
                "state = 'executing'",
                "state = 'succeeded', ended_at = :when",
            ):
                await self.execute(
                    f"UPDATE ledger.operations SET {change} WHERE decision_id = :decision_id"
                    + ("" if ":when" in change else " AND cast(:when AS timestamptz) IS NOT NULL"),
                    when=when,
                    decision_id=answer.decision_id,
                )
        return str(answer.decision_id)

    async def sold(self, order: str, **columns: Any) -> None:
        """An order in the marketplace: ¥10,000, of which 800 were paid by coupon and points."""
        await add_order(
            self.market,
            order,
            **{"ordered_at": at(9), "paid_at": at(9), "updated_at": at(9)} | columns,
        )

    async def charged_back(self, order: str, when: datetime, *, reason: str = "fraud") -> None:
        await self.market.execute(
            "INSERT INTO market.chargebacks (chargeback_id, order_id, amount, reason, received_at)"
            " VALUES ($1, $2, 9200, $3, $4)",
            f"cb-{order}-{when:%m%d%H}",
            order,
            reason,
            when,
        )

    async def account(self, id_: str) -> None:
        await add_account(self.market, id_)

    async def execute(self, sql: str, **params: Any) -> None:
        async with self.room.engine.begin() as conn:
            await conn.execute(text(sql), params)

    async def scalar(self, sql: str, **params: Any) -> Any:
        async with self.room.engine.connect() as conn:
            return await conn.scalar(text(sql), params)

    async def digest(
        self,
        day: date = DAY,
        *,
        now: datetime = MORNING_AFTER,
        present: bool = True,
        reader: MarketReader | None = None,
    ) -> Digest:
        self.clock.time = now
        async with snapshot(self.room.engine) as conn:
            return await collect(
                conn, reader or self.reader, day=day, now=now, zone=TOKYO, present=present
            )


def part_of(digest: Digest, name: str) -> Part:
    return next(part for part in digest.parts if part.name == name)


def figure_of(digest: Digest, name: str) -> Figure:
    return next(figure for part in digest.parts for figure in part.figures if figure.name == name)


def number_of(sentence: Sentence, name: str) -> int | None:
    """A number that is put into a sentence."""
    return sentence.values[name].number


def begins(part: Part, words: str) -> Sentence | None:
    """The line of a part that begins with these words of the catalogue."""
    return next((line for line in part.lines if line.one.startswith(words)), None)
