"""`mimawari rules`: what a detection would have posted, what it costs, its SQL to paste, and a new one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from bot.domain.errors import SayableError
from tests.conftest import run
from tests.detections.heads import SOUND, write_detection


@pytest.fixture
def shop(market_dsn: str) -> str:
    """Four dear orders of the last days by two buyers; an older one, and a cheap one."""
    now = datetime.now(UTC)

    async def sell() -> None:
        conn = await asyncpg.connect(market_dsn)
        try:
            await conn.execute(
                "INSERT INTO market.accounts (account_id, display_name, full_name, is_seller, status, created_at,"
                " updated_at) VALUES ('B1', 'hana', '山田花子', false, 'active', $1, $1)",
                now - timedelta(days=90),
            )
            for order, buyer, amount, age in (
                ("O-OLD", "B9", 900_000, timedelta(days=9)),
                ("O-1", "B1", 150_000, timedelta(days=5)),
                ("O-2", "B1", 250_000, timedelta(days=2)),
                ("O-3", "B3", 350_000, timedelta(hours=3)),
                ("O-CHEAP", "B4", 1_000, timedelta(hours=3)),
            ):
                await conn.execute(
                    """INSERT INTO market.orders (order_id, buyer_id, seller_id, status, total_amount,
                                                  payment_method, ordered_at, updated_at)
                       VALUES ($1, $2, 'S1', 'paid', $3, 'card', $4, $4)""",
                    order,
                    buyer,
                    amount,
                    now - age,
                )
        finally:
            await conn.close()

    run(sell())
    return market_dsn


def mimawari(*words: str, **settings: str) -> Result:
    # Only what is given counts, whatever the environment of the tests says.
    return CliRunner(env={"DETECTIONS_DIR": "", **settings}).invoke(
        cli, ["rules", *words], catch_exceptions=False
    )


def with_buyer(folder: Path) -> str:
    column = "payment_method AS method"
    return str(write_detection(folder, (column, f"{column}, ARRAY[buyer_id] AS account_ids")))


def test_try_draws_the_cards_and_stores_nothing(
    shop: str, market_reader_dsn: str, tmp_path: Path
) -> None:
    assert shop
    told = mimawari(
        "try", with_buyer(tmp_path), "--locale", "en", MARKET_DATABASE_URL=market_reader_dsn
    )
    assert told.exit_code == 0, told.output
    assert "large_order: 3 findings in 2 cases over 7 days" in told.output
    # Two orders of one buyer share a case; P2 waits in the queue by the built-in policy.
    assert "in the queue, without a card" in told.output
    assert "Suspected large order" in told.output
    assert "2 orders" in told.output
    assert "¥250,000" in told.output
    assert "O-OLD" not in told.output
    assert "O-CHEAP" not in told.output
    assert "山田花子" not in told.output
    assert "[" in told.output.splitlines()[-1]
    japanese = mimawari("try", with_buyer(tmp_path), MARKET_DATABASE_URL=market_reader_dsn)
    assert "高額注文の疑い" in japanese.output
    urgent = str(write_detection(tmp_path, ("severity: P2", "severity: P1")))
    one = mimawari("try", urgent, "--days", "1", MARKET_DATABASE_URL=market_reader_dsn)
    assert "1 findings in 1 cases over 1 days" in one.output
    assert "a card in the channel" in one.output


def test_try_says_when_its_cap_would_not_hold_it(
    shop: str, market_reader_dsn: str, tmp_path: Path
) -> None:
    assert shop
    path = write_detection(tmp_path, ("daily_cap: 50", "daily_cap: 1"))
    told = mimawari("try", str(path), "--days", "2", MARKET_DATABASE_URL=market_reader_dsn)
    assert "flood" not in told.output
    few = write_detection(
        tmp_path, ("daily_cap: 50", "daily_cap: 1"), ("default: 100000", "default: 1")
    )
    told = mimawari("try", str(few), "--days", "1", MARKET_DATABASE_URL=market_reader_dsn)
    assert "more than its daily cap of 1" in told.output


@pytest.mark.parametrize("command", ["try", "explain"])
def test_what_needs_the_marketplace_says_which_setting(command: str, tmp_path: Path) -> None:
    with pytest.raises(SayableError, match="Set MARKET_DATABASE_URL"):
        mimawari(command, str(write_detection(tmp_path)), MARKET_DATABASE_URL="")


def test_explain_prints_the_plan_or_the_sql(
    shop: str, market_reader_dsn: str, tmp_path: Path
) -> None:
    assert shop
    path = str(write_detection(tmp_path))
    plan = mimawari("explain", path, MARKET_DATABASE_URL=market_reader_dsn)
    assert "market.orders" in plan.output
    assert "No large relation is read whole" in plan.output
    psql = mimawari("explain", path, "--sql", MARKET_DATABASE_URL="")
    assert "BEGIN TRANSACTION READ ONLY" in psql.output
    assert ":least" not in psql.output
    assert "100000" in psql.output
    redash = mimawari("explain", path, "--sql", "--for", "redash", MARKET_DATABASE_URL="")
    assert "now()" in redash.output
    assert 'FROM "market"."orders"' in redash.output


def test_new_check_and_test_work_one_after_the_other(tmp_path: Path) -> None:
    written = mimawari("new", "many_gift_cards", DETECTIONS_DIR=str(tmp_path))
    assert written.exit_code == 0, written.output
    checked = mimawari("check", str(tmp_path / "many_gift_cards.sql"), MARKET_DATABASE_URL="")
    assert checked.output.splitlines() == ["ok    many_gift_cards"]
    listed = mimawari("list", DETECTIONS_DIR=str(tmp_path))
    assert "many_gift_cards" in listed.output
    assert "shadow" in listed.output


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "large_order.sql"
    path.write_text(SOUND.replace("window: 24h", "window: tomorrow"), encoding="utf-8")
    told = mimawari("list", DETECTIONS_DIR=str(tmp_path))
    assert told.exit_code == 1
    assert f"{path}:11: window" in told.output


def test_check_names_what_cannot_run_at_this_marketplace(
    market_dsn: str, market_reader_dsn: str, tmp_path: Path
) -> None:
    assert market_dsn
    path = write_detection(tmp_path, (":least\n", ":least AND order_id = 1::int\n"))
    told = mimawari("check", str(path), MARKET_DATABASE_URL=market_reader_dsn)
    assert "it cannot run here" in told.output
    assert "operator does not exist" in told.output


def test_what_would_tell_nothing_new_is_only_counted(
    shop: str, market_reader_dsn: str, tmp_path: Path
) -> None:
    """The same accounts, found again in each window, are news only where the amount rose."""
    assert shop
    path = write_detection(
        tmp_path,
        ("subject: order", "subject: account"),
        ("SELECT order_id AS", "SELECT buyer_id AS"),
        ("total_amount AS amount", "100 AS amount"),
    )
    told = mimawari("try", str(path), MARKET_DATABASE_URL=market_reader_dsn)
    assert "2 findings in 2 cases" in told.output
    assert "1 more of the same would have told nothing new" in told.output
