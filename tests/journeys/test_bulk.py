"""One decision about a ring of many: chosen page by page, confirmed with its sum, carried out each by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.cases.opening import open_findings
from bot.domain.cases import CaseState, OperationState
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.playground.workspace.state import Message
from bot.playground.workspace.views import View
from tests.builders import a_finding
from tests.journeys.stage import AGENT, APPROVER, APPROVER_2, Stage, text_of
from tests.journeys.test_every_click import roles_are
from tests.playground.market.stage import add_account, add_order

REASON = "Stolen card"


async def a_ring(stage: Stage, count: int, *, amounts: Sequence[int] = (1000, 5000)) -> Message:
    """A case over so many orders of two buyers, every other one of each."""
    assert stage.bot is not None
    now = datetime.now(UTC)
    ids = [f"R-{n:04}" for n in range(count)]
    async with stage.market.pool.acquire() as conn, conn.transaction():
        for account in ("ring-buyer-0", "ring-buyer-1", "ring-seller"):
            await add_account(conn, account, is_seller=account == "ring-seller", updated_at=now)
        for n, order in enumerate(ids):
            await add_order(
                conn,
                order,
                buyer_id=f"ring-buyer-{n % 2}",
                seller_id="ring-seller",
                total_amount=amounts[n % len(amounts)],
                discount_amount=0,
                points_amount=0,
                ordered_at=now - timedelta(days=2),
                paid_at=now - timedelta(days=2),
                updated_at=now,
            )
    finding = a_finding(
        subject=Subject(SubjectKind.ORDER, ids[0]),
        order_ids=tuple(ids),
        account_ids=(),
        amount=None,
    )
    subjects = [Subject(SubjectKind.ORDER, order) for order in ids]
    facts = await stage.bot._reader.facts(subjects)
    await open_findings(stage.bot.room, [finding], facts)
    return await stage.card_with(f"注文{count:,}件")


def groups(view: View) -> list[Any]:
    """The blocks of checkboxes on the page."""
    return [one for one in view.blocks if str(one.get("block_id", "")).startswith("targets")]


def _ids(options: Sequence[Any]) -> list[str]:
    return [str(option["value"]).partition(":")[2] for option in options]


def ticked_on(view: View) -> list[str]:
    """What stands ticked on the page, by id."""
    return _ids([o for one in groups(view) for o in one["element"].get("initial_options", [])])


def shown_on(view: View) -> list[str]:
    return _ids([o for one in groups(view) for o in one["element"]["options"]])


async def turn(stage: Stage, user: str, name: str, **values: Any) -> View:
    """Press a button of the page; the modal that stands there then."""
    before = stage.workspace.open_view(user)
    assert before is not None
    drawn = before.hash
    assert (await stage.workspace.view_click(user, f"act:{name}", values=values)).ok

    def redrawn() -> View | None:
        view = stage.workspace.open_view(user)
        return view if view is not None and view.hash != drawn else None

    return await stage.until(redrawn)


async def test_a_ring_is_chosen_page_by_page_and_only_the_chosen_are_cancelled(
    stage: Stage,
) -> None:
    card = await a_ring(stage, 70, amounts=(1000, 5000, 5000))
    await stage.press(AGENT, card, "cancel")
    first = await stage.modal(AGENT)
    said = text_of(first)
    assert "70" in said
    assert "¥254,000" in said
    page = shown_on(first)
    assert len(page) == 50
    assert ticked_on(first) == page

    # Three of the first group are unticked; that holds on the way to the other page and back.
    group = [f"order:{order}" for order in page[:10]]
    second = shown_on(
        await turn(stage, AGENT, "pick_next", **{groups(first)[0]["block_id"]: group[3:]})
    )
    assert len(second) == 20
    assert set(second).isdisjoint(page)
    assert ticked_on(await turn(stage, AGENT, "pick_back")) == page[3:]

    # All below an amount, then all of one account; what costs just as much stays.
    dear = [order for order in page[3:] if int(order[2:]) % 3]
    assert ticked_on(await turn(stage, AGENT, "pick_below", amount="¥5,000")) == dear
    of_one = [order for order in dear if int(order[2:]) % 2]
    assert ticked_on(await turn(stage, AGENT, "pick_account", account="ring-buyer-0")) == of_one
    chosen = {f"R-{n:04}" for n in range(70) if n % 2 and n % 3} - set(page[:3])

    sent = await stage.submit(AGENT)
    assert sent.ok
    confirm = await stage.modal(AGENT)
    assert f"¥{5000 * len(chosen):,}" in text_of(confirm)
    assert not shown_on(confirm)
    assert (await stage.submit(AGENT, {"reason": REASON})).ok
    assert stage.workspace.open_view(AGENT) is None

    view = await stage.case(card)
    assert view.decision is not None
    assert {subject.id for _, subject in view.decision.targets} == chosen
    assert view.decision.amounts == ((5000 * len(chosen), "JPY"),)
    await approve_twice(stage, card)
    await until_done(stage, card, len(chosen))
    rows = await stage.market.pool.fetch(
        "SELECT order_id FROM market.orders WHERE canceled_at IS NOT NULL"
    )
    assert {row["order_id"] for row in rows} == chosen
    assert (await stage.verified()).ok


async def approve_twice(stage: Stage, card: Message) -> None:
    """As many approvals as the sum needs."""
    for user in (APPROVER, APPROVER_2):
        view = await stage.case(card)
        if view.state is not CaseState.AWAITING_APPROVAL:
            return
        fresh = next(one for one in stage.cards() if one.ts == card.ts)
        await stage.press(user, fresh, "approve")
        await stage.modal(user)
        assert (await stage.submit(user)).ok


async def until_done(stage: Stage, card: Message, count: int, *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while True:
            view = await stage.case(card)
            done = [o for o in view.operations if o.state is OperationState.SUCCEEDED]
            if len(done) >= count:
                return
            await asyncio.sleep(0.1)


async def test_nothing_ticked_is_told_and_a_wrong_amount_changes_nothing(stage: Stage) -> None:
    card = await a_ring(stage, 30)
    await stage.press(AGENT, card, "cancel")
    await stage.modal(AGENT)
    wrong = await turn(stage, AGENT, "pick_below", amount="a lot")
    assert "5000" in text_of(wrong)
    assert len(ticked_on(wrong)) == 30
    none = await turn(stage, AGENT, "pick_none")
    assert ticked_on(none) == []
    assert (await stage.submit(AGENT)).ok
    view = await stage.modal(AGENT)
    assert view.fields["callback_id"] == "act:select"
    assert "選択されていません" in text_of(view) or "Nothing is ticked" in text_of(view)
    everyone = await turn(stage, AGENT, "pick_all")
    assert len(ticked_on(everyone)) == 30
    assert await stage.count("decisions") == 0


async def test_what_was_ticked_after_the_confirmation_is_not_carried_out_by_it(
    stage: Stage,
) -> None:
    card = await a_ring(stage, 30)
    await stage.press(AGENT, card, "cancel")
    pages = await stage.modal(AGENT)
    await turn(stage, AGENT, "pick_below", amount="5000")
    assert (await stage.submit(AGENT)).ok
    confirm = await stage.modal(AGENT)
    # The pages below it, as if they stood in another window of the same person.
    clicked = await stage.workspace.view_click(AGENT, "act:pick_all", view_id=pages.view_id)
    assert clicked.ok
    assert (await stage.workspace.submit(AGENT, {"reason": REASON}, view_id=confirm.view_id)).ok
    shown = stage.workspace.open_view(AGENT)
    assert shown is not None
    assert shown.fields["callback_id"] == "act:select"
    assert await stage.count("decisions") == 0


async def test_somebody_who_lost_the_right_turns_no_page(stage: Stage) -> None:
    card = await a_ring(stage, 60)
    await stage.press(AGENT, card, "cancel")
    await stage.modal(AGENT)
    stage.workspace.remove_from_group("cs-agents", AGENT)
    await roles_are(stage, AGENT, gone=True)
    refused = await turn(stage, AGENT, "pick_next")
    assert refused.fields["callback_id"] == "act:message"


async def test_a_ring_of_a_thousand_is_decided_before_slack_gives_up(stage: Stage) -> None:
    card = await a_ring(stage, 1000, amounts=(10,))
    await stage.press(AGENT, card, "cancel")
    first = await stage.modal(AGENT)
    assert "1,000" in text_of(first)
    await turn(stage, AGENT, "pick_next")
    assert (await stage.submit(AGENT)).ok
    await stage.modal(AGENT)
    begun = time.monotonic()
    assert (await stage.submit(AGENT, {"reason": REASON})).ok
    # Slack itself waits three seconds: the workspace would have answered with its own error.
    assert time.monotonic() - begun < 3
    view = await stage.case(card)
    assert view.decision is not None
    assert len([t for t in view.decision.targets if t[0] is Verb.CANCEL]) == 1000
    await approve_twice(stage, card)
    await until_done(stage, card, 40)
    # Somebody has second thoughts: what was not sent yet stays undone, and the card says so.
    fresh = next(one for one in stage.cards() if one.ts == card.ts)
    await stage.press(APPROVER, fresh, "stop_rest")
    async with asyncio.timeout(60):
        while (view := await stage.case(card)).state is CaseState.EXECUTING:
            await asyncio.sleep(0.2)
    done = sum(o.state is OperationState.SUCCEEDED for o in view.operations)
    assert 40 <= done < 1000
    canceled = await stage.market.pool.fetchval(
        "SELECT count(*) FROM market.orders WHERE canceled_at IS NOT NULL"
    )
    assert canceled == done
    assert (await stage.verified()).ok
