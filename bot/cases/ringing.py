"""Rings: bring into an open case who shares its evidence, and tell of two cases that are one ring."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.placing import MOVABLE, Facts, Shared, is_subject, subjects_of
from bot.cases.room import CARDS, POSTS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import MemberFacts
from bot.domain.findings import POSTED, Finding
from bot.domain.rings import MOST, WEAK, Component, LinkKind, Touch, Value, join_accounts
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import audit, cases, findings, posts, rings
from bot.ledger.rings import Unlooked
from bot.market.linking import LinkReader
from bot.market.reader import MarketReader
from bot.market.selecting import SelectFault

logger = logging.getLogger(__name__)

LOOK_BACK = timedelta(days=30)
"""What was used longer ago says little about who uses it now."""
OVERLAP = timedelta(minutes=2)
"""So late a row may become visible in the marketplace and is still seen."""
HOPS = 6
"""So far a ring is followed from whom findings accuse, and from there at the next look."""
MOST_ACCOUNTS = 1000
"""Where a look ends, however far the ring may reach: no person decides on more at once."""
CASES_AT_ONCE = 50
CHANGES_AT_ONCE = 5000
# What can still be stopped; the rest of a ring's orders is evidence.
_STOPPABLE = frozenset({"pending", "paid"})


async def evidence_of(room: Room, reader: MarketReader, found: Sequence[Finding]) -> Shared:
    """What was used in the orders that findings accuse and by the accounts that they are about, as far as it
    may join a case: not weak, and not of a crowd.
    """
    accused = {
        subject
        for finding in found
        if finding.mode in POSTED
        for subject in subjects_of(finding)
        if is_subject(finding, subject)
    }
    orders = {subject.id for subject in accused if subject.kind is SubjectKind.ORDER}
    accounts = {subject.id for subject in accused if subject.kind is SubjectKind.ACCOUNT}
    if not orders and not accounts:
        return {}
    try:
        return await _evidence_of(room, reader, accused, orders, accounts)
    except SelectFault as fault:
        # A ring that cannot be followed keeps no finding from its case; the look around it comes later.
        logger.warning("what findings share cannot be read: %s", fault)
        return {}


async def _evidence_of(
    room: Room,
    reader: MarketReader,
    accused: Collection[Subject],
    orders: Collection[str],
    accounts: Collection[str],
) -> Shared:
    links, since = await _reader_at_work(room, reader)
    touches = await links.touches_of_orders(orders)
    touches += await links.touches_of(accounts, since)
    strong = [touch for touch in touches if touch.kind not in WEAK]
    async with room.engine.connect() as conn:
        known = await rings.cases_with(conn, {touch.evidence for touch in strong})
    holders: dict[Value, set[str]] = defaultdict(set)
    for touch in strong:
        holders[touch.evidence].add(touch.account_id)
    used = {value for value, people in holders.items() if value in known or len(people) > 1}
    _, crowded = await links.holders_of(used, since)
    shared: dict[Subject, list[Value]] = {}
    for touch in strong:
        if touch.evidence in used - crowded and len(holders[touch.evidence]) <= MOST[touch.kind]:
            # Of an account also what it used in its orders.
            for subject in {touch.subject, Subject(SubjectKind.ACCOUNT, touch.account_id)}:
                if subject in accused:
                    shared.setdefault(subject, []).append(touch.evidence)
    return shared


async def join_newcomers(
    room: Room, reader: MarketReader, changed_since: datetime | None
) -> datetime:
    """Let new orders and accounts that use what an open case's accounts used join it.

    Returns how far this has looked, by the market's clock.
    """
    now = room.clock.now()
    if changed_since is None:
        # What was there before is found by the look around each case.
        return now
    links, since = await _reader_at_work(room, reader)
    changed = await links.changed(changed_since - OVERLAP, CHANGES_AT_ONCE)
    touches = [touch for touch in changed.touches if touch.kind not in WEAK]
    async with room.engine.connect() as conn:
        known = await rings.cases_with(conn, {touch.evidence for touch in touches})
    if known:
        # Fewer hold it than we remember, or so many by now that it says nothing any more.
        _, crowded = await links.holders_of(known, since)
        by_case: dict[int, list[Touch]] = defaultdict(list)
        for touch in touches:
            if touch.evidence in known and touch.evidence not in crowded:
                by_case[known[touch.evidence][0][0]].append(touch)
        facts = await reader.facts(_members_in(t for some in by_case.values() for t in some))
        for case_id, some in sorted(by_case.items()):
            await _join(room, Joining(case_id=case_id, edges=tuple(some)), facts, crowded)
        if crowded and not by_case:
            async with room.engine.begin() as conn:
                await rings.damp_values(conn, crowded)
    return now if changed.until is None else min(now, changed.until)


async def look_around(room: Room, reader: MarketReader, *, limit: int = CASES_AT_ONCE) -> int:
    """Follow the rings of open cases whose members have changed; returns how many cases that were."""
    async with room.engine.connect() as conn:
        due = await rings.cases_to_look_at(conn, limit)
    if not due:
        return 0
    links, since = await _reader_at_work(room, reader)
    touches, crowded = await _explore(links, due, since)
    components = join_accounts(touches, crowded)
    ring_of = {account: ring for ring in components for account in ring.accounts}
    facts, between = await _facts_of(reader, links, components, since)
    joining: dict[int, Joining] = {}
    for case in due:
        own = {ring_of[account] for account in case.accounts if account in ring_of}
        edges = [edge for ring in own for edge in ring.edges]
        accounts = {account for ring in own for account in ring.accounts} | case.accounts
        known = {(e.account_id, e.evidence) for e in edges}
        joining[case.case_id] = Joining(
            case_id=case.case_id,
            edges=tuple(sorted(edges)),
            waiting=tuple(
                touch
                for touch in touches
                if touch.account_id in accounts
                and touch.kind not in WEAK
                and (touch.account_id, touch.evidence) not in known
            ),
            between=tuple(sorted(s for s, buyer in between.items() if buyer in accounts)),
        )
    await _settle(room, due, joining, facts, crowded)
    return len(due)


async def _explore(
    links: LinkReader, due: Sequence[Unlooked], since: datetime
) -> tuple[list[Touch], frozenset[Value]]:
    """From whom the cases accuse to everybody whom something joins to them, a hop at a time."""
    seeds = {account for case in due for account in case.accounts}
    touches: list[Touch] = await links.touches_of(seeds, since)
    read, asked, crowded = set(seeds), set[Value](), frozenset[Value]()
    for _ in range(HOPS):
        reached = {
            account
            for ring in join_accounts(touches, crowded)
            if ring.accounts & seeds
            for account in ring.accounts
        } | seeds
        if len(reached) >= MOST_ACCOUNTS:
            break
        news = {t.evidence for t in touches if t.account_id in reached} - asked
        asked |= news
        holders, too_many = await links.holders_of(news, since)
        crowded |= too_many
        strangers = holders - read
        if not strangers:
            break
        nearest = set(sorted(strangers)[: max(MOST_ACCOUNTS - len(reached), 0)])
        read |= nearest
        touches += await links.touches_of(nearest, since)
    return touches, crowded


async def _facts_of(
    reader: MarketReader,
    links: LinkReader,
    components: Collection[Component],
    since: datetime,
) -> tuple[Facts, dict[Subject, str]]:
    """What cards say of the members of rings, and the orders that are within a ring by both their parties."""
    between: dict[Subject, str] = {}
    for ring in components:
        between |= await links.orders_between(ring.accounts, since)
    members = _members_in(edge for ring in components for edge in ring.edges)
    return await reader.facts([*members, *between]), between


def _members_in(edges: Iterable[Touch]) -> list[Subject]:
    found = [
        subject
        for edge in edges
        for subject in (Subject(SubjectKind.ACCOUNT, edge.account_id), edge.subject)
    ]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What a look found for one case."""

    case_id: int
    edges: tuple[Touch, ...]
    """What joins its accounts, and newcomers to them."""
    waiting: tuple[Touch, ...] = ()
    """What its accounts have used that nobody else has, yet."""
    between: tuple[Subject, ...] = ()
    """Orders within the ring, whatever was used in them."""
    tied: tuple[int, ...] = ()


