"""Events of the workspace: roles that change, and replies under cards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bot.cases.noting import note_reply
from bot.handlers.desk import Desk

logger = logging.getLogger(__name__)

_ROLE_EVENTS = frozenset(
    {"subteam_created", "subteam_updated", "subteam_members_changed", "user_change"}
)


async def on_event(desk: Desk, event: Mapping[str, Any], *, team_id: str) -> None:
    """Do what an event asks for; one that means nothing to us is acknowledged all the same.

    A note is committed before the acknowledgement: if that fails, Slack sends the event again.
    """
    kind = event.get("type")
    if kind in _ROLE_EVENTS:
        desk.errands.start(_resync(desk))
    elif kind == "message" and _is_reply(event) and team_id == desk.room.home_team:
        await _note(desk, event)


def _is_reply(event: Mapping[str, Any]) -> bool:
    return bool(
        event.get("thread_ts")
        and event.get("user")
        and not event.get("subtype")
        and not event.get("bot_id")
    )


async def _resync(desk: Desk) -> None:
    await desk.resync()


async def _note(desk: Desk, event: Mapping[str, Any]) -> None:
    await note_reply(
        desk.room,
        user_id=str(event["user"]),
        channel=str(event["channel"]),
        thread_ts=str(event["thread_ts"]),
        message_ts=str(event["ts"]),
        body=str(event.get("text") or ""),
    )
