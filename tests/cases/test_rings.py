"""A ring is one case: its members join by what they share, and a crowd's address joins nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import text

from bot.cases import ringing
from bot.cases.deciding import decide, dismiss
from bot.cases.opening import open_findings, subjects_of
from bot.cases.ringing import evidence_of, join_newcomers, look_around
from bot.cases.room import Room
from bot.domain.cases import CaseState, CaseView
from bot.domain.errors import SayableError
from bot.domain.findings import Finding
from bot.domain.rates import dearest_first, weight
from bot.domain.rings import MOST, LinkKind, Ring
from bot.domain.subjects import Subject
from bot.jobs.grow_rings import grow_rings
from bot.jobs.ticker import Tick
from bot.ledger import audit, rings
from bot.market.reader import MarketReader
from tests.cases.conftest import NOW
from tests.cases.stage import a_finding, an_account, an_order, cancel_choice, press_of, the_case_of
from tests.planting import planted

ADDRESS = "東京都渋谷区神南1-2-3 みなとハイツ101"


class Shop:
    """The marketplace, as its own people write it."""

    def __init__(self, conn: asyncpg.Connection) -> None:
        self._conn = conn

    async def account(self, id_: str, **columns: object) -> None:
        await self._insert(
            "accounts",
            account_id=id_,
            display_name=id_,
            status="active",
            created_at=NOW - timedelta(days=1),
            **{"updated_at": NOW - timedelta(days=1), **columns},
        )

    async def order(self, id_: str, buyer: str, seller: str = "S", **columns: object) -> None:
        moment: datetime = NOW - timedelta(hours=1)
        await self._insert(
            "orders",
            order_id=id_,
            buyer_id=buyer,
            seller_id=seller,
            payment_method="card",
            **{
                "status": "paid",
                "total_amount": 12400,
                "ordered_at": moment,
                "updated_at": columns.get("ordered_at", moment),
                **columns,
            },
        )

    async def follow(self, follower: str, followee: str) -> None:
        await self._insert(
            "follow_events",
            event_id=f"{follower}-{followee}",
            follower_id=follower,
            followee_id=followee,
            kind="follow",
            occurred_at=NOW - timedelta(hours=2),
        )

    async def _insert(self, relation: str, **columns: object) -> None:
        names = ", ".join(columns)
        marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        await self._conn.execute(
            f"INSERT INTO market.{relation} ({names}) VALUES ({marks})",
            *columns.values(),
        )


@pytest.fixture
async def shop(market_dsn: str) -> AsyncIterator[Shop]:
    conn = await asyncpg.connect(market_dsn)
    yield Shop(conn)
    await conn.close()


@pytest.fixture
def reader(market_reader_dsn: str) -> MarketReader:
    return MarketReader(market_reader_dsn)


async def found(room: Room, reader: MarketReader, *orders: str) -> None:
    """A detection finds these orders, each by itself."""
    findings = [a_finding(order, at=NOW, account_ids=()) for order in orders]
    await open_(room, reader, *findings)


async def open_(room: Room, reader: MarketReader, *findings: Finding) -> None:
    facts = await reader.facts([s for finding in findings for s in subjects_of(finding)])
    shared = await evidence_of(room, reader, findings)
    await open_findings(room, findings, facts, shared)


async def look(room: Room, reader: MarketReader) -> None:
    while await look_around(room, reader):
        pass


async def ring_of(room: Room, view: CaseView) -> Ring:
    async with room.engine.connect() as conn:
        ring = await rings.read_ring(conn, view.case_id)
    assert ring is not None
    return ring


def members(view: CaseView) -> set[Subject]:
    return {member.subject for member in view.members}


async def open_cases(room: Room) -> int:
    async with room.engine.connect() as conn:
        count: int = (
            await conn.execute(text("SELECT count(*) FROM ledger.cases WHERE closed_at IS NULL"))
        ).scalar_one()
    return count


async def test_who_shares_its_evidence_joins_the_case_with_what_links_them(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    await shop.account("S", is_seller=True, signup_device_id="phone")
    await shop.account("A")
    await shop.account("B", address="東京都渋谷区神南一丁目2番3号　みなとハイツ１０１")
    await shop.account("C")
    await shop.account("stranger")
    await shop.order("O-1", "A", device_id="phone", card_fingerprint="card")
    await shop.order("O-2", "B", seller="T", card_fingerprint="card")
    await shop.order(
        "O-3", "C", seller="T", ship_postal_code="150-0041", ship_address=ADDRESS, device_id="c"
    )
    await shop.order("O-4", "C", seller="T", device_id="c", status="delivered")
    await shop.order(
        "O-5",
        "B",
        seller="T",
        ship_postal_code="150-0041",
        ship_address="東京都渋谷区神南１丁目２−３みなとハイツ 101",
    )
    await shop.order("O-9", "stranger", card_fingerprint="another", device_id="another")
    await found(room, reader, "O-1")
    await look(room, reader)
    view = await the_case_of(room, "O-1")
    assert members(view) == {
        *(an_order(f"O-{n}") for n in (1, 2, 3, 5)),
        *(an_account(id_) for id_ in ("S", "A", "B", "C")),
    }
    ring = await ring_of(room, view)
    assert ring.accounts == ("A", "B", "C", "S")
    assert ring.kinds == (LinkKind.CARD, LinkKind.DEVICE, LinkKind.ADDRESS)
    assert ring.kinds_of(an_order("O-1")) == (LinkKind.CARD, LinkKind.DEVICE)
    assert ring.kinds_of(an_account("S")) == (LinkKind.DEVICE,)
    assert ring.kinds_of(an_account("C")) == (LinkKind.ADDRESS,)
    # Members joined, so what a person saw before is stale; a second look finds nothing new.
    assert view.version == 2
    await look(room, reader)
    assert (await the_case_of(room, "O-1")).revision == view.revision
    async with room.engine.connect() as conn:
        tags = (await conn.scalars(text("SELECT tag FROM ledger.audit_entries ORDER BY seq"))).all()
        assert (await audit.verify(conn)).ok
    assert tags == ["detection:case:opened", "rings:case:joined"]


async def test_a_new_order_joins_the_open_case_of_its_ring_at_once(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    await shop.account("A")
    await shop.account("B")
    await shop.order("O-1", "A", card_fingerprint="card")
    await found(room, reader, "O-1")
    await look(room, reader)
    seen = await the_case_of(room, "O-1")
    later = {"ordered_at": NOW - timedelta(seconds=30)}
    await shop.order("O-2", "B", seller="T", card_fingerprint="card", device_id="b", **later)
    await shop.order("O-3", "A", seller="T", card_fingerprint="other", **later)
    assert await join_newcomers(room, reader, NOW - timedelta(minutes=1)) == NOW
    view = await the_case_of(room, "O-1")
    assert members(view) >= {an_order("O-2"), an_account("B")}
    assert view.version > seen.version
    assert (await ring_of(room, view)).kinds_of(an_order("O-2")) == (LinkKind.CARD,)
    # What the newcomer used counts from now on.
    await look(room, reader)
    await shop.account("C", signup_device_id="b", updated_at=NOW - timedelta(seconds=20))
    await join_newcomers(room, reader, NOW - timedelta(minutes=1))
    assert an_account("C") in members(await the_case_of(room, "O-1"))
    # Known by then: nothing moves any more.
    before = (await the_case_of(room, "O-1")).revision
    await join_newcomers(room, reader, NOW - timedelta(minutes=1))
    assert (await the_case_of(room, "O-1")).revision == before


async def test_while_a_request_waits_a_newcomer_changes_nothing_of_what_is_approved(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    await shop.account("A")
    await shop.account("B")
    await shop.order("O-1", "A", card_fingerprint="card")
    await found(room, reader, "O-1")
    await look(room, reader)
    view = await the_case_of(room, "O-1")
    await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    asked = await the_case_of(room, "O-1")
    assert asked.state is CaseState.AWAITING_APPROVAL
    await shop.order("O-2", "B", card_fingerprint="card", ordered_at=NOW - timedelta(seconds=9))
    await join_newcomers(room, reader, NOW - timedelta(minutes=1))
    await look(room, reader)
    view = await the_case_of(room, "O-1")
    assert an_order("O-2") in members(view)
    assert (view.version, view.decisions) == (asked.version, asked.decisions)


async def test_a_finding_joins_the_open_case_of_its_ring(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    for buyer in "ABCX":
        await shop.account(buyer)
    await shop.order("O-1", "A", card_fingerprint="card")
    await found(room, reader, "O-1")
    await look(room, reader)
    await shop.order("O-2", "B", seller="T", card_fingerprint="card", device_id="phone")
    # Found at once and together, before anybody has looked around.
    await shop.order("O-3", "C", seller="U", device_id="phone")
    await shop.order("O-4", "X", seller="V", device_id="another")
    await found(room, reader, "O-2", "O-3", "O-4")
    first = await the_case_of(room, "O-1")
    assert {an_order("O-2"), an_order("O-3")} <= members(first)
    assert (await the_case_of(room, "O-4")).case_id != first.case_id
    assert await open_cases(room) == 2


async def test_two_open_cases_of_one_ring_are_tied_and_stay_two(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    for buyer in "ABC":
        await shop.account(buyer)
    await shop.order("O-1", "A", card_fingerprint="one")
    await shop.order("O-2", "B", seller="T", card_fingerprint="two")
    await found(room, reader, "O-1", "O-2")
    await look(room, reader)
    assert await open_cases(room) == 2
    # Somebody has both cards.
    later = {"ordered_at": NOW - timedelta(seconds=30)}
    await shop.order("O-3", "C", seller="U", card_fingerprint="one", **later)
    await shop.order("O-4", "C", seller="U", card_fingerprint="two", **later)
    await join_newcomers(room, reader, NOW - timedelta(minutes=1))
    await look(room, reader)
    one, two = await the_case_of(room, "O-1"), await the_case_of(room, "O-2")
    assert one.case_id != two.case_id
    assert (await ring_of(room, one)).tied == (two.case_id,)
    assert (await ring_of(room, two)).tied == (one.case_id,)
    async with room.engine.connect() as conn:
        told = (
            await conn.scalars(
                text(
                    """SELECT (case_id, story -> 'cases')::text FROM ledger.posts
                        WHERE story ->> 'kind' = 'ring_tied' ORDER BY case_id"""
                )
            )
        ).all()
    assert told == [f"({one.case_id},[{two.case_id}])", f"({two.case_id},[{one.case_id}])"]
    # An order is judged in one case alone.
    assert not {an_order("O-3"), an_order("O-4")} & members(one) & members(two)


async def test_an_office_and_a_carrier_join_nobody(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    for n in range(MOST[LinkKind.ADDRESS] + 1):
        await shop.account(f"A{n}")
        await shop.order(
            f"O-{n}",
            f"A{n}",
            seller=f"S{n}",
            ship_postal_code="150-0041",
            ship_address=ADDRESS,
            ip="198.51.100.7",
            ordered_at=NOW - timedelta(seconds=50),
        )
    await found(room, reader, "O-0", "O-1")
    await look(room, reader)
    await join_newcomers(room, reader, NOW - timedelta(minutes=1))
    assert await open_cases(room) == 2
    assert members(await the_case_of(room, "O-0")) == {an_order("O-0")}


async def test_what_becomes_a_crowd_brings_nobody_else(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    await shop.account("A")
    await shop.account("B")
    house = {"ship_postal_code": "150-0041", "ship_address": ADDRESS}
    await shop.order("O-1", "A", **house)
    await shop.order("O-2", "B", **house)
    await found(room, reader, "O-1")
    await look(room, reader)
    assert an_order("O-2") in members(await the_case_of(room, "O-1"))
    for n in range(MOST[LinkKind.ADDRESS]):
        await shop.account(f"C{n}")
        at = NOW - timedelta(seconds=30)
        await shop.order(f"O-1{n:02}", f"C{n}", seller="T", ordered_at=at, **house)
    await join_newcomers(room, reader, NOW - timedelta(minutes=1))
    view = await the_case_of(room, "O-1")
    # Who is in it stays until a person decides.
    assert members(view) == {an_order("O-1"), an_order("O-2"), an_account("A"), an_account("B")}


async def test_a_network_joins_only_those_who_also_follow_the_same(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    for account in ("A", "B", "C"):
        await shop.account(account, signup_ip="203.0.113.5")
    await shop.order("O-1", "A")
    await found(room, reader, "O-1")
    await look(room, reader)
    assert members(await the_case_of(room, "O-1")) == {an_order("O-1")}
    for account in ("A", "B"):
        await shop.follow(account, "phisher")
    async with room.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.rings SET looked_members = 0"))
    await look(room, reader)
    view = await the_case_of(room, "O-1")
    assert members(view) == {an_order("O-1"), an_account("A"), an_account("B")}
    assert (await ring_of(room, view)).kinds == (LinkKind.IP, LinkKind.FOLLOW)


async def test_what_people_have_judged_is_not_brought_back(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    await shop.account("A")
    await shop.account("B")
    await shop.order("O-1", "A", card_fingerprint="card")
    await shop.order("O-2", "B", card_fingerprint="card")
    await found(room, reader, "O-2")
    view = await the_case_of(room, "O-2")
    await dismiss(room, press_of(view, "U0SATO"), reason="Known buyer", note=None)
    await found(room, reader, "O-1")
    await look(room, reader)
    assert an_order("O-2") not in members(await the_case_of(room, "O-1"))


async def test_no_address_and_no_network_is_in_the_ledger(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    for account in ("A", "B"):
        await shop.account(account, signup_ip="203.0.113.5", signup_device_id="raw-device")
        await shop.order(
            f"O-{account}",
            account,
            ip="203.0.113.5",
            card_fingerprint="raw-card",
            ship_postal_code="150-0041",
            ship_address=ADDRESS,
        )
    await found(room, reader, "O-A")
    await look(room, reader)
    async with room.engine.connect() as conn:
        tables = (
            await conn.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'"))
        ).all()
        rows = [
            row
            for table in tables
            for row in (await conn.scalars(text(f"SELECT t::text FROM ledger.{table} t"))).all()
        ]
        values = (await conn.scalars(text("SELECT DISTINCT value FROM ledger.ring_edges"))).all()
    assert len(values) == 4
    for raw in ("203.0.113", "神南", "150-0041", "raw-device", "raw-card"):
        assert not [row for row in rows if raw in row]


async def test_a_ring_of_two_currencies_is_never_one_sum(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    await shop.account("A")
    await shop.account("B")
    await shop.order("O-1", "A", card_fingerprint="card", total_amount=5000)
    await shop.order("O-2", "B", card_fingerprint="card", total_amount=9900, currency="USD")
    await found(room, reader, "O-1")
    await look(room, reader)
    view = await the_case_of(room, "O-1")
    assert sorted(view.money_at_risk) == [(5000, "JPY"), (9900, "USD")]


async def test_a_ring_larger_than_people_can_decide_on_is_followed_so_far(
    room: Room, shop: Shop, reader: MarketReader
) -> None:
    for n in range(8):
        await shop.account(f"A{n}", signup_device_id="phone")
    await shop.order("O-1", "A0")
    await found(room, reader, "O-1")
    with planted(ringing, MOST_ACCOUNTS=4):
        await look_around(room, reader)
    accounts = {s for s in members(await the_case_of(room, "O-1")) if s.kind == "account"}
    assert 2 <= len(accounts) <= 4


async def test_the_rate_table_only_sorts(room: Room, shop: Shop, reader: MarketReader) -> None:
    await shop.account("A")
    await shop.order("O-1", "A", seller="T", total_amount=12000)
    await shop.order("O-2", "A", seller="U", total_amount=9900, currency="USD")
    await found(room, reader, "O-1")
    view = await the_case_of(room, "O-1")
    rates = {"USD": 150.0}
    file = room.policy.file.model_copy(update={"sort_rates": rates})
    room.adopt(replace(room.policy, file=file))
    await found(room, reader, "O-2")
    async with room.engine.connect() as conn:
        order = (
            await conn.scalars(text("SELECT case_id FROM ledger.cards ORDER BY priority DESC"))
        ).all()
    dear = await the_case_of(room, "O-2")
    assert order == [dear.case_id, view.case_id]
    assert dear.money_at_risk == ((9900, "USD"),)
    assert [weight(12000, "JPY", {}), weight(9900, "USD", rates)] == [12000, 1485000]
    members = dearest_first([*view.members, *dear.members], rates)
    assert [member.subject.id for member in members] == ["O-2", "O-1"]


async def test_a_marketplace_whose_links_cannot_be_read_still_gets_its_cases(
    room: Room, shop: Shop, reader: MarketReader, market_dsn: str, market_reader_dsn: str
) -> None:
    await shop.account("A")
    await shop.order("O-1", "A", card_fingerprint="card")
    conn = await asyncpg.connect(market_dsn)
    # A view over it that computes something impossible, as an adopter's may.
    await conn.execute(
        """CREATE SCHEMA broken;
           CREATE VIEW broken.accounts AS TABLE market.accounts;
           CREATE VIEW broken.orders AS
             SELECT order_id, buyer_id, seller_id, status, total_amount, currency, ordered_at, updated_at,
                    (1 / (total_amount - total_amount))::text AS card_fingerprint FROM market.orders;
           GRANT USAGE ON SCHEMA broken TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA broken TO PUBLIC"""
    )
    try:
        broken = MarketReader(market_reader_dsn, "broken")
        await open_(room, broken, a_finding("O-1", at=NOW, account_ids=()))
        assert members(await the_case_of(room, "O-1")) == {an_order("O-1")}
        with pytest.raises(SayableError, match="rings cannot be followed"):
            await grow_rings(room, broken, Tick(name="job:grow_rings", watermark=NOW))
    finally:
        await conn.execute("DROP SCHEMA broken CASCADE")
        await conn.close()
    await grow_rings(room, reader, Tick(name="job:grow_rings", watermark=NOW))
    async with room.engine.connect() as ledger:
        assert await ledger.scalar(text("SELECT count(*) FROM ledger.rings")) == 1
