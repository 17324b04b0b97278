"""Agree to a proposal, and let what follows from it be seen at once."""

from __future__ import annotations

from bot.cases.brakes import redraw_for_brakes
from bot.cases.policy_book import follow_policy
from bot.cases.proposing import Answered, approve
from bot.cases.room import Room
from bot.domain.refusals import Refusal


async def agree(
    room: Room, user_id: str, proposal_id: str, *, words: str | None = None
) -> Answered | Refusal:
    """What was paused goes on, a policy is in force; other processes follow within seconds."""
    answered = await approve(room, user_id, proposal_id, words=words)
    if not isinstance(answered, Refusal) and answered.missing == 0:
        await redraw_for_brakes(room)
        await follow_policy(room)
    return answered
