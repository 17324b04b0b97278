"""The ledger and the marketplace are compared, and what differs is a card of its own."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bot.cases.reconciling import alarm_overdue, reconcile
from bot.domain.cases import CaseState
from bot.jobs.sync_capabilities import sync_capabilities
from bot.market.marketplace import Marketplace, MarketUnreachable
from bot.playground.market.faults import Fault
from tests.journeys.stage import AGENT, ALERTS, Stage, buttons_of

DISAGREE = "台帳とマーケットの食い違い"


async def held(stage: Stage, order: str) -> str:
    """A hold that was carried out long enough ago; returns its operation's id."""
    await stage.self_dealing(order)
    await stage.detect_now()
    card = await stage.card_with(order)
    assert (await stage.press(AGENT, card, "hold")).ok
    await stage.until(lambda: can_release(stage) or None)
    async with stage.engine.begin() as conn:
        key: str = (
            await conn.execute(
                text(
                    """UPDATE ledger.operations SET ended_at = ended_at - interval '5 minutes'
                        WHERE subject_id = :order RETURNING operation_id"""
                ),
                {"order": order},
            )
        ).scalar_one()
    return key


def can_release(stage: Stage) -> bool:
    return any(name.startswith("release|") for name in buttons_of(stage.cards()[0]))


async def compare(stage: Stage) -> int:
    assert stage.bot is not None
    api: Marketplace = stage.bot._api
    return await reconcile(stage.bot.room, api, stage.bot._reader.facts, since=None)


async def drift_cards(stage: Stage) -> list[str]:
    return [card.text for card in stage.cards() if DISAGREE in card.text]


async def test_where_both_agree_nothing_is_said(stage: Stage) -> None:
    await held(stage, "O-1")
    assert await compare(stage) == 0
    assert await drift_cards(stage) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM backoffice.operations WHERE idempotency_key = $1", "受け取っていない"),
        (
            """UPDATE backoffice.operations SET state = 'failed',
                 outcome = jsonb_set(outcome, '{state}', '"failed"') WHERE idempotency_key = $1""",
            "未実行",
        ),
    ],
)
async def test_what_succeeded_for_us_and_not_for_the_marketplace_is_shown_once(
    stage: Stage, change: str, said: str
) -> None:
    key = await held(stage, "O-1")
    await stage.market.pool.execute(change, key)
    async with stage.engine.begin() as conn:
        # The bot's own comparison after its start may have come just before.
        await conn.execute(text("UPDATE ledger.operations SET reconciled_at = NULL"))
    assert await compare(stage) == 1
    found = await stage.until(
        lambda: next((card for card in stage.cards() if said in str(card.blocks)), None)
    )
    assert "実行済み" in str(found.blocks)
    async with stage.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.operations SET reconciled_at = NULL"))
    assert await compare(stage) == 1
    assert await stage.count("findings") == 2
    async with stage.engine.connect() as conn:
        tags = (
            await conn.execute(
                text(
                    "SELECT count(*) FROM ledger.audit_entries WHERE tag = 'executor:operation:drifted'"
                )
            )
        ).scalar_one()
    assert tags == 1


async def test_what_was_done_under_a_key_that_we_lost_is_shown(stage: Stage) -> None:
    key = await held(stage, "O-1")
    # As after a restore of the ledger: the marketplace knows more than we do.
    await stage.market.pool.execute(
        """INSERT INTO backoffice.operations (operation_id, idempotency_key, kind, subject_id, body,
             request_hash, state, http_status, outcome, received_at)
           SELECT 'other', 'op_lost', kind, subject_id, body, request_hash, state, http_status, outcome, received_at
             FROM backoffice.operations WHERE idempotency_key = $1""",
        key,
    )
    assert await compare(stage) == 1
    await stage.until(lambda: "記録なし" in str(stage.cards()[0].blocks) or None)
    async with stage.engine.connect() as conn:
        known = await conn.scalar(
            text("SELECT window_key FROM ledger.findings WHERE detection = 'ledger_drift'")
        )
    assert known == "op_lost"


