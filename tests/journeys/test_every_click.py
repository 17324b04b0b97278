"""Every click ends in exactly one answer: done, refused with the reason, stale with the truth, or try again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from sqlalchemy import text

from bot.actions import registry
from bot.cases.queueing import fold_closed
from bot.domain.cases import CaseState
from bot.handlers import buttons
from bot.handlers.buttons import MODALS
from bot.ledger import people
from bot.playground.postgres import Server
from bot.playground.workspace.payloads import view_submission
from bot.playground.workspace.state import Message
from tests.journeys.answers import Outcome, forge, outcome_of, quiet
from tests.journeys.stage import (
    AGENT,
    AGENT_2,
    ALERTS,
    APPROVER,
    APPROVER_2,
    OUTSIDER,
    Stage,
    buttons_of,
)
from tests.planting import planted

STALE = "もう一度操作してください"
DONE = "受け付けました"
NO_ROLE = "権限"
GONE = "現在使われていない"
CONFLICT = "同時に別の操作が行われた"
NO_CASE = "/cre queue"


@pytest.fixture
def may_fail() -> None:
    """For tests in which something is broken on purpose."""


@pytest.fixture(autouse=True)
def nothing_failed(
    caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[None]:
    """No press leaves an error in the log."""
    yield
    if "may_fail" not in request.fixturenames:
        failed = [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
        assert failed == []


async def a_card(stage: Stage, order: str = "O-1") -> Message:
    await stage.self_dealing(order)
    await stage.detect_now()
    return await stage.card_with(order)


async def a_request(stage: Stage) -> Message:
    """A cancellation that waits for a second person."""
    card = await a_card(stage)
    await open_modal(stage, AGENT, card, "cancel")
    assert (await stage.submit(AGENT, {"reason": "Stolen card"})).ok
    waiting = await stage.card_with("承認待ち")
    await quiet(stage)
    return waiting


async def open_modal(stage: Stage, user: str, card: Message, name: str) -> None:
    assert (await stage.press(user, card, name)).ok
    await stage.modal(user)
    await quiet(stage)


async def press(stage: Stage, user: str, card: Message, name: str) -> Outcome:
    return await outcome_of(stage, user, stage.press(user, card, name), card=card)


async def submit(stage: Stage, user: str, values: dict[str, object] | None = None) -> Outcome:
    return await outcome_of(stage, user, stage.submit(user, values))


async def roles_are(stage: Stage, user: str, *, gone: bool) -> None:
    async with asyncio.timeout(20):
        while True:
            async with stage.engine.connect() as conn:
                found = await people.read_person(conn, user)
            if found is not None and bool(found[0].roles) is not gone:
                return
            await asyncio.sleep(0.05)


# ---- Once, twice, several at once


async def test_a_press_is_done_and_a_second_one_is_told_the_truth(stage: Stage) -> None:
    card = await a_card(stage)
    version = (await stage.case(card)).version
    first, second = await asyncio.gather(
        stage.press(AGENT, card, "hold"), stage.press(AGENT, card, "hold")
    )
    assert first.ok
    assert second.ok
    await stage.until(lambda: len(stage.workspace.ephemerals(AGENT)) >= 2)
    await quiet(stage)
    said = [m.text for m in stage.workspace.ephemerals(AGENT)]
    assert len(said) == 2
    assert sum(STALE in sentence for sentence in said) == 1
    assert await stage.count("decisions") == 1
    # Once more, long after, from a client that still shows the old card.
    late = await outcome_of(
        stage, AGENT, forge(stage, AGENT, card, "act:hold", f"2001|{version}"), card=card
    )
    assert STALE in late.answer
    assert "佐藤" in late.answer
    assert await stage.count("decisions") == 1


async def test_of_four_people_at_once_one_decides_and_the_others_hear_who(stage: Stage) -> None:
    card = await a_card(stage)
    crowd = [AGENT, AGENT_2, APPROVER, APPROVER_2]
    acted = await asyncio.gather(*(stage.press(user, card, "hold") for user in crowd))
    assert all(one.ok for one in acted)
    await stage.until(lambda: all(stage.workspace.ephemerals(user) for user in crowd))
    await quiet(stage)
    said = [[m.text for m in stage.workspace.ephemerals(user)] for user in crowd]
    assert [len(sentences) for sentences in said] == [1, 1, 1, 1]
    # One decided; the others hear that the case has moved, or that it is under way.
    # Smith reads English.
    done = [DONE in sentence or "is recorded" in sentence for (sentence,) in said]
    assert done.count(True) == 1, said
    assert await stage.count("decisions") == 1
    assert (await stage.verified()).ok


async def test_a_double_click_on_a_claim_does_not_give_the_case_up_again(stage: Stage) -> None:
    card = await a_card(stage)
    for _ in range(2):
        claimed = await press(stage, AGENT, card, "claim")
        assert "担当者になりました" in claimed.answer
        assert (await stage.case(card)).assignee == AGENT


async def test_the_very_bytes_of_a_click_sent_again_do_nothing_more(stage: Stage) -> None:
    card = await a_card(stage)
    sent: list[tuple[str, dict[str, str]]] = []
    bring = stage.workspace.delivery._over_http

    async def overhear(kind: str, body: str, headers: dict[str, str]) -> object:
        sent.append((body, headers))
        return await bring(kind, body, headers)

    with planted(stage.workspace.delivery, _over_http=overhear):
        await press(stage, AGENT, card, "hold")
    (body, headers), *_ = sent
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            address = f"http://127.0.0.1:{stage.settings.port}/slack/events"
            async with session.post(address, data=body.encode(), headers=headers) as answer:
                assert answer.status == 200
    await quiet(stage)
    assert await stage.count("decisions") == 1
    await stage.card_with("保留")
    effects = [e["kind"] for e in await stage.market.effects("O-1")]
    assert effects in ([], ["hold"])


async def test_a_submission_twice_decides_once(stage: Stage) -> None:
    card = await a_card(stage)
    await open_modal(stage, AGENT, card, "cancel")
    view = stage.workspace.open_view(AGENT)
    assert view is not None
    done = await submit(stage, AGENT, {"reason": "Stolen card"})
    assert len(done.sentences) == 1
    payload = view_submission(stage.workspace, stage.workspace.state.user(AGENT), view)
    again = await stage.workspace.delivery.interaction(payload)
    assert again.ok
    shown = json.loads(again.body)
    assert shown["response_action"] == "update"
    assert STALE in str(shown["view"])
    await quiet(stage)
    assert await stage.count("decisions") == 1


# ---- Cards and modals that are behind


async def test_every_button_of_a_card_from_last_month_says_how_it_is_now(stage: Stage) -> None:
    card = await a_card(stage)
    old = await stage.case(card)
    await open_modal(stage, AGENT, card, "dismiss")
    assert (await stage.submit(AGENT, {"reason": "Known customer or family"})).ok
    await stage.card_with("問題なし")
    await quiet(stage)
    assert stage.bot is not None
    assert await fold_closed(stage.bot.room, closed_for_s=0) == 1
    await stage.until(lambda: len(stage.cards()[0].blocks) == 1)
    decisions = await stage.count("decisions")
    names = [
        *registry(),
        *sorted(MODALS - {"details"}),
        "claim",
        "stop_rest",
        "take_back",
        "keep",
        "retry",
    ]
    for name in names:
        value = f"{old.case_id}|{old.version}"
        told = await outcome_of(
            stage, APPROVER, forge(stage, APPROVER, card, f"act:{name}", value), card=card
        )
        assert told.modal is None, name
        assert told.answer, name
    assert await stage.count("decisions") == decisions
    assert await stage.count("operations") == 0
    # The buttons of its present version find a case that is closed.
    now = (await stage.case(card)).version
    for name in ("hold", "cancel", "approve"):
        value = f"{old.case_id}|{now}"
        told = await outcome_of(stage, APPROVER, forge(stage, APPROVER, card, f"act:{name}", value))
        assert "すでに決定しています" in told.answer, name
    # What may be read can be read.
    look = await outcome_of(
        stage, AGENT, forge(stage, AGENT, card, "act:details", f"{old.case_id}|{old.version}")
    )
    assert "O-1" in look.answer
    assert await stage.count("decisions") == decisions


async def test_a_stale_press_draws_the_card_anew(stage: Stage) -> None:
    card = await a_card(stage)
    revision = (await stage.case(card)).revision
    stale = await outcome_of(stage, AGENT, forge(stage, AGENT, card, "act:hold", "2001|99"))
    assert STALE in stale.answer
    await quiet(stage)
    assert (await stage.case(card)).revision > revision


async def test_a_modal_that_was_open_while_the_case_changed_says_so_and_decides_nothing(
    stage: Stage,
) -> None:
    card = await a_card(stage)
    await open_modal(stage, AGENT, card, "cancel")
    await press(stage, AGENT_2, card, "hold")
    await stage.until(lambda: "act:hold" not in buttons_of(stage.cards()[0]))
    revision = (await stage.case(card)).revision
    told = await submit(stage, AGENT, {"reason": "Stolen card"})
    assert STALE in told.answer
    assert "鈴木" in told.answer
    assert [d.action for d in (await stage.case(card)).decisions] == ["hold"]
    await quiet(stage)
    assert (await stage.case(card)).revision > revision


async def test_a_modal_that_was_open_while_the_plan_changed_shows_the_new_one(stage: Stage) -> None:
    card = await a_card(stage)
    await open_modal(stage, AGENT, card, "cancel")
    async with stage.market.pool.acquire() as conn:
        await conn.execute(
            "UPDATE market.orders SET total_amount = 9900, updated_at = now() WHERE order_id = 'O-1'"
        )
    told = await submit(stage, AGENT, {"reason": "Stolen card"})
    assert "9,900" in told.answer
    assert await stage.count("decisions") == 0


async def test_a_modal_of_a_person_who_lost_the_role_meanwhile_is_refused(stage: Stage) -> None:
    card = await a_card(stage)
    await open_modal(stage, AGENT, card, "cancel")
    stage.workspace.remove_from_group("cs-agents", AGENT)
    await roles_are(stage, AGENT, gone=True)
    told = await submit(stage, AGENT, {"reason": "Stolen card"})
    assert NO_ROLE in told.answer
    assert await stage.count("decisions") == 0
    # And a press of theirs, and one of somebody who never had a role.
    assert NO_ROLE in (await press(stage, AGENT, card, "hold")).answer
    assert NO_ROLE in (await press(stage, OUTSIDER, card, "cancel")).answer
    assert await stage.count("decisions") == 0


async def test_an_expired_request_can_be_answered_neither_way(stage: Stage) -> None:
    waiting = await a_request(stage)
    await open_modal(stage, APPROVER, waiting, "approve")
    await open_modal(stage, APPROVER_2, waiting, "reject")
    async with stage.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.decisions SET expires_at = clock_timestamp() - interval '1 s'")
        )
    # Expired, or already put back by the clock: then the case has moved.
    first = await submit(stage, APPROVER)
    assert "期限" in first.answer or STALE in first.answer
    second = await submit(stage, APPROVER_2, {"reason": "The evidence is not enough"})
    assert "ran out" in second.answer or "press again" in second.answer
    assert await stage.count("approvals") == 0
    assert await stage.count("operations") == 0


async def test_an_approval_of_ones_own_and_a_second_approval_are_refused_at_the_press(
    stage: Stage,
) -> None:
    waiting = await a_request(stage)
    assert "承認できません" in (await press(stage, AGENT, waiting, "approve")).answer
    await open_modal(stage, APPROVER, waiting, "approve")
    await open_modal(stage, APPROVER_2, waiting, "approve")
    done, late = await asyncio.gather(
        stage.workspace.submit(APPROVER), stage.workspace.submit(APPROVER_2)
    )
    assert {done.response_action, late.response_action} == {None, "update"}
    await stage.card_with("完了")
    assert await stage.count("approvals") == 1
    assert [e["kind"] for e in await stage.market.effects("O-1")] == ["cancel"]


# ---- What nobody offered

VALUES: list[object] = [
    *("2001|99999", "2001|0", "2001|-1", "2001|1|1", "2001", "|", "x|y", "2001|١", "2001|1_0"),
    *("999999999|1", "9" * 30 + "|1", "-1|1", "0|0", "2001| 1", "2001|1\n", "NaN|inf", "1e3|1"),
    *("<!channel>", "'; DROP TABLE ledger.cases; --", "x" * 1900, "", "-", "prop_", "prop_<@U1>"),
    *(None, 0, [], {}, {"a": 1}, [["2001|1"]], True),
]


async def test_whatever_a_button_carries_there_is_one_answer_and_no_decision(stage: Stage) -> None:
    card = await a_card(stage)
    for name in ("act:hold", "act:claim", "act:dismiss"):
        for value in VALUES:
            told = await outcome_of(stage, AGENT, forge(stage, AGENT, card, name, value))
            assert told.acted.status == 200, (name, value)
            assert told.answer, (name, value)
    assert await stage.count("decisions") == 0
    assert (await stage.case(card)).state is CaseState.OPEN
    assert (await stage.verified()).ok


async def test_a_button_that_was_removed_says_so_and_draws_the_card_anew(stage: Stage) -> None:
    card = await a_card(stage)
    view = await stage.case(card)
    value = f"{view.case_id}|{view.version}"
    for action_id in ("act:explode", "other:hold", "", "act:" + "x" * 250, "act:<!channel>"):
        told = await outcome_of(stage, AGENT, forge(stage, AGENT, card, action_id, value))
        assert GONE in told.answer, action_id
    await quiet(stage)
    assert (await stage.case(card)).revision > view.revision
    chosen = {"selected_option": {"value": "explode|2001|1"}, "type": "overflow"}
    gone = await outcome_of(stage, AGENT, forge(stage, AGENT, card, "act:more", None, **chosen))
    assert GONE in gone.answer
    nowhere = await outcome_of(stage, AGENT, forge(stage, AGENT, card, "act:explode", "424242|1"))
    assert GONE in nowhere.answer
    unknown = await outcome_of(stage, AGENT, forge(stage, AGENT, card, "act:hold", "424242|1"))
    assert NO_CASE in unknown.answer


async def test_a_modal_of_ours_that_is_gone_or_was_made_up_says_so(stage: Stage) -> None:
    card = await a_card(stage)
    await open_modal(stage, AGENT, card, "cancel")
    view = stage.workspace.open_view(AGENT)
    assert view is not None
    fields = dict(view.fields)
    for changes, words in (
        ({"callback_id": "act:explode"}, GONE),
        ({"callback_id": ""}, GONE),
        ({"private_metadata": "{"}, GONE),
        ({"private_metadata": "[]"}, GONE),
        ({"private_metadata": '{"case": "x", "version": 1}'}, GONE),
        ({"private_metadata": '{"case": 2001, "version": 1, "plans": {"a": 1}}'}, GONE),
        ({"private_metadata": '{"case": 424242, "version": 1, "plans": "ps_x"}'}, "もう一度"),
        ({"private_metadata": '{"case": 2001, "version": 77, "plans": "ps_x"}'}, "もう一度"),
    ):
        payload: Any = view_submission(stage.workspace, stage.workspace.state.user(AGENT), view)
        payload["view"] |= changes
        answer = await stage.workspace.delivery.interaction(payload)
        assert answer.status == 200, changes
        shown = json.loads(answer.body)
        assert shown["response_action"] == "update", changes
        assert words in str(shown["view"]) or NO_CASE in str(shown["view"]), (changes, shown)
    assert fields == view.fields
    assert await stage.count("decisions") == 0


# ---- When something is away


@asynccontextmanager
async def ledger_away(server: Server, dsn: str) -> AsyncIterator[None]:
    """Nobody gets into the ledger, and whoever was in is out."""
    name = urlsplit(dsn).path.removeprefix("/")
    async with server.superuser() as conn:
        await conn.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        await conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
        )
    try:
        yield
    finally:
        async with server.superuser() as conn:
            await conn.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


@pytest.mark.usefixtures("may_fail")
async def test_while_the_ledger_is_away_slack_shows_a_failure_and_then_it_works(
    stage: Stage,
    database_server: Server,
    ledger_dsn: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    card = await a_card(stage)
    await open_modal(stage, APPROVER, card, "cancel")
    async with ledger_away(database_server, ledger_dsn):
        for _ in range(2):
            acted = await stage.press(AGENT, card, "hold")
            assert (acted.ok, acted.status) == (False, 503)
            sent = await stage.submit(APPROVER, {"reason": "Stolen card"})
            assert (sent.ok, sent.status) == (False, 503)
        asked = await stage.workspace.command(AGENT, ALERTS, "/cre", "queue")
        assert asked.status == 503
    assert stage.workspace.ephemerals(AGENT) == []
    # The modal is still open, with what was typed: the same submission goes through now.
    done = await submit(stage, APPROVER, {"reason": "Stolen card"})
    assert len(done.sentences) == 1
    await stage.card_with("完了")
    assert await stage.count("decisions") == 1
    assert "Stolen card" not in caplog.text
    assert not [r for r in caplog.records if r.name.startswith("bot.handlers") and r.exc_info]


async def test_what_a_guard_of_the_ledger_refuses_is_told_in_words(
    stage: Stage, ledger_owner_dsn: str
) -> None:
    card = await a_card(stage)
    owner = await asyncpg.connect(ledger_owner_dsn)
    try:
        await owner.execute(
            """CREATE FUNCTION ledger.planted() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN RAISE EXCEPTION 'somebody was quicker: %', NEW.reason; END $$;
               CREATE TRIGGER planted BEFORE INSERT ON ledger.decisions
               FOR EACH ROW EXECUTE FUNCTION ledger.planted()"""
        )
        assert CONFLICT in (await press(stage, AGENT, card, "hold")).answer
        await open_modal(stage, APPROVER, card, "cancel")
        assert CONFLICT in (await submit(stage, APPROVER, {"reason": "Stolen card"})).answer
    finally:
        await owner.execute("DROP FUNCTION ledger.planted() CASCADE")
        await owner.close()
    assert await stage.count("decisions") == 0
    assert (await stage.case(card)).state is CaseState.OPEN
    assert len((await press(stage, AGENT, card, "hold")).sentences) == 1
    assert (await stage.verified()).ok


@pytest.mark.usefixtures("may_fail")
async def test_a_fault_of_ours_is_slacks_to_show_and_is_logged_without_a_word_of_the_body(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    card = await a_card(stage)

    async def broken(*_: object, **__: object) -> None:
        raise ValueError("the canary of a body")

    caplog.set_level(logging.DEBUG)
    with planted(buttons, decide=broken):
        acted = await stage.press(AGENT, card, "hold")
    assert (acted.ok, acted.status) == (False, 500)
    await quiet(stage)
    assert stage.workspace.ephemerals(AGENT) == []
    assert "a handler failed: ValueError" in caplog.text
    assert "canary of a body" not in caplog.text


async def test_an_acknowledgement_asks_nothing_of_slack(stage: Stage) -> None:
    card = await a_card(stage)
    stage.workspace.go_down()
    acted = await stage.press(AGENT, card, "hold")
    assert acted.ok
    assert await stage.count("decisions") == 1
    stage.workspace.faults.clear()
    await stage.card_with("保留")


async def test_a_click_during_a_stop_is_finished_and_one_after_it_not_begun(
    quiet_stage: Stage,
) -> None:
    stage = quiet_stage
    async with stage.engine.connect() as holding:
        async with stage.bot_running() as bot:
            stage.bot = bot
            card = await a_card(stage)
            await quiet(stage)
            # Somebody holds the case, so that the click waits; meanwhile the process is told to stop.
            await holding.execute(text("SELECT FROM ledger.cases FOR UPDATE"))
            clicking = asyncio.create_task(stage.press(AGENT, card, "hold"))
            await somebody_waits_for_a_lock(stage)
            letting_go = asyncio.create_task(once_it_stops(stage, holding.rollback))
        await letting_go
    assert (await clicking).ok
    assert await stage.count("decisions") == 1
    assert len(stage.workspace.ephemerals(AGENT)) == 1
    # Nobody is there: Slack says so, and nothing is half done.
    late = await stage.press(AGENT_2, card, "claim")
    assert not late.ok
    assert (await stage.case(card)).assignee is None
    async with stage.bot_running() as bot:
        stage.bot = bot
        await stage.card_with("保留")
        assert (await stage.press(AGENT_2, stage.cards()[0], "claim")).ok
        assert (await stage.case(card)).assignee == AGENT_2
    assert (await stage.verified()).ok


async def somebody_waits_for_a_lock(stage: Stage) -> None:
    async with asyncio.timeout(20), stage.engine.connect() as watching:
        while not await watching.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        ):
            await watching.rollback()
            await asyncio.sleep(0.02)


async def once_it_stops(stage: Stage, act: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{stage.settings.port}/readyz") as answer:
                    if "stopping" in await answer.text():
                        break
            except aiohttp.ClientError:
                break
            await asyncio.sleep(0.02)
    await act()
