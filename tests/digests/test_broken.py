from __future__ import annotations

import pytest

from bot.domain.digests import Part, Sentence
from bot.market.reader import MarketReader
from tests.digests.stage import Shop, at, begins, number_of, part_of


async def broken(shop: Shop) -> Part:
    return part_of(await shop.digest(), "broken")


async def the_line(shop: Shop, words: str) -> Sentence:
    """The only thing that is out of order."""
    (line,) = (await broken(shop)).lines
    assert line.one.startswith(words), line.one
    return line


async def a_tick(shop: Shop, name: str, *, ran_s_ago: float, error: str | None = None) -> None:
    await shop.execute(
        """INSERT INTO ledger.ticks (name, every_s, last_run_at, last_error)
           VALUES (:name, 30, clock_timestamp() - make_interval(secs => :ago), :error)""",
        name=name,
        ago=ran_s_ago,
        error=error,
    )


async def test_where_all_is_well_it_says_so(shop: Shop) -> None:
    await a_tick(shop, "job:digest", ran_s_ago=10)
    await a_tick(shop, "detection:follow_churn", ran_s_ago=20)
    await the_line(shop, "Nothing is broken.")


async def test_a_detection_that_fails_is_named_with_its_reason(shop: Shop) -> None:
    await a_tick(shop, "job:digest", ran_s_ago=10)
    await a_tick(shop, "detection:follow_churn", ran_s_ago=60, error="it took longer than 10 s")
    line = await the_line(shop, "{name} failed at its last run")
    assert line.values["name"].text == "follow_churn"
    assert line.values["reason"].text == "it took longer than 10 s"
    assert 60 <= (number_of(line, "span") or 0) < 90


async def test_a_detection_that_was_taken_away_is_no_news(shop: Shop) -> None:
    await a_tick(shop, "job:digest", ran_s_ago=10)
    await a_tick(shop, "detection:gone", ran_s_ago=90_000, error="whatever it was")
    await a_tick(shop, "detection:gone_too", ran_s_ago=90_000)
    await the_line(shop, "Nothing is broken.")


async def test_a_job_that_does_not_run_while_we_do_is_named(shop: Shop) -> None:
    await a_tick(shop, "job:digest", ran_s_ago=10)
    await a_tick(shop, "job:sync_people", ran_s_ago=400)
    line = await the_line(shop, "{name} has not run for")
    assert line.values["name"].text == "sync_people"


async def test_after_a_stop_the_stop_is_told_and_not_every_job(shop: Shop) -> None:
    await a_tick(shop, "job:digest", ran_s_ago=30_000)
    await a_tick(shop, "detection:follow_churn", ran_s_ago=30_010)
    line = await the_line(shop, "The bot was stopped for")
    assert (number_of(line, "span") or 0) >= 30_000


async def test_a_lost_answer_is_told_with_its_age_and_case(shop: Shop) -> None:
    view = await shop.open("O-1", at(8))
    await shop.cancel("O-1", at(9), effect=False)
    await shop.execute("UPDATE ledger.operations SET state = 'executing'")
    await shop.execute(
        """UPDATE ledger.operations SET state = 'unknown',
                  unknown_since = clock_timestamp() - interval '3 minutes'"""
    )
    line = await the_line(shop, "{case}: the result of the {verb}")
    assert number_of(line, "case") == view.case_id
    assert line.values["verb"].text == "cancel"
    assert line.values["id"].text == "O-1"
    assert 180 <= (number_of(line, "span") or 0) < 210


async def test_what_needs_a_person_is_counted_until_its_case_is_closed(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    await shop.cancel("O-1", at(9), effect=False)
    await shop.execute("UPDATE ledger.operations SET state = 'executing'")
    await shop.execute("UPDATE ledger.operations SET state = 'needs_human', ended_at = now()")
    assert (await the_line(shop, "{count} operation needs a person")).count == 1
    await shop.execute("UPDATE ledger.cases SET state = 'done', closed_at = now()")
    await the_line(shop, "Nothing is broken.")


async def test_what_slack_has_not_taken_is_told_with_slack_s_word(shop: Shop) -> None:
    await shop.open("O-1", at(8))
    await the_line(shop, "Nothing is broken.")
    await shop.execute("UPDATE ledger.cards SET last_error = 'not_in_channel'")
    await shop.execute("UPDATE ledger.cases SET updated_at = now() - interval '11 minutes'")
    await shop.execute("UPDATE ledger.posts SET state = 'sent'")
    line = await the_line(shop, "{count} message waits for Slack, for {span}: {reason}")
    assert line.count == 1
    assert line.values["reason"].text == "not_in_channel"
    # A case that waits in the queue owes nobody a card.
    await shop.execute("UPDATE ledger.cards SET in_channel = false")
    await the_line(shop, "Nothing is broken.")


async def test_roles_that_are_too_old_are_told_since_no_money_moves(shop: Shop) -> None:
    await shop.execute("UPDATE ledger.people SET synced_at = now() - interval '299 seconds'")
    await the_line(shop, "Nothing is broken.")
    await shop.execute("UPDATE ledger.people SET synced_at = now() - interval '301 seconds'")
    await the_line(shop, "Roles were last synced")


@pytest.mark.parametrize(
    ("name", "words"),
    [("all", "{name} paused all operations"), ("cancel", "{name} paused {what}")],
)
async def test_who_paused_what_and_why_is_told(shop: Shop, name: str, words: str) -> None:
    await shop.execute(
        """INSERT INTO ledger.switches (name, paused_by, reason, paused_at)
           VALUES (:name, 'U0SUZUKI', '決済障害', now())
           ON CONFLICT (name) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason,
             paused_at = excluded.paused_at""",
        name=name,
    )
    line = await the_line(shop, words)
    assert line.values["name"].text == "鈴木"
    assert line.values["reason"].text == "決済障害"


async def test_an_emergency_that_nobody_has_reviewed_is_told_until_somebody_does(
    shop: Shop,
) -> None:
    await shop.execute(
        """INSERT INTO ledger.proposals (proposal_id, kind, about, body, body_hash, proposed_by, approvals_needed)
           VALUES ('prop_1', 'review', 'dec_1', '{"case": 2001}', repeat('0', 64), 'U0SUZUKI', 1)"""
    )
    line = await the_line(shop, "{case}: {name} let it through alone")
    assert line.values["name"].text == "鈴木"
    await shop.execute(
        """UPDATE ledger.proposals SET state = 'rejected', ended_at = now(), ended_by = 'U0TANAKA'"""
    )
    await the_line(shop, "Nothing is broken.")


async def test_a_marketplace_that_is_away_is_told_without_its_password(shop: Shop) -> None:
    reader = MarketReader("postgresql://u:secret-word@127.0.0.1:9/d")
    part = part_of(await shop.digest(reader=reader), "broken")
    line = begins(part, "The marketplace cannot be read")
    assert line is not None
    assert "secret-word" not in str(line)
