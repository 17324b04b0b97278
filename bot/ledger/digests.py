"""Named queries about digests: their rows, and when the market's days began by the database's clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.digests import Digest
from bot.ledger.values import from_json, to_json

DIGEST_TICK = "job:digest"
ONE_DAY = timedelta(days=1)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A digest day: its bounds by the market's clock, and the same moments by the database's."""

    day: date
    starts: datetime
    ends: datetime
    wall_starts: datetime
    wall_ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHead:
    """The head of the audit log as an earlier digest told it."""

    day: date
    seq: int
    hash: str


async def mark_day(
    conn: AsyncConnection, day: date, *, starts: datetime, began_at: datetime, differs: bool
) -> None:
    """Remember when a day of the market's clock began, where that clock is not the database's.

    Args:
        starts: the day's midnight by the market's clock.
        began_at: the same by the database's, reckoned back; a tick that still saw the day before knows better.
        differs: whether the clocks differ now; once they have, every day is marked.
    """
    await conn.execute(
        text(
            """INSERT INTO ledger.market_days (day, began_at)
               SELECT :day, greatest(:began_at, (SELECT last_run_at FROM ledger.ticks
                                                  WHERE name = :tick AND watermark < :starts))
                WHERE :differs OR EXISTS (SELECT FROM ledger.market_days)
               ON CONFLICT DO NOTHING"""
        ),
        {
            "day": day,
            "starts": starts,
            "began_at": began_at,
            "differs": differs,
            "tick": DIGEST_TICK,
        },
    )


async def clocks_differ(conn: AsyncConnection) -> bool:
    """Whether the market's clock was ever another than the database's."""
    marked: bool = (
        await conn.execute(text("SELECT EXISTS (SELECT FROM ledger.market_days)"))
    ).scalar_one()
    return marked


async def read_days(
    conn: AsyncConnection, first: date, last: date, zone: tzinfo
) -> tuple[Day, ...]:
    """The digest days from first to last, oldest first."""
    rows = await conn.execute(text("SELECT day, began_at FROM ledger.market_days ORDER BY day"))
    marks: list[tuple[date, datetime]] = [(row.day, row.began_at) for row in rows]

    def starts(day: date) -> datetime:
        return datetime.combine(day, time.min, zone).astimezone(UTC)

    def wall_starts(day: date) -> datetime:
        if not marks:
            return starts(day)
        if day < marks[0][0]:
            # Before the clocks first differed they were one.
            return min(starts(day), marks[0][1])
        # A day in which nobody marked its beginning is empty: it ends where the next marked one begins.
        return next((began_at for marked, began_at in marks if marked >= day), NEVER)

    return tuple(
        Day(
            day=day,
            starts=starts(day),
            ends=starts(day + ONE_DAY),
            wall_starts=wall_starts(day),
            wall_ends=wall_starts(day + ONE_DAY),
        )
        for day in (first + n * ONE_DAY for n in range((last - first).days + 1))
    )


async def last_digest_day(conn: AsyncConnection, channel: str | None = None) -> date | None:
    """The newest day that a digest was made of, in a channel or in any."""
    day: date | None = await conn.scalar(
        text(
            """SELECT max(day) FROM ledger.digests
                WHERE cast(:channel AS text) IS NULL OR channel = :channel"""
        ),
        {"channel": channel},
    )
    return day


async def insert_digest(conn: AsyncConnection, digest: Digest, channel: str) -> bool:
    """Queue a digest for its channel; False if the day has one there already."""
    result = await conn.execute(
        text(
            """INSERT INTO ledger.digests (digest_id, day, channel, content, audit_seq, audit_hash)
               VALUES (:digest_id, :day, :channel, cast(:content AS jsonb), :audit_seq, :audit_hash)
               ON CONFLICT ON CONSTRAINT one_digest_per_day DO NOTHING"""
        ),
        {
            "digest_id": f"digest_{uuid4().hex}",
            "day": digest.day,
            "channel": channel,
            "content": to_json(digest, Digest),
            "audit_seq": digest.audit_seq,
            "audit_hash": digest.audit_hash,
        },
    )
    return result.rowcount == 1


async def read_digest(conn: AsyncConnection, day: date) -> Digest | None:
    """The digest of a day as it was made; None where none was."""
    content = await conn.scalar(
        text(
            "SELECT content FROM ledger.digests WHERE day = :day ORDER BY created_at DESC LIMIT 1"
        ),
        {"day": day},
    )
    return None if content is None else from_json(content, Digest)


async def read_kept_head(conn: AsyncConnection, before: date) -> KeptHead | None:
    """The audit head that the last digest before a day told."""
    row = (
        await conn.execute(
            text(
                """SELECT day, audit_seq, audit_hash FROM ledger.digests WHERE day < :before
                    ORDER BY day DESC, created_at DESC LIMIT 1"""
            ),
            {"before": before},
        )
    ).first()
    return KeptHead(day=row.day, seq=row.audit_seq, hash=row.audit_hash) if row else None


async def read_hash_at(conn: AsyncConnection, seq: int) -> str | None:
    """The hash of one audit entry; that of the empty log for 0."""
    if seq == 0:
        return "0" * 64
    found: str | None = await conn.scalar(
        text("SELECT hash FROM ledger.audit_entries WHERE seq = :seq"), {"seq": seq}
    )
    return found


async def read_head_before(conn: AsyncConnection, moment: datetime) -> tuple[int, str]:
    """Number and hash of the last audit entry before a moment of the database's clock."""
    row = (
        await conn.execute(
            text(
                "SELECT seq, hash FROM ledger.audit_entries WHERE at < :moment ORDER BY seq DESC LIMIT 1"
            ),
            {"moment": moment},
        )
    ).first()
    return (row.seq, row.hash) if row else (0, "0" * 64)