async def _settle(
    room: Room,
    due: Sequence[Unlooked],
    joining: Mapping[int, Joining],
    facts: Facts,
    crowded: frozenset[Value],
) -> None:
    """Give each ring's newcomers to the oldest of its open cases, and tie the others to it."""
    async with room.engine.connect() as conn:
        known = await rings.cases_with(
            conn, {edge.evidence for one in joining.values() for edge in one.edges}
        )
    open_by_value: dict[Value, set[int]] = {
        value: {case_id for case_id, _ in found} for value, found in known.items()
    }
    for one in joining.values():
        for edge in one.edges:
            if edge.kind not in WEAK:
                open_by_value.setdefault(edge.evidence, set()).add(one.case_id)
    members = {case.case_id: case.members for case in due}
    for case_id, one in sorted(joining.items()):
        others = {other for edge in one.edges for other in open_by_value.get(edge.evidence, ())} - {
            case_id
        }
        taken = min(others, default=case_id) < case_id
        added = await _join(
            room, replace(one, tied=tuple(sorted(others))), facts, crowded, brings=not taken
        )
        members[case_id] += added
    async with room.engine.begin() as conn:
        await rings.note_looks(conn, members)


async def _join(
    room: Room,
    joining: Joining,
    facts: Facts,
    crowded: Collection[Value],
    *,
    brings: bool = True,
) -> int:
    """One case takes in who shares its evidence; returns how many members are new.

    While a request waits, the newcomers change nothing of what is being approved: the version stands.

    Args:
        brings: False where an older case of the same ring takes the newcomers.
    """
    case_id, now = joining.case_id, room.clock.now()
    async with room.engine.begin() as conn:
        await cases.lock_opening(conn)
        head = await cases.lock_case(conn, case_id)
        view = await cases.read_view(conn, case_id) if head is not None else None
        if head is None or view is None or view.closed_at is not None:
            return 0
        await rings.damp_values(conn, crowded)
        members = {member.subject for member in view.members}
        added: set[Subject] = set()
        if brings:
            wanted = [
                s for s in (*_members_in(joining.edges), *joining.between) if s not in members
            ]
            added = await _bring(conn, case_id, wanted, facts, now)
        members |= added
        accounts = {s.id for s in members if s.kind is SubjectKind.ACCOUNT}
        accounts |= {m.facts.buyer_id for m in view.members if m.facts.buyer_id}
        edges = _told(joining.edges, members, accounts)
        moved = await rings.store_edges(conn, case_id, edges, joins=True)
        waiting = [touch for touch in joining.waiting if touch.account_id in accounts]
        await rings.store_edges(conn, case_id, _once(waiting, members), joins=False)
        ties = [other for other in joining.tied if await rings.tie_cases(conn, case_id, other)]
        if not (added or moved or ties):
            return 0
        await rings.move_ring(conn, case_id)
        if added:
            worth = _sums([*(m.facts for m in view.members), *(facts[s] for s in added)])
            rates = room.policy.file.sort_rates
            await cases.raise_priority(
                conn, case_id, cases.case_priority(view.severity, worth, rates)
            )
        moves_version = bool(added) and head.state in MOVABLE
        await cases.touch_case(conn, case_id, moves_version=moves_version)
        kinds = tuple(kind for kind in LinkKind if any(edge.kind is kind for edge in edges))
        entries = [_joined_entry(case_id, sorted(added), kinds)] if added else []
        if added:
            await posts.queue_story(
                conn,
                case_id,
                _joined_story(sorted(added), kinds),
                dedupe_key=f"ring:{case_id}:{head.version}:{len(members)}",
            )
        for other in ties:
            # Both cards name the other, whichever of them was looked at.
            await cases.touch_case(conn, other)
            for here, there in ((case_id, other), (other, case_id)):
                await posts.queue_story(
                    conn,
                    here,
                    Story(kind=StoryKind.RING_TIED, cases=(there,), links=kinds),
                    dedupe_key=f"ring_tied:{here}:{there}",
                )
            entries.append(
                AuditEntry(
                    actor="system",
                    tag=AuditTag.RING_TIED,
                    case_id=case_id,
                    details={"other": other, "by": [kind.value for kind in kinds]},
                )
            )
        if entries:
            await audit.append(conn, entries)
    room.bell.ring(CARDS, POSTS)
    return len(added)


