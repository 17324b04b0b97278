"""Store what Redash tells before anything else is done with it."""

from __future__ import annotations

import logging
from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError

from bot.cases.room import Room
from bot.domain.redash import StrangePayloadError, read_webhook
from bot.ledger import redash, ticks

logger = logging.getLogger(__name__)

EVENTS_JOB, POLL_JOB = "job:redash_events", "job:redash_poll"


class Stored(StrEnum):
    """What became of a webhook."""

    NEW = "new"
    KNOWN = "known"
    UNREADABLE = "unreadable"
    """Stored as it came, for a person to look at; what it may have told is asked for at once."""
    AWAY = "away"
    """Not stored: the ledger does not answer."""


async def store_webhook(room: Room, body: bytes) -> Stored:
    """Keep what a webhook tells, once; whoever works it off begins at once."""
    try:
        told = read_webhook(body)
    except StrangePayloadError as error:
        told = None
        logger.warning("a webhook of Redash is of no shape that we know: %s", error)
    try:
        async with room.engine.begin() as conn:
            if told is None:
                new = await redash.insert_unreadable(conn, body)
                await ticks.make_due(conn, POLL_JOB)
            else:
                new = await redash.insert_event(conn, told, via="webhook")
                await ticks.make_due(conn, EVENTS_JOB)
    except (SQLAlchemyError, OSError) as error:
        logger.error(  # noqa: TRY400  # its text may hold the body
            "a webhook of Redash could not be stored (%s): the next poll must find what it told",
            type(error).__name__,
        )
        return Stored.AWAY
    if told is None:
        return Stored.UNREADABLE
    return Stored.NEW if new else Stored.KNOWN
