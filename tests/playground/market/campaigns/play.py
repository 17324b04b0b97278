"""Plays the demo's shoppers into a real marketplace, with somebody who steps in as the admin API would."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from typing_extensions import override

from bot.playground.market.clock import PlayClock
from bot.playground.market.directory import RELATIONS
from bot.playground.market.drafts import draft
from bot.playground.market.effects import apply
from bot.playground.market.flavours import DEFAULT, Flavour
from bot.playground.market.player import Player, open_play
from bot.playground.market.shoppers import HOUR, ShoppersSource
from tests.playground.market.campaigns.stories import START


class Play:
    """One demo; `restart` ends the process that plays it and starts another."""

    def __init__(
        self, dsn: str, connection: Any, seed: int = 1, flavour: Flavour = DEFAULT
    ) -> None:
        self.market = connection
        self._dsn = dsn
        self._seed = seed
        self._flavour = flavour
        self._player: Player | None = None
        self.now: datetime = START

    async def until(self, hour: float, *, step: float | None = None) -> None:
        """Play up to an hour of the play, in steps of so many hours or at once."""
        if self._player is None:
            self._player = await self._start(ShoppersSource(self._seed, START, self._flavour))
        while step is not None and self.now + step * HOUR < START + hour * HOUR:
            self.now = await self._player.play_until(self.now + step * HOUR)
        self.now = await self._player.play_until(START + hour * HOUR)

    async def die_before(self, hour: float) -> None:
        """Take a step that writes everything, and ends before it is committed."""
        await self.restart()
        player = await self._start(_Dying(self._seed, START, self._flavour))
        try:
            await player.play_until(START + hour * HOUR)
        except ConnectionAbortedError:
            return
        finally:
            await player.disconnect()
        raise AssertionError("it lived")

    async def _start(self, source: ShoppersSource) -> Player:
        await open_play(self.market, source)
        return Player(self._dsn, PlayClock(START, 1, driven=True), source)

    async def restart(self) -> None:
        if self._player is not None:
            await self._player.disconnect()
        self._player = None

    async def do(self, kind: str, subject_id: str) -> None:
        """What the admin API does with a verb."""
        async with self.market.transaction():
            made = await draft(self.market, kind, subject_id, {}, self.now, self._flavour.letters)
            assert made.refused is None, made.refused
            await apply(self.market, made, key=str(uuid4()), now=self.now)

    async def find(self, campaign_no: str, subject_kind: str, round_no: int = 1) -> list[str]:
        """What of a campaign shows in the marketplace by now."""
        relation, column = {
            "account": ("accounts", "account_id"),
            "order": ("orders", "order_id"),
            "listing": ("listings", "listing_id"),
            "post": ("posts", "post_id"),
        }[subject_kind]
        rows = await self.market.fetch(
            f"SELECT m.{column} FROM market.{relation} m JOIN playground.truth t "
            f"  ON t.subject_kind = $2 AND t.subject_id = m.{column} AND t.label = 'fraud' "
            "WHERE t.story_no = $1 AND t.round = $3 ORDER BY t.labelled_at, 1",
            campaign_no,
            subject_kind,
            round_no,
        )
        return [row[0] for row in rows]

    async def campaigns(self) -> dict[str, Any]:
        rows = await self.market.fetch("SELECT * FROM playground.campaigns ORDER BY campaign_no")
        return {row["campaign_no"]: row for row in rows}

    async def everything(self) -> dict[str, list[str]]:
        """All that the marketplace shows, and what is kept of the campaigns."""
        tables = [f"market.{relation}" for relation in RELATIONS]
        told = {}
        for table in [*tables, "playground.truth", "playground.campaigns"]:
            # What the admin API writes has ids that nobody can repeat.
            rows = await self.market.fetch(
                f"SELECT regexp_replace(t::text, 'R-[0-9a-f]{{16}}', 'R') FROM {table} t ORDER BY 1"
            )
            told[table] = [row[0] for row in rows]
        return told


class _Dying(ShoppersSource):
    """Killed when all is written."""

    @override
    async def supply(self, connection: Any, until: datetime) -> None:
        await super().supply(connection, until)
        raise ConnectionAbortedError
