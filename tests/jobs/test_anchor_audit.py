from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from bot.cases.room import Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.audit_chain import read_anchors
from bot.domain.errors import SayableError
from bot.jobs.anchor_audit import check_age, keep_head, newest_anchor, write_anchor
from bot.ledger import audit
from bot.ledger.engine import create_engine
from tests.cases.conftest import room

__all__ = ["room"]

AT = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def test_each_anchor_is_a_file_of_its_own_that_names_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "anchors"
    heads = [f"{n}" * 64 for n in (1, 2, 3)]
    for hours, head in enumerate(heads):
        write_anchor(folder, 10 * (hours + 1), head, AT + timedelta(hours=hours))
    found = read_anchors([folder])
    assert [(anchor.seq, anchor.hash) for anchor in found] == [
        (10, heads[0]),
        (20, heads[1]),
        (30, heads[2]),
    ]
    assert [anchor.previous for anchor in found] == [None, (10, heads[0]), (20, heads[1])]
    assert len(list(folder.iterdir())) == 3


def test_an_anchor_that_stands_is_never_written_over(tmp_path: Path) -> None:
    write_anchor(tmp_path, 1, "1" * 64, AT)
    with pytest.raises(FileExistsError):
        write_anchor(tmp_path, 2, "2" * 64, AT)
    assert [anchor.seq for anchor in read_anchors([tmp_path])] == [1]


def test_half_a_file_does_not_end_the_row_of_anchors(tmp_path: Path) -> None:
    write_anchor(tmp_path, 1, "1" * 64, AT)
    (tmp_path / "audit-head-20261123T050000.000000Z.json").write_text('{"seq": 2, "ha')
    newest = newest_anchor(tmp_path)
    assert newest is not None
    assert newest.seq == 1
    assert newest_anchor(tmp_path / "empty") is None


def test_a_row_of_anchors_that_ended_is_noticed_after_two_hours(tmp_path: Path) -> None:
    assert "writes one at its start" in check_age(tmp_path / "none", AT)
    write_anchor(tmp_path, 1, "1" * 64, AT - timedelta(days=1))
    write_anchor(tmp_path, 2, "2" * 64, AT)
    assert "2026-11-23 04:00 UTC" in check_age(tmp_path, AT + timedelta(hours=2))
    with pytest.raises(SayableError, match=r"is of 2026-11-23 04:00 UTC.* is the bot running"):
        check_age(tmp_path, AT + timedelta(hours=2, seconds=1))
    (tmp_path / "audit-head-zzz.json").write_text("{}\n")
    with pytest.raises(SayableError, match="no anchor of ours"):
        check_age(tmp_path, AT)


async def test_the_head_of_the_live_log_is_kept_and_the_log_is_held_to_it(
    room: Room, ledger_owner_dsn: str, tmp_path: Path
) -> None:
    async with room.engine.begin() as conn:
        await audit.append(conn, [AuditEntry(actor="U0SATO", tag=AuditTag.CASE_CLAIMED)] * 3)
    await keep_head(room, tmp_path)
    kept = read_anchors([tmp_path])
    owner = create_engine(ledger_owner_dsn, poolclass=NullPool)
    async with owner.connect() as conn:
        assert (await audit.verify(conn, kept)).ok
    async with owner.begin() as conn:
        # Whoever owns the database writes another log with a chain that fits.
        await conn.execute(text("ALTER TABLE ledger.audit_entries DISABLE TRIGGER append_only"))
        await conn.execute(text("DELETE FROM ledger.audit_entries"))
        await conn.execute(text("UPDATE ledger.audit_head SET seq = 0, hash = repeat('0', 64)"))
        await audit.append(conn, [AuditEntry(actor="U0EVIL", tag=AuditTag.CASE_CLAIMED)] * 3)
        await conn.execute(text("ALTER TABLE ledger.audit_entries ENABLE TRIGGER append_only"))
    async with owner.connect() as conn:
        assert (await audit.verify(conn)).ok
        found = await audit.verify(conn, kept)
    await owner.dispose()
    assert found.bad_seq == 3
    assert "another hash than audit-head-" in (found.problem or "")


async def test_a_folder_that_cannot_be_written_is_a_sentence(room: Room, tmp_path: Path) -> None:
    (tmp_path / "anchors").write_text("a file")
    with pytest.raises(SayableError, match=r"make .*anchors writable"):
        await keep_head(room, tmp_path / "anchors")
