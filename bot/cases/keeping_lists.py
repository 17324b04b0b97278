"""Put something on a list or take it off, and make a detection quiet about a subject; all of it in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.policy import judge_step
from bot.cases.room import Room, deny, know
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.findings import POSTED, Finding, Mode
from bot.domain.lists import Hidden, ListEntry, ListKind, ListName, Snooze
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import audit, lists

STEP = "lists"
MOST_DAYS = 365
MOST_SNOOZE_DAYS = 30
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants on a list."""

    list: ListName
    kind: ListKind
    value: str
    days: int
    reason: str


async def lists_in_force(room: Room) -> Mapping[str, Sequence[str]]:
    """What detections get as arrays."""
    async with room.engine.connect() as conn:
        return await lists.arrays(conn)


async def read_lists(room: Room, user_id: str) -> tuple[int, Sequence[ListEntry]] | Refusal:
    """How many entries there are, and those that end first."""
    async with room.engine.begin() as conn:
        person = await _may(conn, room, user_id)
        if isinstance(person, Refusal):
            return person
        return await lists.entries(conn, SHOWN)


async def add_entry(room: Room, user_id: str, wish: Wish) -> ListEntry | Refusal:
    """Put a value on a list for so many days."""
    async with room.engine.begin() as conn:
        person = await _may(conn, room, user_id)
        if isinstance(person, Refusal):
            return person
        if not 1 <= wish.days <= MOST_DAYS:
            return Refusal(code=RefusalCode.BAD_LIST, detail="days", count=MOST_DAYS)
        if not wish.reason.strip():
            return Refusal(code=RefusalCode.NO_REASON, count=1)
        value = wish.value.lower() if wish.kind is ListKind.HOST else wish.value
        known = await lists.standing(conn, wish.kind, value)
        entry = ListEntry(
            entry_id=f"lst_{uuid4().hex}",
            list=wish.list,
            kind=wish.kind,
            value=value,
            reason=wish.reason.strip()[:500],
            owner=user_id,
            owner_name=person.display_name,
            expires_at=room.clock.now(),
        )
        until = await lists.insert_entry(conn, entry, wish.days) if known is None else None
        if until is None:
            return Refusal(
                code=RefusalCode.BAD_LIST, detail="there", reason=known.list if known else None
            )
        entry = replace(entry, expires_at=until)
        await audit.append(conn, [_told(entry, user_id, AuditTag.LIST_ADDED)])
    return entry


async def remove_entry(room: Room, user_id: str, kind: ListKind, value: str) -> ListEntry | Refusal:
    """Take a value off the list on which it stands."""
    async with room.engine.begin() as conn:
        person = await _may(conn, room, user_id)
        if isinstance(person, Refusal):
            return person
        value = value.lower() if kind is ListKind.HOST else value
        entry = await lists.standing(conn, kind, value)
        if entry is None or not await lists.remove_entry(conn, entry.entry_id, user_id):
            return Refusal(code=RefusalCode.BAD_LIST, detail="gone")
        await audit.append(conn, [_told(entry, user_id, AuditTag.LIST_REMOVED)])
    return entry


async def preview_snooze(
    room: Room, user_id: str, detection: str, subject: Subject, days: int
) -> Hidden | Refusal:
    """What a snooze of so many days would have hidden in the days before."""
    async with room.engine.begin() as conn:
        person = await _may(conn, room, user_id)
        if isinstance(person, Refusal):
            return person
        if not 1 <= days <= MOST_SNOOZE_DAYS:
            return Refusal(code=RefusalCode.BAD_LIST, detail="days", count=MOST_SNOOZE_DAYS)
        since = room.clock.now() - timedelta(days=days)
        return await lists.hidden(conn, detection, subject, since)


async def snooze(
    room: Room, user_id: str, detection: str, subject: Subject, days: int, reason: str
) -> Snooze | Refusal:
    """Make a detection quiet about a subject: what it finds is stored, and nobody is bothered."""
    async with room.engine.begin() as conn:
        person = await _may(conn, room, user_id)
        if isinstance(person, Refusal):
            return person
        if not 1 <= days <= MOST_SNOOZE_DAYS:
            return Refusal(code=RefusalCode.BAD_LIST, detail="days", count=MOST_SNOOZE_DAYS)
        made = Snooze(
            snooze_id=f"snz_{uuid4().hex}",
            detection=detection,
            subject=subject,
            reason=reason.strip()[:500],
            made_by=user_id,
            until=room.clock.now(),
        )
        made = replace(made, until=await lists.insert_snooze(conn, made, days))
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor=user_id,
                    tag=AuditTag.DETECTION_SNOOZED,
                    subject=subject,
                    details={
                        "snooze": made.snooze_id,
                        "detection": detection,
                        "until": made.until.isoformat(),
                    },
                )
            ],
        )
    return made


async def hush(room: Room, detection: str, found: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is found about a snoozed subject is stored like what a shadow found."""
    if not any(finding.mode in POSTED for finding in found):
        return tuple(found)
    async with room.engine.connect() as conn:
        quiet = await lists.snoozed(conn, detection)
    return tuple(
        replace(finding, mode=Mode.SHADOW)
        if finding.mode in POSTED and _named(finding) & quiet
        else finding
        for finding in found
    )


def _named(finding: Finding) -> set[tuple[str, str]]:
    accounts = {(SubjectKind.ACCOUNT.value, id_) for id_ in finding.account_ids}
    return accounts | {(finding.subject.kind.value, finding.subject.id)}


async def _may(conn: AsyncConnection, room: Room, user_id: str) -> Person | Refusal:
    person = await know(conn, room, user_id)
    if isinstance(person, Refusal):
        return await deny(conn, user_id, person, action=STEP, case_id=None)
    refusal = judge_step(room.policy, STEP, person)
    if refusal is not None:
        return await deny(conn, user_id, refusal, action=STEP, case_id=None)
    return person


def _told(entry: ListEntry, actor: str, tag: AuditTag) -> AuditEntry:
    """The value of an address is somebody's home: the log names the entry, and the account alone."""
    return AuditEntry(
        actor=actor,
        tag=tag,
        subject=Subject(SubjectKind.ACCOUNT, entry.value)
        if entry.kind is ListKind.ACCOUNT
        else None,
        details={
            "entry": entry.entry_id,
            "list": entry.list.value,
            "kind": entry.kind.value,
            "expires_at": entry.expires_at.isoformat(),
        },
    )