async def _bring(
    conn: AsyncConnection,
    case_id: int,
    wanted: Sequence[Subject],
    facts: Facts,
    now: datetime,
) -> set[Subject]:
    """Add whom people have not judged before and of whose orders something can still be stopped."""
    judged = await rings.judged_before(conn, wanted)
    added = await findings.insert_members(
        conn,
        [
            findings.NewMember(
                case_id=case_id,
                subject=subject,
                # Orders are judged with the case; accounts came along until somebody accuses them.
                is_subject=subject.kind is SubjectKind.ORDER,
                facts=facts[subject],
            )
            for subject in wanted
            if subject in facts and subject not in judged and _joins(subject, facts[subject])
        ],
        now,
    )
    return {subject for _, subject in added}


def _joins(subject: Subject, facts: MemberFacts) -> bool:
    if subject.kind is SubjectKind.ORDER:
        return facts.status in _STOPPABLE and facts.canceled_at is None
    return subject.kind is SubjectKind.ACCOUNT


def _told(
    edges: Iterable[Touch], members: Collection[Subject], accounts: Collection[str]
) -> list[Touch]:
    """The edges of who is in the case; what shows in an order that is not, shows in its account."""
    return [
        edge
        if edge.subject in members
        else replace(edge, subject=Subject(SubjectKind.ACCOUNT, edge.account_id))
        for edge in edges
        if edge.account_id in accounts
    ]


