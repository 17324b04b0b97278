from __future__ import annotations

import hashlib
import itertools
import json
from asyncio import run
from pathlib import Path

import asyncpg

from bot.domain.audit_chain import ChainCheck, read_anchors
from bot.ledger.audit import commitment_of
from tests.conftest import LedgerDatabase
from tests.test_cli import Mimawari, mimawari

__all__ = ["mimawari"]

MONTH = """
INSERT INTO ledger.people (user_id, team_id, display_name, locale, is_bot, is_guest, is_deleted, roles, synced_at)
VALUES ('U0SATO', 'T', '佐藤 *', 'ja', false, false, false, '{agent}', now()),
       ('U0TANAKA', 'T', '田中', 'ja', false, false, false, '{approver}', now());
INSERT INTO ledger.cases (case_id, severity, opened_at, state, closed_at)
OVERRIDING SYSTEM VALUE
SELECT n, 'P1', '2026-10-05T00:00Z', 'done', '2026-10-06T00:00Z' FROM generate_series(1, 6) n;
INSERT INTO ledger.case_members (case_id, subject_kind, subject_id, is_subject, is_open, facts, joined_at)
VALUES (1, 'order', 'O-1|x', true, false, '{"name_masked": "<b>山＊", "amount": 12400, "currency": "JPY"}', now());
INSERT INTO ledger.decisions (decision_id, case_id, case_version, action, state, requested_by, requested_at, reason,
  targets, plans, params_hash, amounts, evidence, approvals_needed, policy_hash, decided_at)
SELECT 'dec-' || n, n, 1, 'cancel', 'awaiting_approval', 'U0SATO', '2026-10-05T00:00Z', 'Stolen card',
       '[]', '[]', 'h', '[]', '{}', 1, '', NULL FROM generate_series(1, 6) n;
INSERT INTO ledger.approvals (decision_id, user_id, params_hash, at)
SELECT 'dec-' || n, 'U0TANAKA', 'h', cast('2026-10-05T00:00Z' AS timestamptz) + n * interval '2 seconds'
  FROM generate_series(1, 6) n;
UPDATE ledger.decisions SET state = 'approved', decided_at = '2026-10-05T00:01Z';
"""
ENTRY = """INSERT INTO ledger.audit_entries (seq, at, actor, tag, case_id, details, canonical, previous_hash, hash)
           VALUES (0, now(), $1, $2, $3, $4, '', '', '')"""
TOLD = """INSERT INTO ledger.digests (digest_id, day, channel, content, audit_seq, audit_hash, message_ts, state)
          SELECT 'D-' || seq, date '2026-10-05' + seq::int, 'C0DIGEST', '{}', seq, hash, '17.' || seq, 'sent'
            FROM ledger.audit_entries"""


def tell(ledger: LedgerDatabase) -> None:
    async def write() -> None:
        conn = await asyncpg.connect(ledger.dsn)
        await conn.execute(MONTH)
        await conn.execute(ENTRY, "U0SATO", "person:case:claimed", 1, "{}")
        await conn.execute(ENTRY, "U0SATO", "policy:decision:denied", 2, '{"code": "own_request"}')
        await conn.execute(ENTRY, "system", "executor:case:settled", 1, "{}")
        salt, note = "0" * 32, "電話で確認"
        commitment = hashlib.sha256(f"mimawari.private.v1\n{salt}\n{note}".encode()).hexdigest()
        await conn.execute(
            "INSERT INTO ledger.audit_private VALUES ($1, 1, NULL, NULL, 'note', $2, $3)",
            commitment,
            salt,
            note,
        )
        await conn.execute(TOLD)
        await conn.close()

    run(write())


async def asyncpg_value(ledger: LedgerDatabase, query: str) -> str:
    conn = await asyncpg.connect(ledger.dsn)
    try:
        return str(await conn.fetchval(query))
    finally:
        await conn.close()


