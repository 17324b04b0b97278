"""An agent and an approver who believe what they are shown: they press, they fill in, they never look at the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Set
from typing import Any, TypeVar

from bot.actions import registry
from bot.playground.workspace.state import Message
from bot.playground.workspace.views import View
from tests.campaigns.shop import ALERTS, Shop

AGENT, APPROVER = "U0SATO", "U0TANAKA"
WAIT_S = 20.0
T = TypeVar("T")


class Desk:
    """The two of them at work: each new card is held first, then ended with what is proposed."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._workspace = shop.workspace
        self._left: set[int] = set()
        """Cases that were given up: nobody looks at them again."""
        self.given_up: list[str] = []
        """Cases that could not be brought to an end, with what was tried."""
        self.refused: list[str] = []
        """What a modal did not let them send."""

    async def work(self) -> None:
        """Work on every card that waits, then on everything in the queue."""
        await self._shop.until_shown()
        for card in self._cards():
            await self._bring_to_an_end(_case_of(card), card)
        while await self._somebody_is_needed():
            offered = await self._ask_for_the_next()
            if offered is None:
                return
            await self._bring_to_an_end(_case_of(offered), offered)

    async def _ask_for_the_next(self) -> Message | None:
        before = len(self._workspace.ephemerals(AGENT))
        acted = await self._workspace.command(AGENT, ALERTS, "/cre", "next")
        assert acted.ok, acted
        answers = await self._until(lambda: self._workspace.ephemerals(AGENT)[before:] or None)
        return answers[-1] if answers and _names(answers[-1]) else None

    async def _bring_to_an_end(self, case_id: int, card: Message) -> None:
        """Hold what can be held, then end the case; a case may need more than one such step."""
        tried: set[str] = set()
        while await self._is_open(case_id):
            name = _first_to_press(card, tried)
            if name is None:
                self._give_up(case_id, f"open after {' and '.join(sorted(tried)) or 'nothing'}")
                return
            tried.add(name)
            await self._press(AGENT, card, name)
            if registry()[name].dangerous and not await self._send(
                AGENT, {"reason": registry()[name].reasons[0]}
            ):
                self.refused.append(f"C-{case_id} {name}")
            await self._shop.until_shown()
            await self._approve(case_id)
            card = self._card(case_id) or card

    async def _approve(self, case_id: int) -> None:
        asked = self._card(case_id)
        if asked is None or "approve" not in _names(asked):
            return
        await self._press(APPROVER, asked, "approve")
        if not await self._send(APPROVER, {}):
            self.refused.append(f"C-{case_id} approve")
        await self._shop.until_shown()

    async def _press(self, user: str, card: Message, name: str) -> None:
        for element in _elements(card):
            if element.get("action_id") == f"act:{name}":
                acted = await self._workspace.click(user, ALERTS, card.ts, f"act:{name}")
                assert acted.ok, acted
                return
            for option in element.get("options", []):
                if str(option.get("value", "")).startswith(f"{name}|"):
                    acted = await self._workspace.click(
                        user, ALERTS, card.ts, element["action_id"], chosen=option["value"]
                    )
                    assert acted.ok, acted
                    return
        raise AssertionError(f"there is no {name} on {card.text}")

    async def _send(self, user: str, values: dict[str, object]) -> bool:
        """Send the open modal as it was filled in by the bot; False: it offers nothing to send."""
        view = await self._until(lambda: self._ready_view(user))
        if view is None:
            return False
        if "submit" not in view.fields:
            await self._workspace.close_view(user)
            return False
        fields: list[Any] = list(view.blocks)
        known = {block.get("block_id") for block in fields}
        sent = await self._workspace.submit(
            user, {name: value for name, value in values.items() if name in known}
        )
        if self._workspace.open_view(user) is not None:
            await self._workspace.close_view(user)
            return False
        return sent.ok

    def _ready_view(self, user: str) -> View | None:
        view = self._workspace.open_view(user)
        if view is None:
            return None
        loading = len(view.blocks) == 1 and view.fields.get("callback_id") != "act:message"
        return None if loading and "submit" not in view.fields else view

    def _give_up(self, case_id: int, why: str) -> None:
        self._left.add(case_id)
        self.given_up.append(f"C-{case_id} {why}")

    async def _is_open(self, case_id: int) -> bool:
        state = await self._shop.ledger.fetchval(
            "SELECT state FROM ledger.cases WHERE case_id = $1", case_id
        )
        return state in {"open", "partly_done"} and case_id not in self._left

    async def _somebody_is_needed(self) -> bool:
        """Whether anything waits in the queue: asking Slack each market minute would only cost time."""
        there: bool = await self._shop.ledger.fetchval(
            """SELECT EXISTS (SELECT FROM ledger.cases c JOIN ledger.cards k USING (case_id)
                WHERE c.state = 'open' AND c.assignee IS NULL)"""
        )
        return there

    def _cards(self) -> list[Message]:
        return [
            m
            for m in self._workspace.messages(ALERTS)
            if _is_card(m) and _case_of(m) not in self._left and _first_to_press(m, set())
        ]

    def _card(self, case_id: int) -> Message | None:
        cards = [m for m in self._workspace.messages(ALERTS) if _is_card(m)]
        return next((m for m in cards if _case_of(m) == case_id), None)

    async def _until(self, look: Callable[[], T | None]) -> T | None:
        try:
            async with asyncio.timeout(WAIT_S):
                while (found := look()) is None:
                    await asyncio.sleep(0.01)
                return found
        except TimeoutError:
            return None


def _is_card(message: Message) -> bool:
    return (message.metadata or {}).get("event_type") == "mimawari_case"


def _case_of(message: Message) -> int:
    """Its buttons carry the case's id and version."""
    for element in _elements(message):
        for value in [element.get("value"), *(o.get("value") for o in element.get("options", []))]:
            parts = str(value or "").split("|")
            if len(parts) >= 2:
                return int(parts[-2])
    return 0


def _first_to_press(card: Message, tried: Set[str]) -> str | None:
    """The reversible hold first, then what ends a case, in the order in which it is shown."""
    known = registry()
    names = [name for name in _names(card) if name in known and name not in tried]
    ending = [name for name in names if known[name].closes_case]
    return "hold" if "hold" in names else next(iter(ending), None)


def _names(message: Message) -> list[str]:
    """What can be pressed, the buttons before the menu's entries."""
    buttons, menu = [], []
    for element in _elements(message):
        if str(element.get("action_id", "")).startswith("act:"):
            buttons.append(str(element["action_id"]).removeprefix("act:"))
        menu += [str(o.get("value", "")).partition("|")[0] for o in element.get("options", [])]
    return [*buttons, *menu]


def _elements(message: Message) -> Iterable[dict[str, Any]]:
    blocks: list[Any] = list(message.blocks)
    return [element for block in blocks for element in block.get("elements", [])]
