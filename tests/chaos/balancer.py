"""Stands between Slack and the bots: each delivery goes to one of them, now and then twice, late or out of order."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

ANSWER_S = 15.0
NOT_PASSED_ON = frozenset({"host", "content-length", "connection", "accept-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One delivery of what a person did, and what came back."""

    n: int
    at: float
    user: str
    kind: str
    name: str
    case: int | None
    version: int | None
    decision: str | None
    status: int | None
    answer: object
    delivery: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a person did, as the payload tells."""

    user: str
    kind: str
    name: str
    case: int | None = None
    version: int | None = None
    decision: str | None = None


@dataclass(slots=True, kw_only=True)
class Habits:
    """How likely the network does what; the rest arrives once and at once."""

    doubled: float = 0.0
    delayed: float = 0.0
    late: float = 0.0
    """A copy comes long after, still within the five minutes of its signature."""
    delay_s: float = 1.5
    late_s: tuple[float, float] = (5.0, 40.0)


@dataclass(kw_only=True)
class Balancer:
    """A load balancer without a memory; `bots` are the ports of those that may be asked."""

    bots: Sequence[int]
    chance: random.Random
    habits: Habits = field(default_factory=Habits)
    sent: list[Sent] = field(default_factory=list)
    port: int = 0
    under_way: int = 0
    _count: int = 0
    _session: aiohttp.ClientSession | None = None
    _copies: set[asyncio.Task[Any]] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in NOT_PASSED_ON
        }
        act = act_of(body.decode(), request.content_type)
        self._count += 1
        delivery = f"d{self._count:06d}"
        chance, habits = self.chance, self.habits
        if chance.random() < habits.doubled:
            self._keep(self._after(chance.random() * 0.5, body, headers, act, delivery))
        if act is not None and chance.random() < habits.late:
            self._keep(self._after(chance.uniform(*habits.late_s), body, headers, act, delivery))
        if chance.random() < habits.delayed:
            await asyncio.sleep(chance.random() * habits.delay_s)
        status, text = await self._bring(body, headers, act, delivery)
        return web.Response(
            status=status or 502,
            text=text,
            content_type="application/json" if text.startswith("{") else "text/plain",
        )

    async def settle(self) -> None:
        """Wait until every copy has been brought."""
        while self._copies:
            await asyncio.wait(self._copies)

    def drop_copies(self) -> None:
        for task in self._copies:
            task.cancel()

    def _keep(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def _after(
        self, wait_s: float, body: bytes, headers: Mapping[str, str], act: Act | None, delivery: str
    ) -> None:
        await asyncio.sleep(wait_s)
        await self._bring(body, headers, act, delivery)

    async def _bring(
        self, body: bytes, headers: Mapping[str, str], act: Act | None, delivery: str
    ) -> tuple[int | None, str]:
        at = time.time()
        status, text = await self._ask(body, headers)
        if act is not None:
            self.sent.append(
                Sent(
                    n=len(self.sent) + 1,
                    at=at,
                    user=act.user,
                    kind=act.kind,
                    name=act.name,
                    case=act.case,
                    version=act.version,
                    decision=act.decision,
                    status=status,
                    answer=parsed(text),
                    delivery=delivery,
                )
            )
        return status, text

    async def _ask(self, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, str]:
        """The first bot that can be reached; one that breaks off is not replaced by another."""
        if self._session is None:
            raise RuntimeError("it is not being served")
        ports = list(self.bots)
        self.chance.shuffle(ports)
        for port in ports:
            try:
                async with self._session.post(
                    f"http://127.0.0.1:{port}/slack/events", data=body, headers=headers
                ) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, OSError, TimeoutError):
                return None, ""
        return None, ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Yields the request URL that the app has in Slack."""
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_post("/slack/events", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            # One connection a delivery: a kept one to a dead bot would look like a broken answer.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
        ) as session:
            self._session = session
            try:
                await web.TCPSite(runner, "127.0.0.1", self.port).start()
                self.port = runner.addresses[0][1]
                yield f"http://127.0.0.1:{self.port}/slack/events"
            finally:
                self.drop_copies()
                await asyncio.gather(*self._copies, return_exceptions=True)
                await runner.cleanup()


def act_of(body: str, content_type: str) -> Act | None:
    """What a person did; None for events and closed modals."""
    if content_type == "application/json":
        return None
    form = {name: values[0] for name, values in parse_qs(body).items()}
    if "command" in form:
        return Act(user=form["user_id"], kind="command", name=form.get("text", ""))
    payload = json.loads(form.get("payload", "{}"))
    user = str((payload.get("user") or {}).get("id"))
    match payload.get("type"):
        case "block_actions":
            pressed = payload["actions"][0]
            name, value = str(pressed["action_id"]), str(pressed.get("value") or "")
            if pressed.get("selected_option"):
                name, _, value = str(pressed["selected_option"]["value"]).partition("|")
            case, _, version = value.partition("|")
            return Act(
                user=user,
                kind="button",
                name=name.removeprefix("act:"),
                case=int(case) if case.isdigit() else None,
                version=int(version) if version.isdigit() else None,
            )
        case "view_submission":
            view = payload["view"]
            meta = parsed(view.get("private_metadata") or "{}")
            known = meta if isinstance(meta, dict) else {}
            return Act(
                user=user,
                kind="submission",
                name=str(view.get("callback_id")).removeprefix("act:"),
                case=known.get("case"),
                version=known.get("version"),
                decision=known.get("decision"),
            )
        case _:
            return None


def parsed(text: str) -> object:
    """JSON where it is some, nothing where there is nothing."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
