from __future__ import annotations

from pydantic import SecretStr

from tests.journeys.stage import AGENT, OUTSIDER, Stage, buttons_of


async def test_the_same_card_is_decided_over_socket_mode(quiet_stage: Stage) -> None:
    stage = quiet_stage
    stage.settings = stage.settings.model_copy(
        update={"slack_app_token": SecretStr("xapp-demo-token"), "slack_signing_secret": None}
    )
    async with stage.bot_running():
        await stage.until(lambda: stage.workspace.socket.connected or None)
        await stage.self_dealing("O-1")
        await stage.detect_now()
        card = await stage.card_with("O-1")
        assert (await stage.press(OUTSIDER, card, "hold")).ok
        await stage.told(OUTSIDER, "権限")
        assert (await stage.press(AGENT, card, "hold")).ok
        await stage.until(
            lambda: (
                ("act:dismiss" in (now := buttons_of(stage.cards()[0])) and "act:hold" not in now)
                or None
            )
        )
    assert [e["kind"] for e in await stage.market.effects("O-1")] == ["hold"]
