"""What everybody in this room works with, and the steps that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.cases.freezing import circumstances
from bot.cases.policy import Policy, judge_person
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.calendar import Calendar
from bot.domain.clock import Clock
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person
from bot.ledger import audit, cases, people
from bot.ledger.bell import Bell
from bot.ledger.cases import CaseHead

OPERATIONS = "operations"
CARDS = "cards"
POSTS = "posts"
TOPICS = (OPERATIONS, CARDS, POSTS)
TOKYO = ZoneInfo("Asia/Tokyo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The ledger, the market's clock, the policy, and where cards go."""

    engine: AsyncEngine
    clock: Clock
    policy: Policy
    bell: Bell
    channel: str
    home_team: str
    dry_run: bool = False
    """Everything is shown, decided and recorded, and nothing is changed in the marketplace."""
    security_channel: str = ""
    """Where pauses, changes of roles and of the policy, and emergencies are told; empty: where cards go."""
    step_up_url: str = ""
    """Where links to sign in lead; empty: there is no identity provider."""
    zone: ZoneInfo = TOKYO
    """The team's, which its calendar is of."""
    take_back_s: float | None = None
    """In place of the policy's, as where the market's clock runs faster than ours."""

    def adopt(self, policy: Policy) -> None:
        """Go on under another policy. The only thing of a room that changes while it is used: the workers that
        hold it see it at once, and a press that has begun ends under the policy that it began with.
        """
        object.__setattr__(self, "policy", policy)

    @property
    def loud_channel(self) -> str:
        return self.security_channel or self.channel

    @property
    def calendar(self) -> Calendar:
        """When the team is there; lifetimes of requests are counted in its hours."""
        return self.policy.calendar(self.zone)

    @property
    def delay_s(self) -> float:
        """How long a dangerous decision waits before it is carried out."""
        if self.take_back_s is not None:
            return self.take_back_s
        return self.policy.file.take_back_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """What a click carries, and nothing else: who, which case, and the version that they saw."""

    user_id: str
    case_id: int
    version: int


async def know(
    conn: AsyncConnection, room: Room, user_id: str, team_id: str | None = None
) -> Person | Refusal:
    """The person behind a user id, if they count as one here."""
    found = await people.read_person(conn, user_id)
    person, age_s = found if found is not None else (None, 0.0)
    refusal = judge_person(person, age_s, room.home_team)
    if refusal is None and team_id not in {None, room.home_team}:
        refusal = Refusal(code=RefusalCode.GUEST)
    if refusal is not None or person is None:
        return refusal or Refusal(code=RefusalCode.UNKNOWN_PERSON)
    return person


async def with_group_ids(conn: AsyncConnection, refusal: Refusal) -> Refusal:
    """The refusal with user group ids in place of handles, so that its sentence can name them."""
    if not refusal.groups:
        return refusal
    ids = await people.read_groups(conn)
    return Refusal(
        code=refusal.code,
        action=refusal.action,
        roles=refusal.roles,
        groups=tuple(ids[handle] for handle in refusal.groups if handle in ids),
    )


async def group_ids(conn: AsyncConnection, handles: Sequence[str]) -> tuple[str, ...]:
    ids = await people.read_groups(conn)
    return tuple(ids[handle] for handle in handles if handle in ids)


async def deny(
    conn: AsyncConnection, user_id: str, refusal: Refusal, *, action: str, case_id: int | None
) -> Refusal:
    """Write a denial to the log; denials are as much part of the truth as decisions."""
    found = await people.read_person(conn, user_id)
    view = await cases.read_view(conn, case_id) if case_id is not None else None
    seen = circumstances(found[0] if found else None, view)
    if refusal.code is RefusalCode.NO_ROLE and found is not None:
        refusal = _unless_new(found[0], refusal)
    await audit.append(
        conn,
        [
            AuditEntry(
                actor=user_id,
                tag=AuditTag.DENIED,
                case_id=case_id,
                details={**seen, "action": action, "code": refusal.code.value},
            )
        ],
    )
    return await with_group_ids(conn, refusal)


def _unless_new(person: Person, refusal: Refusal) -> Refusal:
    """Where the role that is missing is only too new, that is what the person must know."""
    waits = [at for role, at in person.not_yet if role.value in refusal.roles]
    if not waits:
        return refusal
    return Refusal(code=RefusalCode.NOT_YET, action=refusal.action, at=min(waits))


async def stale(conn: AsyncConnection, head: CaseHead) -> Refusal:
    """The case has moved since the person saw it: who moved it, and when."""
    by = head.updated_by
    if by is not None:
        found = await people.read_person(conn, by)
        by = found[0].display_name if found else by
    return Refusal(code=RefusalCode.STALE, by=by, at=head.updated_at, case_id=head.case_id)


async def find_person(room: Room, user_id: str) -> Person | None:
    """A person as last synced, whoever they are; for the language of an answer, never for rights.

    A ledger that does not answer leaves only that unknown: an answer in another language beats none.
    """
    try:
        async with room.engine.connect() as conn:
            found = await people.read_person(conn, user_id)
    except (SQLAlchemyError, OSError, TimeoutError):
        return None
    return found[0] if found else None


async def repaint(room: Room, case_id: int) -> None:
    """Draw the card anew, as after a click on one that is out of date."""
    async with room.engine.begin() as conn:
        await cases.touch_case(conn, case_id)
    room.bell.ring(CARDS)
