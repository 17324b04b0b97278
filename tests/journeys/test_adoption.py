"""Each step of adoption walks the whole way: by hand, through a shop's own endpoints, beside the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from bot.domain.cases import CaseState, Operation, OperationState
from bot.domain.errors import SayableError
from bot.domain.verbs import OperationClass, Verb
from bot.playground.market.faults import Fault
from bot.playground.workspace.state import Message
from tests.journeys.stage import (
    AGENT,
    APPROVER,
    MARKET_TOKEN,
    Stage,
    buttons_of,
    text_of,
)

OWN_ENDPOINTS = """\
base_url: {url}/v1
auth: {{token_env: SHOP_TOKEN}}
verbs:
  cancel:
    class: lookup
    execution_bound_s: 1
    request: {{path: "/orders/{{subject_id}}/cancel", body: {{reason: "{{reason}}", actor: "{{actor}}", refund_policy: "{{refund_policy}}"}}, headers: {{Idempotency-Key: "{{operation_id}}"}}}}
    success: {{status: 200, where: {{/state: succeeded}}}}
    refused: [{{status: [404, 409, 422], code: /code, message: /message}}]
    lookup: {{by: state, path: "/orders/{{subject_id}}", done: {{/status: canceled}}}}
    consequence: {{ja: カードの売上を取り消します。, en: The card payment is voided.}}
"""

Opener = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def opened(quiet_stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """The stage with a bot at a step of adoption."""
    monkeypatch.setenv("SHOP_TOKEN", MARKET_TOKEN)

    @asynccontextmanager
    async def at(verb_map: str | None, *, contract: bool = False) -> AsyncIterator[Stage]:
        path = tmp_path / "verbs.yml"
        if verb_map is not None:
            url = str(quiet_stage.settings.market_api_url)
            path.write_text(verb_map.format(url=url), encoding="utf-8")
        changes: dict[str, object] = {"verb_map_file": path if verb_map is not None else None}
        if not contract:
            changes |= {"market_api_url": None, "market_api_token": None}
        quiet_stage.settings = quiet_stage.settings.model_copy(update=changes)
        async with quiet_stage.bot_running() as bot:
            quiet_stage.bot = bot
            yield quiet_stage

    return at


async def a_card(stage: Stage, order: str = "O-1") -> Message:
    await stage.self_dealing(order)
    await stage.detect_now()
    return await stage.card_with(order)


async def operations_of(stage: Stage, card: Message) -> tuple[Operation, ...]:
    return (await stage.case(card)).operations


async def cancel(stage: Stage, card: Message) -> None:
    """Ask for the forced cancel and have it approved."""
    assert (await stage.press(AGENT, card, "cancel")).ok
    await stage.modal(AGENT)
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    waiting = await stage.card_with("承認待ち")
    assert (await stage.press(APPROVER, waiting, "approve")).ok
    await stage.modal(APPROVER)
    assert (await stage.submit(APPROVER)).ok


async def test_without_any_endpoint_people_do_it_and_the_log_says_who(opened: Opener) -> None:
    async with opened(None) as stage:
        card = await a_card(stage)
        assert (await stage.press(AGENT, card, "hold")).ok
        by_hand = await stage.until(
            lambda: next((c for c in stage.cards() if "act:by_hand" in buttons_of(c)), None)
        )
        (operation,) = await operations_of(stage, card)
        assert operation.operation_class is OperationClass.MANUAL
        assert operation.state is OperationState.PENDING
        assert await stage.market.effects() == []
        assert (await stage.press(AGENT, by_hand, "by_hand")).ok
        await stage.modal(AGENT)
        assert (await stage.submit(AGENT, {"by_hand:0": [operation.operation_id]})).ok
        await stage.until(
            lambda: next((c for c in stage.cards() if "act:by_hand" not in buttons_of(c)), None)
        )
        (operation,) = await operations_of(stage, card)
        assert (operation.state, operation.resolved_by) == (OperationState.SUCCEEDED, "human")
        assert await stage.market.effects() == []
        assert (await stage.verified()).ok


async def test_by_hand_the_card_leads_to_the_page_that_the_map_names(opened: Opener) -> None:
    by_hand = (
        "admin_urls: {{order: 'https://back.example/o/{{subject_id}}'}}\n"
        "verbs: {{hold: {{class: manual}}}}\n"
    )
    async with opened(by_hand) as stage:
        card = await a_card(stage)
        assert "act:cancel" not in buttons_of(card)
        assert (await stage.press(AGENT, card, "hold")).ok
        shown = await stage.until(
            lambda: next((c for c in stage.cards() if "act:by_hand" in buttons_of(c)), None)
        )
        assert "https://back.example/o/O-1" in str(shown.blocks)


async def test_a_shop_s_own_endpoint_cancels_once_though_its_answer_is_lost(
    opened: Opener,
) -> None:
    async with opened(OWN_ENDPOINTS) as stage:
        card = await a_card(stage)
        assert "act:hold" not in buttons_of(card)
        stage.market.faults.switch_on(Fault.ANSWER_LOST, verb="cancel", times=1)
        assert (await stage.press(AGENT, card, "cancel")).ok
        words = text_of(await stage.modal(AGENT))
        assert "カードの売上を取り消します。" in words
        assert "実行内容がマーケットから提示されません" in words
        assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
        waiting = await stage.card_with("承認待ち")
        assert (await stage.press(APPROVER, waiting, "approve")).ok
        assert "カードの売上を取り消します。" in text_of(await stage.modal(APPROVER))
        assert (await stage.submit(APPROVER)).ok
        await stage.card_with("完了")
        view = await stage.case(card)
        assert view.state is CaseState.DONE
        (operation,) = view.operations
        assert (operation.plan_token, operation.resolved_by) == (None, "lookup")
        assert [e["kind"] for e in await stage.market.effects("O-1")] == ["cancel"]
        assert (await stage.verified()).ok


async def test_what_changed_while_the_modal_was_open_is_seen_without_a_token_too(
    opened: Opener,
) -> None:
    preview = """\
    plan: {{path: "/orders/{{subject_id}}", allowed: {{/status: paid}}}}
