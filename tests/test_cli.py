from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from bot.ledger.audit import ChainCheck
from tests.conftest import LedgerDatabase, run

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


Mimawari = Callable[..., Ran]


@pytest.fixture
def mimawari(tmp_path: Path) -> Mimawari:
    """Runs the command line in an empty folder, with these settings and no others."""

    def ran(*arguments: str, **settings: str) -> Ran:
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-m", "bot", *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT), **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return ran


def write_entries(dsn: str, count: int) -> None:
    async def write() -> None:
        conn = await asyncpg.connect(dsn)
        for n in range(count):
            await conn.execute(
                """INSERT INTO ledger.audit_entries (seq, at, actor, tag, details, canonical, previous_hash, hash)
                   VALUES (0, now(), 'U0SATO', 'person:case:claimed', $1, '', '', '')""",
                json.dumps({"n": n}),
            )
        await conn.close()

    run(write())


def test_help_teaches_where_to_start(mimawari: Mimawari) -> None:
    told = mimawari("--help")
    assert told.code == 0
    for command in (
        "demo",
        "run",
        "doctor",
        "migrate",
        "rules",
        "audit",
        "market",
        "db",
        "manifest",
    ):
        assert command in told.out
    assert "Start here" in told.out


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["run"], {"PORT": "http"}, "PORT is wrong"),
        (["run"], {"DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d"}, "Set SLACK_BOT_TOKEN"),
        (["migrate"], {"DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d"}, "DATABASE_OWNER_URL"),
        (
            ["migrate"],
            {
                "DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d",
                "DATABASE_OWNER_URL": "postgresql://o:p@127.0.0.1:9/d",
            },
            "could not be migrated",
        ),
        (["audit", "verify"], {"DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d"}, "cannot be"),
        (["manifest", "--url", "http://bot.example"], {}, "must start with https://"),
        (["manifest"], {}, "Missing option '--url'"),
        (["rules", "test", "no_such_rule"], {}, "no detection no_such_rule"),
        (["rules", "list"], {"DETECTIONS_DIR": "/nowhere"}, "DETECTIONS_DIR names /nowhere"),
        (["nonsense"], {}, "No such command"),
        (["demo", "--speed", "fast"], {}, "--speed"),
    ],
)
def test_bad_input_gets_a_sentence_and_exit_code_2(
    mimawari: Mimawari, arguments: list[str], settings: dict[str, str], words: str
) -> None:
    told = mimawari(*arguments, **settings)
    assert told.code == 2
    assert words in told.err


def test_the_manifest_is_printed_with_the_address_in_it(mimawari: Mimawari) -> None:
    told = mimawari("manifest", "--url", "https://bot.example.com/x/")
    assert told.code == 0
    manifest: dict[str, Any] = yaml.safe_load(told.out)
    address = "https://bot.example.com/x/slack/events"
    assert manifest["settings"]["interactivity"]["request_url"] == address
    assert manifest["features"]["slash_commands"][0]["url"] == address
    assert "example.invalid" not in told.out


