"""Events of the workspace: roles that change, and replies under cards."""

from __future__ import annotations

import logging

from bot.cases.noting import note_reply
from bot.handlers.desk import Desk
from bot.handlers.payloads import Happened

logger = logging.getLogger(__name__)

_ROLE_EVENTS = frozenset(
    {"subteam_created", "subteam_updated", "subteam_members_changed", "user_change"}
)


async def on_event(desk: Desk, event: Happened) -> None:
    """Do what an event asks for; one that means nothing to us is acknowledged all the same.

    A note is committed before the acknowledgement: if that fails, Slack sends the event again.
    """
    if event.kind in _ROLE_EVENTS:
        desk.errands.start(_resync(desk))
    elif event.reply is not None and event.team_id == desk.room.home_team:
        await note_reply(
            desk.room,
            user_id=event.reply.user_id,
            channel=event.reply.channel,
            thread_ts=event.reply.thread_ts,
            message_ts=event.reply.ts,
            body=event.reply.text,
        )


async def _resync(desk: Desk) -> None:
    await desk.resync()
