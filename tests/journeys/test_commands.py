from __future__ import annotations

import pytest

from tests.journeys.stage import AGENT, ALERTS, APPROVER, ENGINEER, GUEST, OUTSIDER, Stage, text_of


async def ask(stage: Stage, user: str, text: str) -> str:
    """What the person is answered in the acknowledgement."""
    before = len(stage.workspace.ephemerals(user))
    acted = await stage.workspace.command(user, ALERTS, "/cre", text)
    assert acted.ok
    answers = await stage.until(lambda: stage.workspace.ephemerals(user)[before:] or None)
    return answers[-1].text


async def test_help_lists_every_subcommand_also_for_an_empty_call(stage: Stage) -> None:
    for text in ("help", "", "HELP"):
        told = await ask(stage, AGENT, text)
        for name in ("queue", "case ID", "cancel ORDER", "suspend ACCOUNT", "audit SUBJECT"):
            assert f"/cre {name}" in told


async def test_a_mistyped_subcommand_gets_a_hint(stage: Stage) -> None:
    assert "/cre queue" in await ask(stage, AGENT, "queu")
    assert "/cre cancel ORDER" in await ask(stage, AGENT, "cancel")


async def test_the_queue_names_open_cases_with_their_money(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    await stage.card_with("O-1")
    told = await ask(stage, AGENT, "queue")
    assert "C-2001" in told
    assert "¥12,400" in told


async def test_a_case_opens_in_a_modal_with_what_the_detection_advises(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    await stage.card_with("O-1")
    await ask(stage, ENGINEER, "case C-2001")
    told = text_of(await stage.modal(ENGINEER))
    assert "O-1" in told
    assert "発送と振込を保留し" in told


@pytest.mark.parametrize("name", ["9999", "C-x", "C-99999999999999999999", "'; DROP TABLE cases"])
async def test_a_case_that_is_not_there_is_said_so(stage: Stage, name: str) -> None:
    assert "見つかりません" in await ask(stage, AGENT, f"case {name}")


@pytest.mark.parametrize("text", ["cancel O-nowhere", "suspend nobody"])
async def test_a_subject_that_is_not_there_opens_nothing(stage: Stage, text: str) -> None:
    assert "見つかりません" in await ask(stage, APPROVER, text)
    assert await stage.count("cases") == 0


@pytest.mark.parametrize("user", [OUTSIDER, GUEST, ENGINEER])
async def test_who_may_not_cancel_by_button_may_not_by_command(stage: Stage, user: str) -> None:
    await stage.self_dealing("O-1")
    await ask(stage, user, "cancel O-1")
    assert stage.workspace.open_view(user) is None
    assert await stage.count("decisions") == 0


async def test_the_trail_of_an_order_says_who_did_what(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await stage.detect_now()
    card = await stage.card_with("O-1")
    await stage.press(AGENT, card, "hold")
    await stage.until(lambda: stage.workspace.thread(ALERTS, card.ts)[1:] or None)
    told = await ask(stage, APPROVER, "audit O-1")
    assert "佐藤" in told
    assert "C-2001" in told


async def test_an_order_opened_by_hand_needs_somebody_else_to_cancel_it(stage: Stage) -> None:
    await stage.self_dealing("O-1")
    await ask(stage, APPROVER, "cancel O-1")
    await stage.modal(APPROVER)
    sent = await stage.submit(APPROVER, {"reason": "Stolen card"})
    assert sent.ok
    await stage.card_with("承認待ち")
    assert (await stage.order("O-1"))["canceled_at"] is None