def test_an_exported_log_can_be_checked_without_the_database(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    write_entries(fresh_ledger.dsn, 5)
    verified = mimawari("audit", "verify", "--json", DATABASE_URL=fresh_ledger.dsn)
    exported = mimawari("audit", "export", DATABASE_URL=fresh_ledger.dsn)
    check = ChainCheck()
    for line in exported.out.splitlines():
        entry = json.loads(line)
        assert (
            check.problem_with(
                seq=entry["seq"],
                canonical=entry["canonical"],
                previous_hash=entry["previous_hash"],
                entry_hash=entry["hash"],
            )
            is None
        )
    assert json.loads(verified.out) == {
        "ok": True,
        "entries": 5,
        "head": check.head,
        "bad_seq": None,
        "problem": None,
    }


def test_a_changed_log_is_named_with_exit_code_1(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    write_entries(fresh_ledger.dsn, 5)

    async def tamper() -> None:
        conn = await asyncpg.connect(fresh_ledger.owner_dsn)
        await conn.execute("ALTER TABLE ledger.audit_entries DISABLE TRIGGER USER")
        await conn.execute("UPDATE ledger.audit_entries SET actor = 'U0EVIL' WHERE seq = 3")
        await conn.close()

    run(tamper())
    told = mimawari("audit", "verify", DATABASE_URL=fresh_ledger.dsn)
    assert told.code == 1
    assert "BROKEN at entry 3" in told.err


def test_migrating_twice_is_as_good_as_once(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    for _ in range(2):
        told = mimawari(
            "migrate",
            DATABASE_URL=fresh_ledger.dsn,
            DATABASE_OWNER_URL=fresh_ledger.owner_dsn,
        )
        assert (told.code, told.out) == (0, "The ledger is up to date.\n")


def test_the_owner_may_not_run_the_bot(mimawari: Mimawari, fresh_ledger: LedgerDatabase) -> None:
    told = mimawari(
        "run",
        DATABASE_URL=fresh_ledger.owner_dsn,
        SLACK_BOT_TOKEN="xoxb-1",
        SLACK_SIGNING_SECRET="s",
        ALERT_CHANNEL="C1",
        MARKET_DATABASE_URL="postgresql://u:p@127.0.0.1:9/d",
        MARKET_API_URL="http://127.0.0.1:9",
        MARKET_API_TOKEN="t",
    )
    assert told.code == 2
    assert "could rewrite the audit log" in told.err


def test_the_doctor_names_everything_that_is_missing(mimawari: Mimawari) -> None:
    told = mimawari("doctor", "--json")
    assert told.code == 1
    found = {one["what"]: one for one in json.loads(told.out)}
    assert found["policy"]["ok"]
    assert found["detections"]["ok"]
    assert "DATABASE_URL" in found["ledger"]["problem"]
    assert "by hand (step 1" in found["marketplace API"]["told"]
    assert "SLACK_BOT_TOKEN" in found["slack"]["problem"]


def test_every_built_in_detection_is_listed_and_checks(mimawari: Mimawari) -> None:
    listed = json.loads(mimawari("rules", "list", "--json").out)
    names = {one["name"] for one in listed}
    assert {"self_dealing_link", "many_cards_per_buyer", "follow_churn"} <= names
    checked = mimawari("rules", "check", "--json")
    assert checked.code == 0
    assert {one["name"] for one in json.loads(checked.out)} == names


def test_a_broken_detection_is_refused_and_the_others_go_on(
    mimawari: Mimawari, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "broken.sql").write_text("DROP TABLE orders", encoding="utf-8")
    told = mimawari("rules", "check", DETECTIONS_DIR=str(tmp_path / "mine"))
    assert told.code == 1
    assert "broken.sql" in told.out
    assert "ok    self_dealing_link" in told.out


def test_a_market_directory_with_a_bad_row_is_named_by_file_line_and_column(
    mimawari: Mimawari, market_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "market"
    folder.mkdir()
    (folder / "accounts.csv").write_text(
        "account_id,display_name,status,updated_at\na-1,A,active,2026-01-01 00:00+00\n",
        encoding="utf-8",
    )
    (folder / "orders.csv").write_text(
        "order_id,buyer_id,seller_id,status,total_amount,payment_method,ordered_at,updated_at\n"
        "o-1,a-1,a-1,paid,ten,card,2026-01-01 00:00+00,2026-01-01 00:00+00\n",
        encoding="utf-8",
    )
    told = mimawari("market", "load", str(folder), "--dsn", market_dsn)
    assert told.code == 2
    assert "orders.csv" in told.err
    assert "total_amount" in told.err
    assert "2" in told.err
    (folder / "orders.csv").write_text(
        "order_id,buyer_id,seller_id,status,total_amount,payment_method,ordered_at,updated_at\n"
        "o-1,a-1,a-1,paid,10,card,2026-01-01 00:00+00,2026-01-01 00:00+00\n",
        encoding="utf-8",
    )
    loaded = mimawari("market", "load", str(folder), "--dsn", market_dsn, "--json")
    assert json.loads(loaded.out) == {"rows": {"accounts": 1, "orders": 1}}
