"""The sections of the daily digest, one file each, found by folder, and what they are asked."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from dataclasses import replace
from datetime import date, datetime, timedelta, tzinfo
from functools import cache

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.digests._kit import Ask, Section
from bot.domain.digests import Digest, Part, t
from bot.domain.tracing import traced
from bot.ledger import audit, digests, tallies
from bot.market.reader import MarketReader, MarketUnreachableError
from bot.market.selecting import SelectFault

logger = logging.getLogger(__name__)

ONE_DAY = timedelta(days=1)


@cache
def sections() -> tuple[Section, ...]:
    """Every section in the order in which a digest tells them.

    Raises:
        TypeError: a module of this folder has no `SECTION`, or one whose name is not the module's.
    """
    found: list[Section] = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        if info.name.startswith("_"):
            continue
        section = getattr(importlib.import_module(f"{__name__}.{info.name}"), "SECTION", None)
        if not isinstance(section, Section) or section.name != info.name:
            raise TypeError(
                f"bot/digests/{info.name}.py must define SECTION = Section(name={info.name!r}, …)"
            )
        found.append(section)
    return tuple(sorted(found, key=lambda section: (section.order, section.name)))


async def collect(
    conn: AsyncConnection,
    reader: MarketReader,
    *,
    day: date,
    now: datetime,
    zone: tzinfo,
    present: bool,
    missed: tuple[date, date] | None = None,
) -> Digest:
    """The digest of a day, read in the snapshot that the connection is in.

    A section that fails says so in its place; it never keeps the others from being told.

    Args:
        now: the market's time.
        present: whether the sections that tell how things stand are true of this day; of a day that
            is long over nobody knows any more.
    """
    days = await digests.read_days(conn, _first_of_month_before(day), day, zone)
    first_at = await tallies.first_case_at(conn)
    head = (
        await audit.read_head(conn)
        if present
        else await digests.read_head_before(conn, days[-1].wall_ends)
    )
    ask = Ask(
        conn=conn,
        reader=reader,
        days=days,
        now=now,
        wall=(await conn.execute(text("SELECT clock_timestamp()"))).scalar_one(),
        present=present,
        first_day=first_at.astimezone(zone).date() if first_at is not None else None,
        zone=zone,
        head=head,
        kept=await digests.read_kept_head(conn, day),
    )
    parts = [
        await _read(section, ask) for section in sections() if present or not section.present_only
    ]
    return Digest(
        day=day,
        now=now,
        so_far=now < days[-1].ends,
        audit_seq=head[0],
        audit_hash=head[1],
        parts=tuple(parts),
        missed=missed,
    )


async def _read(section: Section, ask: Ask) -> Part:
    try:
        # A savepoint: a failed query must not spoil what is read after it.
        async with ask.conn.begin_nested():
            part = await section.read(ask)
    except MarketUnreachableError:
        part = Part(lines=(t("The marketplace's database did not answer."),))
    except SelectFault as fault:
        logger.warning("the digest's section %s: %s", section.name, fault)
        part = Part(lines=(t("The marketplace's database refused the question."),))
    except Exception as error:  # noqa: BLE001
        # A fault of ours in one section must not keep the day's digest from being posted.
        logger.error("the digest's section %s failed: %s", section.name, traced(error))  # noqa: TRY400
        part = Part(lines=(t("This part could not be made; the reason is in the bot's log."),))
    return replace(part, name=section.name, title=section.title)


def _first_of_month_before(day: date) -> date:
    """Where the digest looks back to: two order months, which hold the week before as well."""
    return (day.replace(day=1) - ONE_DAY).replace(day=1)
