from __future__ import annotations

import json
from asyncio import run
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import yaml

from bot.cases.policy import DEFAULT_POLICY
from tests.conftest import LedgerDatabase
from tests.test_cli import Mimawari, mimawari

__all__ = ["mimawari"]

HISTORY = """
INSERT INTO ledger.people (user_id, team_id, display_name, locale, is_bot, is_guest, is_deleted, roles, synced_at)
VALUES ('U0TANAKA', 'T', '田中', 'ja', false, false, false, '{approver}', now()),
       ('U0SATO', 'T', '佐藤', 'ja', false, false, false, '{agent}', now());
INSERT INTO ledger.role_spans (user_id, role, since, effective_at, until) VALUES
  ('U0TANAKA', 'approver', '2026-10-01T00:00Z', '2026-10-02T00:00Z', NULL),
  ('U0SATO', 'agent', '2026-10-01T00:00Z', '2026-10-01T00:00Z', '2026-10-20T00:00Z');
"""


def tell_history(ledger: LedgerDatabase, policy: str | None = None) -> None:
    async def tell() -> None:
        conn = await asyncpg.connect(ledger.dsn)
        await conn.execute(HISTORY)
        if policy is not None:
            await conn.execute(
                """INSERT INTO ledger.policies (hash, body, adopted_at, source)
                   VALUES (repeat('0', 64), $1, '2026-10-01T00:00Z', 'file')""",
                policy,
            )
        await conn.close()

    run(tell())


def test_access_tells_who_could_do_what_on_a_day(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    policy = "roles: {}\nactions: {hold: {request: [agent]}, cancel: {request: [agent], approve: [approver]}}"
    tell_history(fresh_ledger, policy)

    def on(day: str) -> dict[str, object]:
        told = mimawari("access", "--at", day, "--json", DATABASE_URL=fresh_ledger.dsn)
        assert told.code == 0, told.err
        found: dict[str, object] = json.loads(told.out)
        return found

    first = on("2026-10-01T10:00")  # in Tokyo: an hour after everybody got their roles
    assert first["policy_since"] is not None
    assert [
        (p["user_id"], p["roles"], p["not_yet"], p["may_request"], p["may_approve"])
        for p in first["people"]  # type: ignore[attr-defined]
    ] == [
        ("U0SATO", ["agent"], [], ["hold", "cancel"], []),
        ("U0TANAKA", [], ["approver"], [], []),
    ]
    later = on("2026-10-25")
    assert [(p["user_id"], p["may_approve"]) for p in later["people"]] == [  # type: ignore[attr-defined]
        ("U0TANAKA", ["cancel"])
    ]
    assert on("2026-09-01")["people"] == []


def test_access_says_when_no_policy_was_stored_then(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    tell_history(fresh_ledger)
    day = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    told = mimawari("access", "--at", day, DATABASE_URL=fresh_ledger.dsn)
    assert told.code == 0
    assert "No policy was stored at that time" in told.err
    assert "U0TANAKA 田中: approver" in told.out
    assert "may approve: cancel, suspend" in told.out
    bad = mimawari("access", "--at", "yesterday", DATABASE_URL=fresh_ledger.dsn)
    assert bad.code == 2


def test_the_doctor_names_detections_that_the_policy_lists_for_the_night_in_vain(
    mimawari: Mimawari, tmp_path: Path
) -> None:
    policy = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8")) | {
        "calendar": {"hours": {"mon": "09:00-18:00"}},
        "off_hours": {
            "detections": ["self_dealing_link", "self_dealing_lnk", "follow_churn"],
            "caps": {"JPY": 1000},
            "count": 5,
        },
    }
    path = tmp_path / "policy.yml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    told = mimawari("doctor", "--json", POLICY_FILE=str(path))
    problems = [one["problem"] for one in json.loads(told.out) if one["what"] == "policy"]
    in_vain = [problem for problem in problems if problem and "off_hours" in problem]
    assert len(in_vain) == 2
    assert "Did you mean self_dealing_link?" in in_vain[0]
    assert "follow_churn, which is P2" in in_vain[1]


def test_the_doctor_says_loudly_that_every_detection_may_hold(
    mimawari: Mimawari, tmp_path: Path
) -> None:
    policy = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    path = tmp_path / "policy.yml"
    told = []
    for every in (False, True):
        rule = {"caps": {"JPY": 1000}, "count": 5, "every_detection": every}
        path.write_text(yaml.safe_dump(policy | {"automatic": rule}), encoding="utf-8")
        out = mimawari("doctor", "--json", POLICY_FILE=str(path)).out
        told.append(
            [
                one["problem"]
                for one in json.loads(out)
                if one["what"] == "policy" and "every_detection" in (one["problem"] or "")
            ]
        )
    assert [len(problems) for problems in told] == [0, 1]
