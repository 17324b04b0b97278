"""Scripted people: one to eight of them press the same case at once, fill in what they are shown, and send it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bot.playground.workspace.state import Json, Message
from bot.playground.workspace.views import View
from bot.playground.workspace.workspace import Workspace
from tests.chaos.town import AGENTS, ALERTS, APPROVERS, OTHERS

MODAL_S = 6.0
LOOK_S = 0.2
MOST_SENDS = 3
MOST_TRIES = 10
COMMANDS = 0.15
"""How often somebody types a command before the next card is worked on."""

OPEN_CHOICES = {"cancel": 70, "hold": 12, "refund": 8, "suspend": 4, "dismiss": 6}
WAITING_CHOICES = {"approve": 88, "reject": 12}
RUNNING_CHOICES = {"stop_rest": 1, "take_back": 3, "details": 6}
DONE_CHOICES = {"details": 1}


@dataclass(kw_only=True)
class Crowd:
    """Works on cards until it is told to stop; `parallel` cases at once."""

    workspace: Workspace
    chance: random.Random
    parallel: int = 3
    unseen: list[str] = field(default_factory=list)
    """Orders that nobody but us knows of: cases that people open by hand."""
    tally: Counter[str] = field(default_factory=Counter)
    """How people's acts ended, as Slack's client would show it."""
    _busy_people: set[str] = field(default_factory=set)
    _busy_cards: set[str] = field(default_factory=set)
    _rested: dict[str, float] = field(default_factory=dict)
    _cards: list[Message] = field(default_factory=list)

    async def work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(stop))
            for _ in range(self.parallel):
                group.create_task(self._direct(stop))

    @property
    def waiting(self) -> int:
        """How many cards offer something to decide."""
        return sum(bool(_choices(card)[0]) for card in self._cards)

    async def _watch(self, stop: asyncio.Event) -> None:
        """Keep the list of cards: looking at every message at each press would cost too much."""
        while not stop.is_set():
            self._cards = [
                message
                for message in self.workspace.state.channel(ALERTS).messages.values()
                if message.metadata is not None
                and message.metadata.get("event_type") == "mimawari_case"
                and message.ephemeral_to is None
            ]
            await asyncio.sleep(LOOK_S)

    async def _direct(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if self.chance.random() < COMMANDS:
                await self._command()
            card = self._choose_card()
            if card is None:
                await asyncio.sleep(LOOK_S)
                continue
            self._busy_cards.add(card.ts)
            people: list[str] = []
            try:
                name = self._choose_act(card)
                people = self._gather_people(name)
                self._busy_people.update(people)
                async with asyncio.TaskGroup() as group:
                    for person in people:
                        group.create_task(self._act(person, card, self._own_mind(card, name)))
                self._rested[card.ts] = asyncio.get_running_loop().time() + 0.5
            finally:
                self._busy_people.difference_update(people)
                self._busy_cards.discard(card.ts)

    def _choose_card(self) -> Message | None:
        now = asyncio.get_running_loop().time()
        free = [
            card
            for card in self._cards
            if card.ts not in self._busy_cards and self._rested.get(card.ts, 0) < now
        ]
        urgent = [card for card in free if _choices(card)[0]]
        if urgent and self.chance.random() < 0.93:
            # Those that wait for a second person first, else nothing would ever be carried out.
            asked = [card for card in urgent if "approve" in _names(card)]
            return self.chance.choice(asked or urgent)
        return self.chance.choice(free) if free else None

    def _choose_act(self, card: Message) -> str:
        offered, others = _choices(card)
        known = offered or others
        if not known:
            return "details"
        return self.chance.choices(list(known), list(known.values()))[0]

    def _own_mind(self, card: Message, name: str) -> str:
        """Most do what everybody does; some press something else that stands there."""
        names = [one for one in _names(card) if one not in {"open_admin", "by_hand", "consult"}]
        if self.chance.random() < 0.12 and names:
            return self.chance.choice(names)
        return name

    def _gather_people(self, name: str) -> list[str]:
        size = self.chance.choices([1, 2, 4, 6, 8], [30, 25, 25, 12, 8])[0]
        able = APPROVERS if name in {"approve", "reject"} else (*AGENTS, *APPROVERS)
        free = [one for one in able if one not in self._busy_people]
        rest = [one for one in (*AGENTS, *APPROVERS, *OTHERS) if one not in self._busy_people]
        if not free:
            return []
        first = self.chance.choice(free)
        rest.remove(first)
        return [first, *self.chance.sample(rest, min(size - 1, len(rest)))]

    async def _act(self, person: str, card: Message, name: str) -> None:
        acted = await self._press(person, card, name)
        if acted and name not in {"hold", "release", "claim", "stop_rest", "take_back"}:
            await self._fill_and_send(person)
        if self.workspace.open_view(person) is not None:
            await self.workspace.close_view(person)

    async def _command(self) -> None:
        """Somebody types a command, and goes on with what it opens."""
        free = [one for one in (*AGENTS, *APPROVERS, *OTHERS) if one not in self._busy_people]
        known = [str(_case_of(card)) for card in self._cards]
        if not free or not known:
            return
        person = self.chance.choice(free)
        kind = self.chance.choices(["open", "case", "audit", "queue", "next"], [5, 3, 2, 1, 1])[0]
        text = kind
        if kind == "open" and self.unseen:
            # An order for which a case is open already may be named by another one as well.
            order = self.chance.choice(self.unseen)
            if self.chance.random() < 0.5:
                self.unseen.remove(order)
            text = f"cancel {order}"
        elif kind in {"case", "audit"}:
            text = f"{kind} C-{self.chance.choice(known)}"
        elif kind == "open":
            return
        self._busy_people.add(person)
        try:
            if await self._type(person, text):
                await self._fill_and_send(person)
            if self.workspace.open_view(person) is not None:
                await self.workspace.close_view(person)
        finally:
            self._busy_people.discard(person)

    async def pause_for_a_while(self, seconds: float) -> None:
        """Somebody pauses everything; after a while two people let it go on."""
        await self._type(self.chance.choice(AGENTS), "pause all chaos")
        await asyncio.sleep(seconds)
        await self.resume()

    async def resume(self) -> None:
        """Two people ask for what is paused to go on; each as often as it takes to be heard."""
        for person in self.chance.sample(APPROVERS, 2):
            for _ in range(MOST_TRIES):
                if await self._type(person, "resume all"):
                    break
                await asyncio.sleep(0.5)

    async def _type(self, person: str, text: str) -> bool:
        acted = await self.workspace.command(person, ALERTS, "/cre", text)
        self.tally["command " + (acted.error or "ok").partition(":")[0]] += 1
        return acted.ok

    async def _press(self, person: str, card: Message, name: str) -> bool:
        for element in _elements(card):
            chosen = None
            if element.get("action_id") != f"act:{name}":
                chosen = next(
                    (
                        option["value"]
                        for option in element.get("options", [])
                        if str(option.get("value", "")).startswith(f"{name}|")
                    ),
                    None,
                )
                if chosen is None:
                    continue
            acted = await self.workspace.click(
                person, ALERTS, card.ts, str(element["action_id"]), chosen=chosen
            )
            self.tally["press " + (acted.error or "ok").partition(":")[0]] += 1
            return acted.ok
        return False

    async def _fill_and_send(self, person: str) -> None:
        view = await self._ready_view(person)
        if view is None or self.chance.random() < 0.05:
            return  # closed without sending
        for _ in range(MOST_SENDS):
            if view is None or "submit" not in view.fields:
                return
            values = dict(self._values(view))
            twice = self.chance.random() < 0.1
            sends = [
                self.workspace.submit(person, values, view_id=view.view_id)
                for _ in range(2 if twice else 1)
            ]
            for sent in await asyncio.gather(*sends):
                self.tally["submit " + (sent.error or "ok").partition(":")[0]] += 1
            view = self.workspace.open_view(person)

    async def _ready_view(self, person: str) -> View | None:
        """What the person sees once it is filled in; a modal is opened before a press is answered, or never."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MODAL_S):
                while (view := self.workspace.open_view(person)) is not None:
                    loading = len(view.blocks) == 1 and "submit" not in view.fields
                    if not loading or view.fields.get("callback_id") == "act:message":
                        return view
                    await asyncio.sleep(0.03)
        return None

    def _values(self, view: View) -> Iterator[tuple[str, object]]:
        """Something for everything that must be filled in, and now and then fewer targets."""
        for block in view.blocks:
            element: Any = block.get("element")
            if block.get("type") != "input" or not isinstance(element, dict):
                continue
            name, kind = str(block["block_id"]), element.get("type")
            options = [str(option["value"]) for option in element.get("options", [])]
            if kind in {"static_select", "radio_buttons"} and not element.get("initial_option"):
                yield name, self.chance.choice(options)
            elif kind == "checkboxes" and name.startswith("targets") and len(options) > 1:
                if self.chance.random() < 0.2:
                    yield name, self.chance.sample(options, self.chance.randint(1, len(options)))
            elif (
                kind == "plain_text_input"
                and not block.get("optional")
                and not element.get("initial_value")
            ):
                yield name, "chaos"


def _choices(card: Message) -> tuple[dict[str, int], dict[str, int]]:
    """What can be decided on a card now, with its weights; and what else can be done there."""
    names = set(_names(card))
    offered = {
        name: weight for name, weight in (OPEN_CHOICES | WAITING_CHOICES).items() if name in names
    }
    others = {
        name: weight for name, weight in (RUNNING_CHOICES | DONE_CHOICES).items() if name in names
    }
    return offered, others


def _case_of(card: Message) -> int:
    payload: Any = (card.metadata or {}).get("event_payload") or {}
    return int(payload.get("case_id") or 0)


def _names(card: Message) -> list[str]:
    names: list[str] = []
    for element in _elements(card):
        if str(element.get("action_id", "")).startswith("act:") and "value" in element:
            names.append(str(element["action_id"]).removeprefix("act:"))
        names += [str(o.get("value", "")).partition("|")[0] for o in element.get("options", [])]
    return names


def _elements(card: Message) -> list[dict[str, Any]]:
    blocks: Sequence[Json] = card.blocks
    return [
        element
        for block in blocks
        for element in _list_of(block.get("elements"))
        if isinstance(element, dict)
    ]


def _list_of(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
