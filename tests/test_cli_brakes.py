"""The brakes from a shell: it may pause, and only ask for what two people must agree to."""

from __future__ import annotations

import json

from sqlalchemy import text
from sqlalchemy.pool import NullPool

from bot.ledger.engine import create_engine
from tests.conftest import run
from tests.test_cli import Mimawari, mimawari

__all__ = ["mimawari"]


def read(dsn: str, sql: str) -> list[tuple[object, ...]]:
    async def rows() -> list[tuple[object, ...]]:
        engine = create_engine(dsn, poolclass=NullPool)
        async with engine.connect() as conn:
            found = [tuple(row) for row in await conn.execute(text(sql))]
        await engine.dispose()
        return found

    return run(rows())


def test_a_shell_pauses_one_action_and_asks_for_two_people(
    mimawari: Mimawari, ledger_dsn: str
) -> None:
    settings = {
        "DATABASE_URL": ledger_dsn,
        "ALERT_CHANNEL": "C0ALERTS",
        "SECURITY_CHANNEL": "C0SEC",
    }
    done = mimawari("pause", "refund", "--reason", "double refunds reported", **settings)
    assert done.code == 0, done.err
    assert "Paused: refund" in done.out
    switches = read(ledger_dsn, "SELECT name, paused_by, reason FROM ledger.switches")
    assert switches == [("refund", "cli", "double refunds reported")]
    told = read(
        ledger_dsn, "SELECT channel FROM ledger.posts WHERE kind = 'notice' ORDER BY channel"
    )
    assert told == [("C0ALERTS",), ("C0SEC",)]

    again = mimawari("pause", "refund", "--reason", "once more", **settings)
    assert again.code == 2
    assert "already" in again.err
    assert "double refunds reported" in again.err

    asked = mimawari("resume", "refund", **settings)
    assert asked.code == 0, asked.err
    assert "2 people must approve it" in asked.out
    assert read(ledger_dsn, "SELECT paused_at IS NOT NULL FROM ledger.switches") == [(True,)]
    assert read(ledger_dsn, "SELECT kind, about, approvals_needed FROM ledger.proposals") == [
        ("resume", "refund", 2)
    ]
    assert read(ledger_dsn, "SELECT actor, tag FROM ledger.audit_entries ORDER BY seq") == [
        ("cli", "person:effects:paused"),
        ("cli", "person:proposal:made"),
    ]


def test_a_shell_is_told_what_it_got_wrong(mimawari: Mimawari, ledger_dsn: str) -> None:
    settings = {"DATABASE_URL": ledger_dsn, "ALERT_CHANNEL": "C0ALERTS"}
    unknown = mimawari("pause", "refunds", "--reason", "x", **settings)
    assert unknown.code == 2
    assert "refunds" in unknown.err
    assert "cancel" in unknown.err
    idle = mimawari("resume", **settings)
    assert idle.code == 2
    assert "not paused" in idle.err
    assert mimawari("pause", **settings).code == 2
    assert read(ledger_dsn, "SELECT count(*) FROM ledger.switches") == [(0,)]


def test_the_doctor_tells_of_brakes_that_are_set_at_the_start(mimawari: Mimawari) -> None:
    told = mimawari("doctor", "--json", DRY_RUN="true", PAUSED="refund, cancel")
    brakes = [one["problem"] for one in json.loads(told.out) if one["what"] == "brakes"]
    assert any("nothing is changed" in problem for problem in brakes)
    assert any("refund, cancel" in problem for problem in brakes)
    wrong = mimawari("doctor", "--json", PAUSED="refunds")
    assert any("refunds" in (one["problem"] or "") for one in json.loads(wrong.out))