def test_the_report_tells_quick_approvals_and_fixed_pairs(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    tell(fresh_ledger)
    figures = json.loads(
        mimawari(
            "audit", "report", "--month", "2026-10", "--json", DATABASE_URL=fresh_ledger.dsn
        ).out
    )
    assert (figures["decisions"], figures["alone"]) == (6, 0)
    assert figures["approvals"] == {"count": 6, "p50_s": 7.0, "p10_s": 3.0, "quick": 2}
    assert figures["pairs"] == [
        {"requester": "U0SATO", "approver": "U0TANAKA", "count": 6, "of": 6}
    ]
    told = mimawari(
        "audit", "report", "--month", "2026-10", "--lang", "en", DATABASE_URL=fresh_ledger.dsn
    ).out
    assert "half within 7 s" in told
    assert "- 佐藤 \\* → 田中: 6 of 6" in told
    assert "## Refused" in told
    ja = mimawari("audit", "report", "--lang", "ja", DATABASE_URL=fresh_ledger.dsn).out
    (row,) = [line for line in ja.splitlines() if "自分の申請" in line]
    assert row.startswith("| 佐藤 \\*")
    assert row.endswith("| 自分の申請 | 1 |")


def test_the_evidence_of_a_case_can_be_checked_by_others(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase, tmp_path: Path
) -> None:
    tell(fresh_ledger)
    anchor = tmp_path / "anchors" / "head.json"
    anchor.parent.mkdir()
    third = run(asyncpg_value(fresh_ledger, "SELECT hash FROM ledger.audit_entries WHERE seq = 3"))
    anchor.write_text(json.dumps({"seq": 3, "hash": third}) + "\n")
    done = mimawari(
        *("audit", "pack", "C-1", "--lang", "en"),
        DATABASE_URL=fresh_ledger.dsn,
        ANCHOR_DIR=str(anchor.parent),
    )
    assert done.code == 0, done.err
    folder = tmp_path / "evidence-C-1"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        sum_, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sum_
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert "¥12,400" in summary
    assert "<b>" not in summary
    assert "approved by" in summary
    entries = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    # The packing is an entry about the case too.
    assert [entry["seq"] for entry in entries] == [1, 3, 4]
    links = [line.split(",") for line in (folder / "chain.csv").read_text().splitlines()[1:]]
    assert [int(link[0]) for link in links] == [1, 2, 3, 4]
    assert all(after[1] == before[2] for before, after in itertools.pairwise(links))
    for entry in entries:
        check = ChainCheck(entry["seq"], entry["previous_hash"])
        assert (
            check.problem_with(
                seq=entry["seq"],
                canonical=entry["canonical"],
                previous_hash=entry["previous_hash"],
                entry_hash=entry["hash"],
            )
            is None
        )
    # Heads that others have, at which the chain can be held.
    anchors = read_anchors([folder / "anchors.jsonl", anchor])
    assert [(one.seq, one.source) for one in anchors][-1] == (3, "head.json line 1")
    kept = {int(link[0]): link[2] for link in links}
    assert len(anchors) == 5
    assert all(kept[one.seq] == one.hash for one in anchors)
    assert "message 17.2 in C0DIGEST" in (folder / "anchors.jsonl").read_text()
    (written,) = map(
        json.loads, (folder / "private.jsonl").read_text(encoding="utf-8").splitlines()
    )
    assert commitment_of(written["salt"], written["value"]) == written["commitment"]
    again = mimawari("audit", "pack", "C-1", DATABASE_URL=fresh_ledger.dsn)
    assert (again.code, "not empty" in again.err) == (2, True)
    unknown = mimawari("audit", "pack", "C-99", DATABASE_URL=fresh_ledger.dsn)
    assert (unknown.code, "There is no case C-99" in unknown.err) == (2, True)
    wrong = mimawari("audit", "pack", "ninety", DATABASE_URL=fresh_ledger.dsn)
    assert wrong.code == 2
