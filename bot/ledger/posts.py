"""Named queries about what is to be said in Slack: thread posts, plan sets and notes."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.notices import Notice
from bot.domain.plans import Plan
from bot.domain.story import Story
from bot.ledger.values import from_json, to_json


async def queue_story(
    conn: AsyncConnection, case_id: int, story: Story, *, dedupe_key: str
) -> None:
    """Say something in the case's thread, once for this key; where the case has no card yet, when it gets one."""
    await conn.execute(
        text(
            """INSERT INTO ledger.posts (post_id, case_id, channel, dedupe_key, story, due_at)
               SELECT :post_id, case_id, channel, :dedupe_key, cast(:story AS jsonb),
                      CASE WHEN in_channel THEN clock_timestamp() ELSE 'infinity' END
                 FROM ledger.cards WHERE case_id = :case_id
               ON CONFLICT (dedupe_key) DO NOTHING"""
        ),
        {
            "post_id": f"post_{uuid4().hex}",
            "case_id": case_id,
            "dedupe_key": dedupe_key,
            "story": to_json(story, Story),
        },
    )


async def queue_notice(
    conn: AsyncConnection, notice: Notice, *, channel: str, dedupe_key: str
) -> bool:
    """Tell something in a channel, beside all cases, once for this key; False if it was told before."""
    told = await conn.execute(
        text(
            """INSERT INTO ledger.posts (post_id, channel, dedupe_key, kind, story)
               VALUES (:post_id, :channel, :dedupe_key, 'notice', cast(:story AS jsonb))
               ON CONFLICT (dedupe_key) DO NOTHING"""
        ),
        {
            "post_id": f"post_{uuid4().hex}",
            "channel": channel,
            "dedupe_key": dedupe_key,
            "story": to_json(notice, Notice),
        },
    )
    return told.rowcount == 1


async def redraw_notice(conn: AsyncConnection, notice: Notice, *, dedupe_key: str) -> None:
    """Let a notice that was told look as it is now, in the same message."""
    await conn.execute(
        text(
            """UPDATE ledger.posts
                  SET story = cast(:story AS jsonb), revision = revision + 1, state = 'queued',
                      due_at = clock_timestamp()
                WHERE dedupe_key = :dedupe_key AND kind = 'notice'"""
        ),
        {"dedupe_key": dedupe_key, "story": to_json(notice, Notice)},
    )


async def insert_plan_set(
    conn: AsyncConnection,
    *,
    case_id: int,
    case_version: int,
    action: str,
    shown_to: str,
    plans: Sequence[Plan],
) -> str:
    """Keep the plans that a modal is about to show; returns the set's id."""
    plan_set_id = f"plans_{uuid4().hex}"
    await conn.execute(
        text(
            """INSERT INTO ledger.plan_sets (plan_set_id, case_id, case_version, action, shown_to, plans)
               VALUES (:plan_set_id, :case_id, :case_version, :action, :shown_to, cast(:plans AS jsonb))"""
        ),
        {
            "plan_set_id": plan_set_id,
            "case_id": case_id,
            "case_version": case_version,
            "action": action,
            "shown_to": shown_to,
            "plans": to_json(tuple(plans), tuple[Plan, ...]),
        },
    )
    return plan_set_id


async def read_plan_set(
    conn: AsyncConnection, plan_set_id: str, *, case_id: int, shown_to: str
) -> tuple[Plan, ...] | None:
    """The plans of a set, if it was shown to this person for this case."""
    plans = await conn.scalar(
        text(
            """SELECT plans FROM ledger.plan_sets
                WHERE plan_set_id = :plan_set_id AND case_id = :case_id AND shown_to = :shown_to"""
        ),
        {"plan_set_id": plan_set_id, "case_id": case_id, "shown_to": shown_to},
    )
    return None if plans is None else from_json(plans, tuple[Plan, ...])


async def case_of_thread(conn: AsyncConnection, channel: str, thread_ts: str) -> int | None:
    """The case whose card started this thread."""
    case_id: int | None = await conn.scalar(
        text("SELECT case_id FROM ledger.cards WHERE channel = :channel AND message_ts = :ts"),
        {"channel": channel, "ts": thread_ts},
    )
    return case_id


async def insert_note(
    conn: AsyncConnection, *, case_id: int, author: str, body: str, message_ts: str
) -> bool:
    """Keep a person's reply in the thread as a note; False if it is known already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.notes (case_id, author, body, message_ts)
               VALUES (:case_id, :author, :body, :message_ts) ON CONFLICT DO NOTHING"""
        ),
        {"case_id": case_id, "author": author, "body": body, "message_ts": message_ts},
    )
    return result.rowcount == 1
