from __future__ import annotations

from datetime import timedelta

from bot.cases.approving import approve
from bot.domain.digests import count, money
from tests.cases.stage import press_of, the_case_of
from tests.digests.stage import DAY, Shop, at, begins, figure_of, number_of, part_of


async def test_a_case_counts_on_the_day_in_the_team_s_zone_on_which_it_was_opened(
    shop: Shop,
) -> None:
    # 00:30 in Tokyo is the day before in UTC.
    for order, when in (("O-1", at(0.5)), ("O-2", at(12)), ("O-3", at(23.9))):
        await shop.open(order, when)
    await shop.open("O-4", at(23.9, days_ago=1))
    await shop.open("O-5", at(24.1))
    figure = figure_of(await shop.digest(), "cases_opened")
    assert figure.value == count(3)
    assert figure.before == count(1)


async def test_a_week_is_averaged_over_the_days_since_the_first_case(shop: Shop) -> None:
    for n, days_ago in enumerate((1, 2, 2, 4)):
        await shop.open(f"O-{n}", at(days_ago=days_ago))
    assert figure_of(await shop.digest(), "cases_opened").week == count(4, over=4)
    await shop.open("O-old", at(days_ago=30))
    assert figure_of(await shop.digest(), "cases_opened").week == count(4, over=7)


async def test_on_the_first_day_there_is_nothing_to_compare_with(shop: Shop) -> None:
    await shop.open("O-1", at())
    figure = figure_of(await shop.digest(), "cases_opened")
    assert (figure.value, figure.before, figure.week) == (count(1), None, None)


async def test_decided_are_cases_judged_fraud_or_not_fraud_and_not_those_held_or_waiting(
    shop: Shop,
) -> None:
    for n in range(1, 7):
        await shop.open(f"O-{n}", at(9, days_ago=1), amount=60_000 if n == 5 else 12_400)
    await shop.cancel("O-1", at(10))
    await shop.cancel("O-2", at(11), effect=False)
    await shop.dismiss("O-3", at(12))
    await shop.hold("O-4", at(13))
    # Above the limit it waits for a second person.
    await shop.cancel("O-5", at(14), effect=False)
    await shop.cancel("O-6", at(20, days_ago=1))
    digest = await shop.digest()
    figure = figure_of(digest, "cases_decided")
    assert figure.value == count(3)
    assert figure.before == count(1)
    told = begins(part_of(digest, "volumes"), "Of the cases decided")
    assert told is not None
    assert (number_of(told, "fraud"), number_of(told, "good")) == (2, 1)


async def test_a_decision_that_was_taken_back_decided_nothing(shop: Shop) -> None:
    await shop.open("O-1", at(9))
    decision_id = await shop.cancel("O-1", at(10), effect=False)
    await shop.execute(
        "UPDATE ledger.operations SET state = 'stopped', ended_at = clock_timestamp()"
    )
    await shop.execute(
        "UPDATE ledger.decisions SET state = 'taken_back' WHERE decision_id = :id", id=decision_id
    )
    assert figure_of(await shop.digest(), "cases_decided").value == count(0)


async def test_money_is_what_was_carried_out_that_day_and_never_added_over_currencies(
    shop: Shop,
) -> None:
    for order, amount in (("O-1", 12_400), ("O-2", 3_000), ("O-3", 500), ("O-4", 7_000)):
        await shop.open(order, at(9, days_ago=1), amount=amount)
    await shop.execute(
        """UPDATE ledger.case_members SET facts = facts || '{"currency": "EUR"}'
            WHERE subject_id = 'O-3'"""
    )
    await shop.hold("O-1", at(10))
    await shop.hold("O-2", at(15, days_ago=1))
    await shop.cancel("O-1", at(16))
    await shop.cancel("O-3", at(17), by="U0SMITH", effect=False)
    await shop.cancel("O-4", at(18), effect=False)
    await approve_eur(shop)
    digest = await shop.digest()
    held = figure_of(digest, "money_held_jpy")
    assert held.value == money({"JPY": 12_400})
    assert held.before == money({"JPY": 3_000})
    assert figure_of(digest, "money_cancelled_jpy").value == money({"JPY": 12_400})
    assert figure_of(digest, "money_cancelled_eur").value == money({"EUR": 500})