async def test_a_marketplace_that_is_away_is_no_drift(stage: Stage) -> None:
    await held(stage, "O-1")
    async with stage.engine.begin() as conn:
        before = (await conn.execute(text("SELECT count(*) FROM ledger.findings"))).scalar_one()
        await conn.execute(
            text("UPDATE ledger.ticks SET due_at = clock_timestamp() WHERE name = 'job:reconcile'")
        )
    assert stage.bot is not None
    url, stage.bot._api._base_url = stage.bot._api._base_url, "http://127.0.0.1:9"  # type: ignore[attr-defined]
    try:
        with pytest.raises(MarketUnreachable):
            await compare(stage)
    finally:
        stage.bot._api._base_url = url  # type: ignore[attr-defined]
    assert await stage.count("findings") == before


async def test_an_unknown_outcome_reminds_then_alarms_and_a_person_can_say_what_became_of_it(
    stage: Stage,
) -> None:
    assert stage.bot is not None
    # A verb of which no look-up tells, and an answer that is lost: only a person can find out.
    stage.market.classes["hold"] = "none"
    await sync_capabilities(stage.bot.room, stage.bot._api)
    stage.market.faults.switch_on(Fault.ANSWER_LOST, verb="hold", times=1)
    await stage.self_dealing("O-1")
    await stage.detect_now()
    assert (await stage.press(AGENT, await stage.card_with("O-1"), "hold")).ok
    card = await stage.until(
        lambda: next((c for c in stage.cards() if "act:by_hand" in buttons_of(c)), None)
    )
    async with stage.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.operations SET unknown_since = unknown_since - interval '16 minutes',
                     ended_at = ended_at - interval '16 minutes'"""
            )
        )
    assert await alarm_overdue(stage.bot.room) == 1
    assert await alarm_overdue(stage.bot.room) == 0
    async with stage.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.operations SET unknown_since = unknown_since - interval '20 minutes',
                     ended_at = ended_at - interval '20 minutes'"""
            )
        )
    assert await alarm_overdue(stage.bot.room) == 1
    assert await alarm_overdue(stage.bot.room) == 0
    await stage.until(
        lambda: [m for m in stage.workspace.messages(ALERTS) if "結果不明のまま" in m.text] or None
    )
    assert (await stage.press(AGENT, card, "by_hand")).ok
    modal = await stage.modal(AGENT)
    block = next(b for b in modal.blocks if b.get("type") == "input")
    options = [o["value"] for o in block["element"]["options"]]  # type: ignore[index]
    ticks: dict[str, object] = {str(block["block_id"]): options}
    # Without a word of how they know, nothing is recorded.
    assert not (await stage.submit(AGENT, ticks)).ok
    assert (await stage.submit(AGENT, {**ticks, "words": "管理画面で保留を確認"})).ok
    await stage.until(
        lambda: (
            [m for m in stage.workspace.thread(ALERTS, card.ts) if "管理画面で保留を確認" in m.text]
            or None
        )
    )
    async with stage.engine.connect() as conn:
        state, by = (
            await conn.execute(text("SELECT state, resolved_by FROM ledger.operations"))
        ).one()
    assert (state, by) == ("succeeded", "human")
    assert (await stage.case(card)).state is CaseState.OPEN


async def test_what_a_colleague_changed_since_is_not_undone_though_the_card_did_not_know(
    stage: Stage,
) -> None:
    await held(stage, "O-1")
    card = stage.cards()[0]
    # Released in the back office, and held again for a reason of their own; nobody has looked since.
    await stage.market.pool.execute(
        "UPDATE market.orders SET held_at = now() - interval '1 minute' WHERE order_id = 'O-1'"
    )
    assert (await stage.press(AGENT, card, "release")).ok
    await stage.told(AGENT, "ほかの人が変更したため")
    assert await stage.count("decisions") == 1
    order = await stage.order("O-1")
    assert order["held_at"] is not None