"""
    async with opened(OWN_ENDPOINTS + preview) as stage:
        card = await a_card(stage)
        assert (await stage.press(AGENT, card, "cancel")).ok
        assert "強制キャンセル" in text_of(await stage.modal(AGENT))
        await stage.market.pool.execute(
            "UPDATE market.orders SET status = 'shipped' WHERE order_id = 'O-1'"
        )
        sent = await stage.submit(AGENT, {"reason": "Stolen card"})
        assert sent.view is not None
        assert "何も実行していません" in text_of(sent.view)
        assert (await stage.case(card)).decisions == ()
        assert await stage.market.effects() == []


async def test_beside_the_contract_the_map_takes_its_verbs_and_leaves_the_others(
    opened: Opener,
) -> None:
    async with opened(OWN_ENDPOINTS, contract=True) as stage:
        card = await a_card(stage)
        assert "act:hold" in buttons_of(card)
        await cancel(stage, card)
        await stage.card_with("完了")
        operations = {o.verb: o for o in await operations_of(stage, card)}
        assert operations[Verb.CANCEL].operation_class is OperationClass.LOOKUP
        assert operations[Verb.CANCEL].plan_token is None
        assert operations[Verb.SUSPEND].operation_class is OperationClass.KEY
        assert operations[Verb.SUSPEND].plan_token is not None
        assert (await stage.order("O-1"))["status"] == "canceled"
        assert (await stage.account("seller-O-1"))["status"] == "suspended"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"market_api_url": None}, "MARKET_API_URL"),
        ({"market_api_token": None}, "MARKET_API_TOKEN"),
    ],
)
async def test_half_of_an_admin_api_is_a_slip_and_no_step_of_adoption(
    quiet_stage: Stage, changes: dict[str, object], words: str
) -> None:
    quiet_stage.settings = quiet_stage.settings.model_copy(update=changes)
    with pytest.raises(SayableError, match=f"Set {words}"):
        async with quiet_stage.bot_running():
            pass


async def test_a_map_whose_secret_is_missing_keeps_the_bot_from_starting(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_TOKEN")
    with pytest.raises(SayableError, match="Set SHOP_TOKEN"):
        async with opened(OWN_ENDPOINTS):
            pass
