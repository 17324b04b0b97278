from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy.engine import make_url

from bot.domain.audit_chain import ChainCheck
from bot.playground.market.faults import Fault
from tests.chaos.cutter import Cut, a_cutter
from tests.conftest import LedgerDatabase, run
from tests.market.old_shop import SECRET, map_text, serve_old_shop
from tests.playground.market.conftest import Shop, shop

__all__ = ["shop"]

ROOT = Path(__file__).parent.parent
RUN_SETTINGS = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_SIGNING_SECRET": "s",
    "ALERT_CHANNEL": "C1",
    "MARKET_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d",
    "MARKET_API_URL": "http://127.0.0.1:9",
    "MARKET_API_TOKEN": "t",
}
"""All that `run` asks for, but for the ledger."""


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
    exported = mimawari("audit", "export", DATABASE_URL=fresh_ledger.dsn)
    verified = mimawari("audit", "verify", "--json", DATABASE_URL=fresh_ledger.dsn)
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
        # That it was exported is the last entry.
        "entries": 6,
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
        **RUN_SETTINGS,
        DATABASE_URL=fresh_ledger.owner_dsn,
    )
    assert told.code == 2
    assert "could rewrite the audit log" in told.err


async def test_a_ledger_that_goes_away_while_the_bot_starts_gets_a_sentence(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    address = make_url(fresh_ledger.dsn)
    socket = Path(str(address.query["host"])) / ".s.PGSQL.5432"
    async with a_cutter(socket, random.SystemRandom()) as cutter:

        async def authenticate(request: web.Request) -> web.Response:
            cutter.socket = socket.with_name("gone")
            cutter.arm(Cut.ANYWHERE)
            return web.json_response({"ok": True, "team_id": "T1", "user_id": "U1", "bot_id": "B1"})

        slack = web.Application()
        slack.router.add_post("/api/auth.test", authenticate)
        through = address.set(host="127.0.0.1", port=cutter.port, query={})
        async with TestServer(slack) as server:
            told = await asyncio.to_thread(
                mimawari,
                "run",
                **RUN_SETTINGS,
                DATABASE_URL=through.render_as_string(hide_password=False),
                SLACK_API_URL=str(server.make_url("/api/")),
            )
    assert cutter.made == [Cut.ANYWHERE]
    assert told.code == 2
    assert "a database stopped answering" in told.err


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


def test_a_contract_test_says_what_it_lacks(mimawari: Mimawari, tmp_path: Path) -> None:
    (tmp_path / "verbs.yml").write_text("verbs: {hold: {class: manual}}", encoding="utf-8")
    (tmp_path / "sent.yml").write_text(
        "base_url: https://live.example\nauth: none\nverbs: {hold: {class: none, execution_bound_s: 1,"
        " request: {path: '/o/{subject_id}'}}}",
        encoding="utf-8",
    )
    for arguments, words in (
        ((), "Give --url"),
        (("--url", "ftp://x"), "--url is wrong: it must start with http"),
        (("--url", "https://me:canary@x"), "--url is wrong: it must be without user"),
        (("--url", "https://x"), "Set MARKET_API_TOKEN"),
        (("--url", "https://x", "--token-env", "SHOP_TOKEN"), "Set SHOP_TOKEN"),
        (("--verb-map", "none.yml"), "cannot be read"),
        (("--verb-map", "verbs.yml"), "nothing to test"),
        (("--verb-map", "sent.yml", "--write"), "which staging shop may be changed"),
    ):
        told = mimawari("contract", "test", *arguments)
        assert told.code == 2
        assert words in told.err
        assert "canary" not in told.err


async def test_a_contract_test_tells_check_by_check_and_fails_with_exit_code_1(
    mimawari: Mimawari, shop: Shop
) -> None:
    async def test(*arguments: str) -> Ran:
        return await asyncio.to_thread(
            mimawari,
            *("contract", "test", "--url", shop.url, *arguments),
            MARKET_API_TOKEN="right-token",
        )

    reading = await test("--order", "O-1")
    assert reading.code == 0
    assert "pass  hold: plan" in reading.out
    assert "skip  all that changes" in reading.out
    assert " 0 failed" in reading.out
    assert await shop.market.effects() == []
    shop.market.faults.switch_on(Fault.TOKEN_IGNORED)
    writing = await test("--order", "O-1", "--write")
    assert writing.code == 1
    assert "FAIL  hold: a made-up plan token" in writing.out
    as_json = await test("--order", "O-konbini", "--write", "--json")
    assert as_json.code == 1
    told = json.loads(as_json.out)
    assert told["ok"] is False
    standings = {check["check"]: check["standing"] for check in told["checks"]}
    assert standings["hold: a made-up plan token"] == "fail"
    assert standings["capabilities"] == "pass"
    assert "right-token" not in reading.out + writing.out + as_json.out


async def test_a_contract_test_of_a_verb_map_uses_the_secret_that_the_map_names(
    mimawari: Mimawari, tmp_path: Path
) -> None:
    async with serve_old_shop() as old_shop:
        text = map_text(old_shop).replace(old_shop.url, "http://live.example")
        (tmp_path / "verbs.yml").write_text(text, encoding="utf-8")
        arguments = ("--verb-map", "verbs.yml", "--url", f"{old_shop.url}/admin")
        told = await asyncio.to_thread(
            mimawari,
            *("contract", "test", *arguments, "--order", "A-1", "--order", "A-2", "--write"),
            OLD_SHOP_TOKEN=SECRET,
        )
        assert told.code == 0, told.out
        assert "pass  cancel: carried out" in told.out
        assert ("cancel:void_only", "A-1") in old_shop.effects


def test_the_doctor_reads_the_verb_map_and_knocks_at_its_shop(
    mimawari: Mimawari, tmp_path: Path
) -> None:
    def marketplace(text: str, **settings: str) -> dict[str, Any]:
        (tmp_path / "verbs.yml").write_text(text, encoding="utf-8")
        told = mimawari("doctor", "--json", VERB_MAP_FILE="verbs.yml", **settings)
        found: dict[str, Any] = {one["what"]: one for one in json.loads(told.out)}
        return dict(found["marketplace API"])

    sent = (
        "base_url: http://127.0.0.1:9\nauth: {token_env: SHOP_TOKEN}\nverbs: {hold: {class: none,"
        " execution_bound_s: 1, request: {path: '/o/{subject_id}'}}}"
    )
    assert "line 1: `verbs.hodl`" in marketplace("verbs: {hodl: {class: manual}}")["problem"]
    assert "Set SHOP_TOKEN" in marketplace(sent)["problem"]
    assert "cannot be reached" in marketplace(sent, SHOP_TOKEN="s")["problem"]
    by_hand = marketplace("verbs: {hold: {class: manual}}")
    assert by_hand["ok"]
    assert "1 of 12 verbs" in by_hand["told"]
    assert "by hand: hold" in by_hand["told"]
    half = marketplace("verbs: {hold: {class: manual}}", MARKET_API_TOKEN="t")
    assert "Set MARKET_API_URL" in half["problem"]


def test_an_export_is_verified_without_settings_against_anchors(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase, tmp_path: Path
) -> None:
    write_entries(fresh_ledger.dsn, 5)
    assert (
        mimawari("audit", "export", "--output", "log.jsonl", DATABASE_URL=fresh_ledger.dsn).code
        == 0
    )
    log = tmp_path / "log.jsonl"
    kept = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(kept) == 6
    (tmp_path / "head.json").write_text(json.dumps({"seq": 4, "hash": kept[3]["hash"]}))
    whole = mimawari("audit", "verify", "log.jsonl", "--anchor", "head.json")
    assert (whole.code, "compared with 1 anchor" in whole.out) == (0, True)
    log.write_text("\n".join(json.dumps(entry) for entry in kept[:3]), encoding="utf-8")
    cut = mimawari("audit", "verify", "log.jsonl", "--anchor", "head.json")
    assert cut.code == 1
    assert "BROKEN at entry 4" in cut.err
    missing = mimawari("audit", "verify", "nothing.jsonl")
    assert missing.code == 2
    assert "cannot be read" in missing.err


def test_a_csv_of_the_log_holds_no_formula_and_is_itself_in_the_log(
    mimawari: Mimawari, fresh_ledger: LedgerDatabase
) -> None:
    async def tell() -> None:
        conn = await asyncpg.connect(fresh_ledger.dsn)
        await conn.execute(
            """INSERT INTO ledger.audit_entries
                 (seq, at, actor, tag, subject_kind, subject_id, details, canonical, previous_hash, hash)
               VALUES (0, now(), '=cmd()', 'person:case:claimed', 'order', '@SUM(1)', '{}', '', '', '')"""
        )
        await conn.close()

    run(tell())
    told = mimawari("audit", "export", "--format", "csv", DATABASE_URL=fresh_ledger.dsn)
    head, first, last = list(csv.reader(told.out.splitlines()))
    assert head[:4] == ["seq", "at", "actor", "tag"]
    assert (first[2], first[8]) == ("'=cmd()", "'@SUM(1)")
    assert last[3] == "cli:audit:exported"
    none = mimawari("audit", "export", "--to", "2020-01-01", DATABASE_URL=fresh_ledger.dsn)
    assert (none.code, none.out) == (0, "")
    wrong = mimawari(
        "audit",
        "export",
        "--from",
        "2026-02-01",
        "--to",
        "2026-01-01",
        DATABASE_URL=fresh_ledger.dsn,
    )
    assert wrong.code == 2
