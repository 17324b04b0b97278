from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bot.cases.breaking_glass import CONFIRM, break_glass
from bot.cases.deciding import Decided, decide, dismiss
from bot.cases.opening import open_findings
from bot.cases.room import Room
from bot.domain.errors import SayableError
from bot.domain.findings import Evidence, EvidenceType, Mode
from bot.domain.roles import Person, Role
from bot.ledger import audit, people
from bot.ledger.engine import create_engine
from bot.ledger.erasing import erase_subject
from tests.cases.conftest import TEAM, room
from tests.cases.stage import (
    a_finding,
    an_account,
    an_order,
    cancel_choice,
    press_of,
    reread,
    some_facts,
    the_case_of,
)

__all__ = ["room"]

CANARY = "山田カナリア"


async def a_case_with_a_name(room: Room) -> int:
    shown = Evidence(
        name="name", label_ja="名前", label_en="Name", type=EvidenceType.TEXT, value=CANARY
    )
    finding = a_finding("O-1", at=room.clock.now(), evidence=(shown,))
    facts = {
        subject: replace(known, name_masked=CANARY, admin_url=f"https://shop.example/{CANARY}")
        for subject, known in some_facts(finding, room.clock.now()).items()
    }
    await open_findings(room, [finding], facts)
    return (await the_case_of(room, "O-1")).case_id


async def everything(room: Room) -> str:
    """All tables of the ledger as text."""
    told = []
    async with room.engine.connect() as conn:
        tables = await conn.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger' ORDER BY 1")
        )
        for table in tables.scalars().all():
            rows = await conn.execute(text(f"SELECT t::text FROM ledger.{table} t"))
            told += list(rows.scalars())
    return "\n".join(told)


async def test_an_erasure_leaves_no_name_and_the_log_whole(
    room: Room, ledger_owner_dsn: str
) -> None:
    case_id = await a_case_with_a_name(room)
    view = await the_case_of(room, "O-1")
    # One more that was only recorded: no case of its own.
    seen = replace(
        view.findings[0], window_key="w2", mode=Mode.SHADOW, evidence=view.findings[0].evidence
    )
    await open_findings(room, [seen], {})
    await dismiss(room, press_of(view, "U0SATO"), reason="Ordinary order", note=CANARY)
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO ledger.notes (case_id, author, body, message_ts)"
                " VALUES (:case_id, 'U0SATO', :body, '1.1')"
            ),
            {"case_id": case_id, "body": CANARY},
        )
    before = await everything(room)
    assert before.count(CANARY) >= 4
    # The log itself never held it.
    async with room.engine.connect() as conn:
        entries = (await conn.execute(text("SELECT canonical FROM ledger.audit_entries"))).scalars()
        assert all(CANARY not in entry for entry in entries)
        kept = await audit.read_about(conn, case_id=case_id, limit=9)
    assert [entry.private for entry in kept if entry.private] == [{"note": CANARY}]
    owner = create_engine(ledger_owner_dsn, poolclass=NullPool)
    async with owner.begin() as conn:
        account = await erase_subject(conn, an_order("O-1"))
        assert account.cases == 1
        await erase_subject(conn, an_account("buyer-of-O-1"))
    await owner.dispose()
    assert CANARY not in await everything(room)
    async with room.engine.connect() as conn:
        whole = await audit.verify(conn)
        assert whole.problem is None
        assert not [e for e in await audit.read_about(conn, case_id=case_id, limit=9) if e.private]
        tags = (
            await conn.execute(
                text("SELECT count(*) FROM ledger.audit_entries WHERE tag = 'cli:subject:erased'")
            )
        ).scalar_one()
    assert tags == 2
    # What was decided is as frozen as before.
    with pytest.raises(DBAPIError, match="frozen"):
        async with room.engine.begin() as conn:
            await conn.execute(text("UPDATE ledger.decisions SET reason = 'x'"))


async def test_a_subject_of_an_open_case_is_not_erased(room: Room, ledger_owner_dsn: str) -> None:
    case_id = await a_case_with_a_name(room)
    owner = create_engine(ledger_owner_dsn, poolclass=NullPool)
    for subject, said in (
        (an_order("O-1"), f"C-{case_id} is open"),
        (an_order("O-9"), "nothing of"),
    ):
        with pytest.raises(SayableError, match=said):
            async with owner.begin() as conn:
                await erase_subject(conn, subject)
    await owner.dispose()
    assert CANARY in await everything(room)


async def test_the_application_may_not_erase(room: Room) -> None:
    await a_case_with_a_name(room)
    view = await the_case_of(room, "O-1")
    await dismiss(room, press_of(view, "U0SATO"), reason="Ordinary order")
    with pytest.raises(DBAPIError):
        async with room.engine.begin() as conn:
            await erase_subject(conn, an_order("O-1"))


async def test_what_was_written_in_an_emergency_goes_with_it(
    room: Room, ledger_owner_dsn: str
) -> None:
    await a_case_with_a_name(room)
    view = await the_case_of(room, "O-1")
    asked = await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    assert asked.decision_id is not None
    person = Person(
        user_id="U0HAYASHI",
        team_id=TEAM,
        display_name="林",
        roles=frozenset({Role.BREAK_GLASS}),
    )
    async with room.engine.begin() as conn:
        await people.store_people(conn, [person])
    press = press_of(await reread(room, view), "U0HAYASHI")
    reason = f"{CANARY}さんに発送される直前"
    done = await break_glass(room, press, asked.decision_id, reason=reason, word=CONFIRM)
    assert isinstance(done, Decided), done
    assert (await everything(room)).count(reason) >= 4
    owner = create_engine(ledger_owner_dsn, poolclass=NullPool)
    async with owner.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.cases SET state = 'done', closed_at = now(), version = version + 1")
        )
        await conn.execute(text("UPDATE ledger.case_members SET is_open = false"))
    async with owner.begin() as conn:
        await erase_subject(conn, an_order("O-1"))
        await erase_subject(conn, an_account("buyer-of-O-1"))
    await owner.dispose()
    assert CANARY not in await everything(room)
    async with room.engine.connect() as conn:
        assert (await audit.verify(conn)).problem is None
