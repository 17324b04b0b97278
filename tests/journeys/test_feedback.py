"""What decisions, their overturning and chargebacks teach: labels, what was missed, and the order of the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from bot.cases.ranking import rank_cases
from bot.domain.cases import CaseState
from bot.domain.findings import Severity
from bot.domain.subjects import Subject, SubjectKind
from bot.jobs.chargebacks import learn_from_chargebacks
from bot.ledger import feedback, queue
from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    APPROVER,
    APPROVER_2,
    Stage,
    buttons_of,
    text_of,
)
from tests.journeys.test_actions import an_order, found

WHY = "The customer sent photographs"


def an_order_of(order: str) -> dict[str, Any]:
    return {"subject": Subject(SubjectKind.ORDER, order), "window_key": order}


async def dismissed(stage: Stage, order: str, **changes: Any) -> Message:
    """A case about an order that the agent judged not to be fraud."""
    # Its seller was paid: else a chargeback is a finding of another detection, which joins the case.
    await an_order(stage, order, payout_at=datetime.now(UTC) - timedelta(days=1))
    card = await found(stage, **an_order_of(order), **changes)
    await stage.press(AGENT, card, "dismiss")
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Known customer or family"})).ok
    return await closed(stage, card)


async def closed(stage: Stage, card: Message) -> Message:
    """The card once it offers to overturn its decision."""
    return await with_button(stage, card, "overturn")


async def with_button(stage: Stage, card: Message, name: str) -> Message:
    return await stage.until(
        lambda: next(
            (
                one
                for one in stage.cards()
                if one.ts == card.ts
                and any(b.removeprefix("act:").startswith(name) for b in buttons_of(one))
            ),
            None,
        ),
        what=lambda: f"a card with {name}; there are {[buttons_of(one) for one in stage.cards()]}",
    )


async def labels(stage: Stage) -> Mapping[str, tuple[str | None, str | None]]:
    async with stage.engine.connect() as conn:
        rows = await conn.execute(
            text(
                # Others of the pack look at chargebacks too, and find the order after it.
                """SELECT subject_id, verdict, verdict_source FROM ledger.findings
                    WHERE detection = 'self_dealing_link'"""
            )
        )
        return {row.subject_id: (row.verdict, row.verdict_source) for row in rows}


async def overturn(stage: Stage, user: str, card: Message) -> str:
    """What the person's modal says in the end; empty when it closed."""
    await stage.press(user, card, "overturn")
    await stage.modal(user)
    assert (await stage.submit(user, {"words": WHY})).ok
    view = stage.workspace.open_view(user)
    return "" if view is None else text_of(view)


async def test_another_person_overturns_a_dismissal_and_the_case_is_open_again(
    stage: Stage,
) -> None:
    card = await dismissed(stage, "O-1")
    assert (await labels(stage))["O-1"] == ("good", "decision")

    assert "ほかの方" in await overturn(stage, AGENT, card)
    assert (await stage.case(card)).state is CaseState.DISMISSED
    assert await overturn(stage, APPROVER, card) == ""

    assert (await stage.case(card)).state is CaseState.OPEN
    assert (await labels(stage))["O-1"] == ("fraud", "overturned")
    assert (await stage.verified()).ok
    await stage.until(
        lambda: any(WHY in one.text for one in stage.workspace.thread(ALERTS, card.ts)) or None
    )
    # It can be decided again, by anybody who may.
    assert (await stage.press(AGENT_2, await with_button(stage, card, "hold"), "hold")).ok


async def test_an_overturned_suspension_counts_against_its_detection_and_offers_the_repair(
    stage: Stage,
) -> None:
    await an_order(stage, "O-2")
    card = await found(stage, **an_order_of("O-2"))
    await stage.press(APPROVER, card, "cancel")
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER, {"reason": "Stolen card"})).ok
    waits = next(one for one in stage.cards() if one.ts == card.ts)
    if (await stage.case(card)).state is CaseState.AWAITING_APPROVAL:
        await stage.press(APPROVER_2, waits, "approve")
        await stage.modal(APPROVER_2)
        assert (await stage.submit(APPROVER_2)).ok
    card = await closed(stage, card)
    await stage.press(AGENT_2, card, "overturn")
    modal = await stage.modal(AGENT_2)
    assert "元に戻せません" in text_of(modal)
    letter: Any = next(block for block in modal.blocks if block["block_id"] == "letter")
    assert "申し訳" in letter["element"]["initial_value"]
    assert (await stage.submit(AGENT_2, {"words": WHY})).ok
    assert (await labels(stage))["O-2"] == ("good", "overturned")
    async with stage.engine.connect() as conn:
        assert await feedback.read_overturned(conn, timedelta(days=1)) == {"self_dealing_link": 1}
    # Once is enough.
    assert "取り消されています" in await overturn(stage, AGENT_2, await closed(stage, card))


async def a_chargeback(stage: Stage, order: str, **columns: Any) -> None:
    at = columns.pop("received_at", datetime.now(UTC) - timedelta(seconds=1))
    await stage.market.pool.execute(
        """INSERT INTO market.chargebacks (chargeback_id, order_id, amount, currency, reason, received_at)
           VALUES ($1, $2, 12400, 'JPY', 'fraud', $3)""",
        f"cb-{order}",
        order,
        at,
    )