def _once(touches: Iterable[Touch], members: Collection[Subject]) -> list[Touch]:
    """One touch of each account and value, in a member where there is one: nobody reads these yet."""
    kept: dict[tuple[str, Value], Touch] = {}
    for touch in sorted(touches):
        key = (touch.account_id, touch.evidence)
        if key not in kept or (touch.subject in members and kept[key].subject not in members):
            kept[key] = touch
    return list(kept.values())


def _sums(all_of_them: Iterable[MemberFacts]) -> tuple[tuple[int, str], ...]:
    """Money by currency; only orders have a buyer."""
    sums: dict[str, int] = defaultdict(int)
    for facts in all_of_them:
        if facts.buyer_id and facts.amount and facts.currency:
            sums[facts.currency] += facts.amount
    return tuple((amount, currency) for currency, amount in sums.items())


def _joined_story(added: Sequence[Subject], kinds: tuple[LinkKind, ...]) -> Story:
    return Story(
        kind=StoryKind.RING_JOINED,
        orders=sum(subject.kind is SubjectKind.ORDER for subject in added),
        accounts=sum(subject.kind is SubjectKind.ACCOUNT for subject in added),
        links=kinds,
    )


def _joined_entry(
    case_id: int, added: Sequence[Subject], kinds: tuple[LinkKind, ...]
) -> AuditEntry:
    return AuditEntry(
        actor="system",
        tag=AuditTag.RING_JOINED,
        case_id=case_id,
        details={
            "members": [f"{subject.kind}:{subject.id}" for subject in added],
            "by": [kind.value for kind in kinds],
        },
    )


async def _reader_at_work(room: Room, reader: MarketReader) -> tuple[LinkReader, datetime]:
    async with room.engine.connect() as conn:
        key = await rings.read_key(conn)
    return LinkReader(reader, key), room.clock.now() - LOOK_BACK
