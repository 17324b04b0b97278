"""Keeps where every campaign stands, and wakes each when its time has come, within the player's own transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

from bot.playground.market.campaigns.campaign import Campaign, Planned
from bot.playground.market.campaigns.parameters import Kind
from bot.playground.market.campaigns.rounds import World
from bot.playground.market.shoppers_rows import Fed

Insert = Callable[[Any, Iterable[Fed]], Awaitable[None]]

_ENTER = """
    INSERT INTO playground.campaigns (campaign_no, kind, story, born_at, first_act_at, wakes_at)
    VALUES ($1, $2, $3, $4, $5, $4)
"""
_READ_NEXT = """
    SELECT campaign_no, kind, story, born_at, first_act_at, waves, caught FROM playground.campaigns
     WHERE wakes_at <= $1 ORDER BY wakes_at, campaign_no LIMIT 1
"""
_WRITE = """
    UPDATE playground.campaigns
       SET waves = waves + $2::int, caught = $3, wakes_at = $4, ended = $5
     WHERE campaign_no = $1
"""
# What a fraudster sees of a round of theirs in the marketplace, and in nothing else: which accounts are
# suspended, orders held or cancelled, listings taken down and posts gone. What the story itself had
# suspended or cancelled is no news.
_LOOK = """
    SELECT t.subject_id FROM playground.truth t
      LEFT JOIN market.accounts a ON t.subject_kind = 'account' AND a.account_id = t.subject_id
      LEFT JOIN feed.accounts fa ON fa.account_id = a.account_id
      LEFT JOIN market.orders o ON t.subject_kind = 'order' AND o.order_id = t.subject_id
      LEFT JOIN feed.orders fo ON fo.order_id = o.order_id
      LEFT JOIN market.listings l ON t.subject_kind = 'listing' AND l.listing_id = t.subject_id
      LEFT JOIN feed.posts fp ON t.subject_kind = 'post' AND fp.post_id = t.subject_id
     WHERE t.story_no = $1 AND t.round = $2 AND t.label = 'fraud'
       AND (a.status = 'suspended' AND fa.status <> 'suspended'
            OR o.held_at IS NOT NULL
            OR o.status = 'canceled' AND NOT fo.canceled_by_play
            OR l.status = 'removed'
            OR fp.created_at <= (SELECT market_time FROM playground.play)
               AND NOT EXISTS (SELECT FROM market.posts p WHERE p.post_id = fp.post_id))
"""


class CampaignBook:
    """The campaigns of one play."""

    def __init__(self, world: World, insert: Insert) -> None:
        self._world = world
        self._insert = insert

    async def enter(self, connection: Any, planned: Iterable[Planned]) -> None:
        """They sleep until they are born."""
        await connection.executemany(
            _ENTER, [(p.no, p.kind.value, p.story, p.born_at, p.first_act_at) for p in planned]
        )

    async def wake(self, connection: Any, until: datetime) -> None:
        """Everybody whose time comes up to `until`, in the order of their times.

        A campaign is rebuilt from its outcomes at each wake, so a player that was killed needs to
        remember nothing, and what is written depends on the outcomes alone.
        """
        while (row := await connection.fetchrow(_READ_NEXT, until)) is not None:
            await self._wake(connection, row)

    async def _wake(self, connection: Any, row: Any) -> None:
        campaign = Campaign(self._world, _planned(row))
        caught = list(row["caught"])
        for was_caught in caught:
            campaign.go_on(was_caught=was_caught)
        if row["waves"]:
            stopped = await self._look(connection, row["campaign_no"], campaign.round.number)
            await self._insert(connection, campaign.grant_claims(stopped))
            caught.append(bool(stopped))
            campaign.go_on(was_caught=bool(stopped))
        if campaign.ended is None:
            await self._insert(connection, campaign.wave.rows)
        await connection.execute(
            _WRITE,
            row["campaign_no"],
            int(campaign.ended is None),
            caught,
            campaign.looks_at if campaign.ended is None else None,
            campaign.ended,
        )

    async def _look(self, connection: Any, campaign_no: str, round_no: int) -> frozenset[str]:
        rows = await connection.fetch(_LOOK, campaign_no, round_no)
        return frozenset(row["subject_id"] for row in rows)


def _planned(row: Any) -> Planned:
    return Planned(
        no=row["campaign_no"],
        kind=Kind(row["kind"]),
        story=row["story"],
        born_at=row["born_at"],
        first_act_at=row["first_act_at"],
    )