async def learn(stage: Stage) -> int:
    assert stage.bot is not None
    return await learn_from_chargebacks(stage.bot.room, stage.bot._reader)


async def test_a_chargeback_labels_what_was_found_and_no_decision_unsays_it(stage: Stage) -> None:
    card = await dismissed(stage, "O-3")
    await an_order(stage, "O-4", ordered_at=datetime.now(UTC) + timedelta(seconds=1))
    await a_chargeback(stage, "O-3")
    await a_chargeback(stage, "O-4")
    assert await learn(stage) == 2
    assert await learn(stage) == 0
    assert (await labels(stage))["O-3"] == ("fraud", "chargeback")

    async with stage.engine.begin() as conn:
        now = datetime.now(UTC)
        told = await feedback.read_chargebacks(conn, now - timedelta(days=1), now)
    # O-3 was ordered before anything was detected here: nobody could have warned of it in time.
    assert told.count == 1
    assert told.missed == 1

    assert await overturn(stage, APPROVER, card) == ""
    await stage.press(AGENT, await with_button(stage, card, "dismiss"), "dismiss")
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Known customer or family"})).ok
    assert (await labels(stage))["O-3"] == ("fraud", "chargeback")


async def test_rules_and_queue_tell_what_was_learned(stage: Stage) -> None:
    await dismissed(stage, "O-5")
    later = datetime.now(UTC) + timedelta(seconds=1)
    await an_order(stage, "O-6", ordered_at=later)
    await found(stage, **an_order_of("O-6"), amount=12400)
    await a_chargeback(stage, "O-6", received_at=datetime.now(UTC))
    assert await learn(stage) == 1
    assert stage.bot is not None
    await rank_cases(stage.bot.room)
    assert (await stage.workspace.command(AGENT, ALERTS, "/cre", "rules")).ok
    pages = 1
    for page in range(2, 6):
        assert (await stage.workspace.command(AGENT, ALERTS, "/cre", f"rules {page}")).ok
        pages = page
    await stage.until(lambda: True if len(stage.workspace.ephemerals(AGENT)) >= pages + 1 else None)
    told = "\n".join(message.text for message in stage.workspace.ephemerals(AGENT))
    assert "チャージバック1件のうち1件を事前に検知" in told
    assert (await stage.workspace.command(AGENT, ALERTS, "/cre", "queue")).ok
    await stage.told(AGENT, "不正の見込み")


async def test_the_queue_puts_what_leaves_soon_first_and_then_what_is_likely_and_dear(
    stage: Stage,
) -> None:
    now = datetime.now(UTC)
    for order, amount, due, detection in (
        ("Q-doubted", 30_000, now + timedelta(days=3), "noisy"),
        ("Q-likely", 20_000, now + timedelta(days=3), "sound"),
        ("Q-soon", 1_000, now + timedelta(minutes=30), "noisy"),
    ):
        await an_order(stage, order, total_amount=amount, ship_due_at=due)
        await found(
            stage, **an_order_of(order), severity=Severity.P1, detection=detection, amount=amount
        )
    for n in range(12):
        await an_order(stage, f"N-{n}")
        await wrong_at_once(stage, f"N-{n}")
    assert stage.bot is not None
    await rank_cases(stage.bot.room)
    async with stage.engine.connect() as conn:
        entries = await queue.read_queue(conn, 20, now=datetime.now(UTC))
    entries = [e for e in entries if e.amounts[0][0] in {1_000, 20_000, 30_000}]
    amounts = [entry.amounts[0][0] for entry in entries]
    assert amounts == [1_000, 20_000, 30_000]
    assert entries[1].probability is not None
    assert entries[2].probability is not None
    assert entries[1].probability > entries[2].probability


async def test_ranking_waits_for_nobody_who_works_on_a_case(stage: Stage) -> None:
    for order in ("W-1", "W-2"):
        await an_order(stage, order)
        await found(stage, **an_order_of(order), severity=Severity.P1, amount=1_000)
    assert stage.bot is not None
    async with stage.engine.connect() as conn:
        await conn.execute(text("SELECT FROM ledger.cases WHERE case_id = 2002 FOR UPDATE"))
        async with asyncio.timeout(5):
            await rank_cases(stage.bot.room)
        ranked = await conn.execute(text("SELECT case_id FROM ledger.case_ranks"))
        assert [row.case_id for row in ranked] == [2001]
    await rank_cases(stage.bot.room)
    async with stage.engine.connect() as conn:
        ranked = await conn.execute(text("SELECT case_id FROM ledger.case_ranks ORDER BY 1"))
        assert [row.case_id for row in ranked] == [2001, 2002]


async def wrong_at_once(stage: Stage, order: str) -> None:
    """A finding of the noisy detection that was wrong, as a decision would have labelled it."""
    await found(stage, **an_order_of(order), detection="noisy")
    async with stage.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.findings SET verdict = 'good', verdict_source = 'decision'
                    WHERE subject_id = :order"""
            ),
            {"order": order},
        )
