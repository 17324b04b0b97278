"""Counts what a person is answered: every press must have exactly one answer, seen in the workspace itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from bot.playground.workspace.acting import Acted
from bot.playground.workspace.delivery import Answer
from bot.playground.workspace.payloads import block_actions_in_message
from bot.playground.workspace.state import Message
from tests.journeys.stage import ALERTS, Stage, text_of

TELLING = frozenset({"response_url", "chat.postEphemeral", "views.update", "views.push"})
"""What a handler says over the Web API; the publisher's own calls are not an answer."""
PRESSES = frozenset({"block_actions", "view_submission", "/cre"})


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one press or submission ended, for the one who did it."""

    acted: Acted
    sentences: tuple[str, ...]
    """What they alone were told in the channel."""
    modal: str | None
    """What a modal shows them that was not there before."""
    card: str | None
    """What the card says now, where it says something else than before."""

    @property
    def answers(self) -> list[str]:
        """Everything that counts as an answer; a card that moves is one only where nothing is said."""
        given = list(self.sentences)
        if self.modal is not None:
            given.append(self.modal)
        if not self.acted.ok:
            given.append(f"failed: {self.acted.status} {self.acted.error}")
        if not given and self.card is not None:
            given.append(self.card)
        return given

    @property
    def answer(self) -> str:
        assert len(self.answers) == 1, self
        return self.answers[0]


async def outcome_of(
    stage: Stage, user: str, act: Awaitable[Acted], *, card: Message | None = None
) -> Outcome:
    """Do it, wait for an answer, then until nothing more can come."""
    told_before = len(stage.workspace.ephemerals(user))
    view_before = shown_to(stage, user)
    card_before = drawn(stage, card)
    seen = max((e.n for e in stage.workspace.traffic.after()), default=0)
    acted = await act

    def now() -> Outcome:
        view, card_now = shown_to(stage, user), drawn(stage, card)
        return Outcome(
            acted=acted,
            sentences=tuple(m.text for m in stage.workspace.ephemerals(user)[told_before:]),
            modal=view if view != view_before else None,
            card=card_now if card_now != card_before else None,
        )

    await stage.until(lambda: now().answers or None, what=lambda: f"an answer to {user}")
    await quiet(stage)
    nothing_said_too_early(stage, seen)
    return now()


async def quiet(stage: Stage) -> None:
    """Until everything that a press started has ended."""
    assert stage.bot is not None
    # What is held back begins when the answer is on the wire: a turn or two of the loop later.
    for _ in range(5):
        await asyncio.sleep(0)
        await stage.bot._errands.drain()


def nothing_said_too_early(stage: Stage, seen: int) -> None:
    """Between the press and its acknowledgement nothing but `views.open` was asked of Slack."""
    calls = stage.workspace.traffic.after(seen)
    acks = [e.n for e in calls if e.direction == "out" and e.method in PRESSES]
    early = [e.method for e in calls if e.direction == "in" and e.n < min(acks, default=0)]
    assert not TELLING & set(early), early


def shown_to(stage: Stage, user: str) -> str | None:
    view = stage.workspace.open_view(user)
    return None if view is None else f"{view.view_id} {text_of(view)}"


def drawn(stage: Stage, card: Message | None) -> str | None:
    if card is None:
        return None
    return next((c.text + str(c.blocks) for c in stage.cards() if c.ts == card.ts), None)


async def forge(
    stage: Stage, user: str, card: Message, action_id: str, value: object, **more: Any
) -> Acted:
    """A signed press that the card does not offer, as a client that is behind would send."""
    core = stage.workspace
    payload = block_actions_in_message(
        core,
        core.state.user(user),
        core.state.channel(ALERTS),
        card,
        {
            "type": "button",
            "action_id": action_id,
            "block_id": "forged",
            "action_ts": core.state.next_ts(),
            "value": value,
            **more,
        },
        {},
    )
    return _acted(await core.delivery.interaction(payload))


def _acted(answer: Answer) -> Acted:
    return Acted(ok=answer.ok, status=answer.status, ms=answer.ms, error=answer.error)