async def test_money_of_what_failed_or_was_stopped_did_not_move(shop: Shop) -> None:
    for order in ("O-1", "O-2"):
        await shop.open(order, at(9))
        await shop.cancel(order, at(10), effect=False)
    await shop.execute("UPDATE ledger.operations SET state = 'executing' WHERE subject_id = 'O-1'")
    await shop.execute(
        """UPDATE ledger.operations SET ended_at = :at,
                  state = CASE subject_id WHEN 'O-1' THEN 'failed' ELSE 'stopped' END""",
        at=at(11),
    )
    assert figure_of(await shop.digest(), "money_cancelled").value == money({})


async def approve_eur(shop: Shop) -> None:
    """An unlisted currency needs a second person; let the one in euros be carried out."""
    view = await the_case_of(shop.room, "O-3")
    decision = view.decision
    assert decision is not None
    if decision.decided_at is None:
        await approve(shop.room, press_of(view, "U0TANAKA"), decision.decision_id)
    for change in ("state = 'executing'", "state = 'succeeded', ended_at = :when"):
        await shop.execute(
            f"UPDATE ledger.operations SET {change} WHERE subject_id = 'O-3'"
            + ("" if ":when" in change else " AND cast(:when AS timestamptz) IS NOT NULL"),
            when=at(17),
        )


async def test_an_order_that_was_held_twice_in_a_day_counts_once(shop: Shop) -> None:
    await shop.open("O-1", at(9))
    await shop.hold("O-1", at(10))
    await shop.execute(
        """WITH d AS (
             INSERT INTO ledger.decisions (decision_id, case_id, case_version, action, state, requested_by, reason,
               targets, plans, params_hash, amounts, evidence, approvals_needed, policy_hash, decided_at)
             SELECT 'dec_again', case_id, case_version + 100, action, state, requested_by, reason, targets, plans,
                    params_hash, amounts, evidence, 0, policy_hash, decided_at FROM ledger.decisions
             RETURNING decision_id)
           INSERT INTO ledger.operations (operation_id, decision_id, case_id, verb, subject_kind, subject_id,
             body, body_hash, operation_class, amount, currency, state, ended_at)
           SELECT o.operation_id || 'x', 'dec_again', o.case_id, o.verb, o.subject_kind, o.subject_id, o.body,
                  o.body_hash, o.operation_class, o.amount, o.currency, o.state, o.ended_at + interval '1 hour'
             FROM ledger.operations o, d"""
    )
    assert figure_of(await shop.digest(), "money_held_jpy").value == money({"JPY": 12_400})


async def test_where_the_market_s_clock_is_another_decisions_count_on_its_days(shop: Shop) -> None:
    """A demo whose day lasts a minute: decisions carry the database's time."""
    begin = at(30)
    for n in range(3):
        await shop.execute(
            "INSERT INTO ledger.market_days (day, began_at) VALUES (:day, :began)",
            day=DAY + timedelta(days=n - 1),
            began=begin + timedelta(minutes=n),
        )
    for order, when in (("O-1", at(9)), ("O-2", at(9))):
        await shop.open(order, when)
    await shop.cancel("O-1", begin + timedelta(seconds=90))
    await shop.cancel("O-2", begin + timedelta(seconds=30))
    digest = await shop.digest()
    assert figure_of(digest, "cases_decided").value == count(1)
    assert figure_of(digest, "money_cancelled_jpy").value == money({"JPY": 12_400})


async def test_a_day_without_anything_is_told_as_nothing(shop: Shop) -> None:
    digest = await shop.digest()
    assert figure_of(digest, "cases_opened").value == count(0)
    assert figure_of(digest, "money_held").value == money({})
    assert part_of(digest, "volumes").lines == ()
