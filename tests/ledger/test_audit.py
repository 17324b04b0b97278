from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.audit_chain import GENESIS
from bot.domain.subjects import Subject, SubjectKind
from bot.ledger import audit
from bot.ledger.engine import create_engine


@pytest.fixture
async def engine(ledger_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(ledger_dsn, poolclass=NullPool)
    yield engine
    await engine.dispose()


@pytest.fixture
async def owner(ledger_owner_dsn: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(ledger_owner_dsn, poolclass=NullPool)
    yield engine
    await engine.dispose()


async def write(engine: AsyncEngine, count: int) -> None:
    async with engine.begin() as conn:
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor="U0SATO",
                    tag=AuditTag.CASE_CLAIMED,
                    case_id=2001,
                    subject=Subject(SubjectKind.ORDER, f"O-{n}"),
                    details={"n": n, "理由": "盗難カード \u2028 \U0001f600", "share": 0.25},
                )
                for n in range(count)
            ],
        )


async def verify(engine: AsyncEngine) -> audit.Verification:
    async with engine.connect() as conn:
        return await audit.verify(conn)


async def test_an_empty_log_verifies(engine: AsyncEngine) -> None:
    found = await verify(engine)
    assert found.ok
    assert (found.entries, found.head) == (0, GENESIS)


async def test_what_was_appended_verifies_and_the_head_moves(engine: AsyncEngine) -> None:
    await write(engine, 3)
    first = await verify(engine)
    await write(engine, 1)
    second = await verify(engine)
    assert first.ok
    assert second.ok
    assert (first.entries, second.entries) == (3, 4)
    assert first.head != second.head


async def test_an_entry_that_is_rolled_back_leaves_no_gap(engine: AsyncEngine) -> None:
    await write(engine, 2)
    with pytest.raises(RuntimeError):
        async with engine.begin() as conn:
            await audit.append(conn, [AuditEntry(actor="x", tag=AuditTag.CASE_NOTED)])
            raise RuntimeError
    await write(engine, 1)
    found = await verify(engine)
    assert found.ok
    assert found.entries == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger.audit_entries SET actor = 'U0EVIL'",
        "DELETE FROM ledger.audit_entries",
        "TRUNCATE ledger.audit_entries",
        "UPDATE ledger.audit_head SET seq = 0",
        "ALTER TABLE ledger.audit_entries DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TABLE ledger.audit_entries",
        "CREATE TABLE ledger.mine (x int)",
    ],
)
async def test_the_application_role_can_only_append(engine: AsyncEngine, change: str) -> None:
    await write(engine, 1)
    with pytest.raises(DBAPIError):
        async with engine.begin() as conn:
            await conn.execute(text(change))
    assert (await verify(engine)).ok


@pytest.mark.parametrize(
    ("change", "bad_seq"),
    [
        ("UPDATE ledger.audit_entries SET actor = 'U0EVIL' WHERE seq = 3", 3),
        ("UPDATE ledger.audit_entries SET at = at + interval '1 microsecond' WHERE seq = 2", 2),
        ("UPDATE ledger.audit_entries SET details = '{}' WHERE seq = 4", 4),
        (
            "UPDATE ledger.audit_entries SET canonical = replace(canonical, 'U0SATO', 'U0EVIL') WHERE seq = 3",
            3,
        ),
        ("DELETE FROM ledger.audit_entries WHERE seq = 3", 4),
        ("DELETE FROM ledger.audit_entries WHERE seq = 5", 5),
        ("UPDATE ledger.audit_entries SET seq = seq + 10 WHERE seq = 1", 2),
    ],
)
async def test_whoever_owns_the_database_is_found_out(
    engine: AsyncEngine, owner: AsyncEngine, change: str, bad_seq: int
) -> None:
    await write(engine, 5)
    async with owner.begin() as conn:
        await conn.execute(text("ALTER TABLE ledger.audit_entries DISABLE TRIGGER USER"))
        await conn.execute(text(change))
        await conn.execute(text("ALTER TABLE ledger.audit_entries ENABLE TRIGGER USER"))
    found = await verify(engine)
    assert not found.ok
    assert found.bad_seq == bad_seq


async def test_the_log_of_a_subject_is_newest_first(engine: AsyncEngine) -> None:
    await write(engine, 3)
    async with engine.connect() as conn:
        entries = await audit.read_about(conn, case_id=2001, limit=2)
        about = await audit.read_about(conn, subject=Subject(SubjectKind.ORDER, "O-1"), limit=9)
    assert [entry.seq for entry in entries] == [3, 2]
    assert [entry.details["n"] for entry in about] == [1]


WRITTEN = "注文主の山田カナリアさんから電話"


async def note(engine: AsyncEngine, case_id: int | None = 2001) -> None:
    async with engine.begin() as conn:
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor="U0SATO",
                    tag=AuditTag.CASE_NOTED,
                    case_id=case_id,
                    details={"length": len(WRITTEN)},
                    private={"note": WRITTEN, "nothing": ""},
                )
            ],
        )


async def test_what_people_wrote_is_beside_the_log_and_the_log_is_bound_to_it(
    engine: AsyncEngine,
) -> None:
    await note(engine)
    await note(engine)
    async with engine.connect() as conn:
        entries = await audit.read_about(conn, case_id=2001, limit=9)
    commitments = [entry.details["private"]["note"] for entry in entries]
    # Salted: the same words are not seen to be the same.
    assert len(set(commitments)) == 2
    assert [entry.private for entry in entries] == [{"note": WRITTEN}, {"note": WRITTEN}]
    assert all(WRITTEN not in entry.canonical for entry in entries)
    assert all(set(entry.details["private"]) == {"note"} for entry in entries)
    assert (await verify(engine)).ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger.audit_private SET value = 'x'",
        "DELETE FROM ledger.audit_private",
        "TRUNCATE ledger.audit_private",
    ],
)
async def test_the_application_may_not_touch_what_was_written(
    engine: AsyncEngine, change: str
) -> None:
    await note(engine)
    with pytest.raises(DBAPIError):
        async with engine.begin() as conn:
            await conn.execute(text(change))
    assert (await verify(engine)).ok


FORGED = """UPDATE ledger.audit_private SET value = 'forged', commitment = encode(sha256(convert_to(
              'mimawari.private.v1' || E'\\n' || salt || E'\\n' || 'forged', 'UTF8')), 'hex')"""


@pytest.mark.parametrize("change", ["DELETE FROM ledger.audit_private", FORGED])
@pytest.mark.parametrize("case_id", [2001, None])
async def test_what_was_written_cannot_be_changed_or_lost_unnoticed(
    engine: AsyncEngine, owner: AsyncEngine, change: str, case_id: int | None
) -> None:
    await write(engine, 1)
    await note(engine, case_id)
    async with owner.begin() as conn:
        await conn.execute(text("ALTER TABLE ledger.audit_private DISABLE TRIGGER USER"))
        await conn.execute(text(change))
        await conn.execute(text("ALTER TABLE ledger.audit_private ENABLE TRIGGER USER"))
    found = await verify(engine)
    assert found.bad_seq == 2
    assert "without an erasure" in (found.problem or "")
