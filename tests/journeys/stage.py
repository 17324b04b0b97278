"""The whole world of a journey: a strict workspace, a strict marketplace, and the real bot between them."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from bot.app import Bot, running_parts
from bot.cases.policy import DEFAULT_POLICY
from bot.domain.cases import CaseView
from bot.ledger import audit, cases
from bot.ledger.engine import create_engine, snapshot
from bot.playground.market.server import Marketplace, serve_marketplace
from bot.playground.workspace.acting import Acted, Submitted
from bot.playground.workspace.seed import demo_seed
from bot.playground.workspace.server import serve_workspace
from bot.playground.workspace.state import Message
from bot.playground.workspace.views import View
from bot.playground.workspace.workspace import Workspace
from bot.publisher import Limits
from bot.settings import Settings
from tests.playground.market.stage import add_account, add_listing, add_order

ALERTS = "C0ALERTS"
AGENT, AGENT_2, APPROVER, APPROVER_2 = "U0SATO", "U0SUZUKI", "U0TANAKA", "U0SMITH"
ENGINEER, OUTSIDER, GUEST = "U0ITO", "U0YAMADA", "U0GUEST"
MARKET_TOKEN = "market-token"
T = TypeVar("T")
QUICK = Limits(posts_per_s=50, updates_per_s=50)


@dataclass(kw_only=True)
class Stage:
    """Everything in one place, to act and to look."""

    workspace: Workspace
    market: Marketplace
    settings: Settings
    engine: AsyncEngine
    bot: Bot | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    # ---- The bot

    @asynccontextmanager
    async def bot_running(self) -> AsyncIterator[Bot]:
        """The real bot in this process, from its start to its graceful stop."""
        async with running_parts(self.settings, limits=QUICK) as bot:
            stop = asyncio.Event()
            task = asyncio.create_task(bot.run(stop))
            try:
                await self.until_it_listens()
                yield bot
            finally:
                stop.set()
                bot.room.bell.ring("operations", "cards", "posts")
                await task

    async def until_it_listens(self) -> None:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{self.settings.port}/healthz"):
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)

    async def detect_now(self) -> None:
        """Make every detection due."""
        async with self.engine.begin() as conn:
            await conn.execute(
                text(
                    """UPDATE ledger.ticks SET due_at = clock_timestamp()
                        WHERE name LIKE 'detection:%' OR name = 'job:watch_members'"""
                )
            )

    # ---- The marketplace

    async def self_dealing(self, order: str, *, amount: int = 12400) -> None:
        """One person buys from himself with somebody else's card: same device on both sides."""
        now = datetime.now(UTC)
        async with self.market.pool.acquire() as conn, conn.transaction():
            await add_account(
                conn,
                f"seller-{order}",
                full_name="悪井 太郎",
                is_seller=True,
                signup_device_id=f"device-{order}",
                created_at=now - timedelta(hours=5),
                updated_at=now,
            )
            await add_account(
                conn,
                f"buyer-{order}",
                full_name="山田 花子",
                signup_device_id=f"device-{order}",
                created_at=now - timedelta(hours=4),
                updated_at=now,
            )
            await add_listing(conn, f"listing-{order}", seller_id=f"seller-{order}", updated_at=now)
            await add_order(
                conn,
                order,
                buyer_id=f"buyer-{order}",
                seller_id=f"seller-{order}",
                total_amount=amount,
                discount_amount=0,
                points_amount=0,
                card_fingerprint=f"card-{order}",
                device_id=f"device-{order}",
                ordered_at=now - timedelta(minutes=1),
                paid_at=now - timedelta(minutes=1),
                ship_due_at=now + timedelta(hours=2),
                updated_at=now,
            )

    async def order(self, order: str) -> dict[str, Any]:
        row = await self.market.pool.fetchrow(
            "SELECT * FROM market.orders WHERE order_id = $1", order
        )
        return dict(row)

    async def account(self, account: str) -> dict[str, Any]:
        row = await self.market.pool.fetchrow(
            "SELECT * FROM market.accounts WHERE account_id = $1", account
        )
        return dict(row)

    # ---- Slack

    def cards(self) -> list[Message]:
        return [
            message
            for message in self.workspace.messages(ALERTS)
            if (message.metadata or {}).get("event_type") == "mimawari_case"
        ]

    async def card_with(self, words: str, *, within_s: float = 30) -> Message:
        """The first card whose text holds these words, when it is there."""
        return await self.until(
            lambda: next((card for card in self.cards() if words in card.text), None),
            within_s=within_s,
            what=lambda: f"a card with {words!r}; there are {[c.text for c in self.cards()]}",
        )

    async def press(self, user: str, card: Message, name: str) -> Acted:
        """Press a button, or an entry of the card's overflow menu, by its name."""
        for element in elements_of(card):
            if element.get("action_id") == f"act:{name}":
                return await self.workspace.click(user, ALERTS, card.ts, f"act:{name}")
            for option in element.get("options", []):
                if str(option.get("value", "")).startswith(f"{name}|"):
                    return await self.workspace.click(
                        user, ALERTS, card.ts, element["action_id"], chosen=option["value"]
                    )
        raise AssertionError(f"the card has no {name}: {buttons_of(card)}")

    async def modal(self, user: str, *, ready: bool = True) -> View:
        """The modal that the person sees, filled in."""

        def there() -> View | None:
            view = self.workspace.open_view(user)
            # While it is being filled in it has one line and nothing to send; a plain sentence has a name.
            loading = view is not None and (
                len(view.blocks) == 1
                and "submit" not in view.fields
                and view.fields.get("callback_id") != "act:message"
            )
            return None if view is None or (ready and loading) else view

        return await self.until(there, what=lambda: f"a modal for {user}")

    async def submit(self, user: str, values: dict[str, object] | None = None) -> Submitted:
        return await self.workspace.submit(user, values or {})

    async def told(self, user: str, words: str, *, within_s: float = 5) -> Message:
        """The sentence that this person alone was told."""
        return await self.until(
            lambda: next((m for m in self.workspace.ephemerals(user) if words in m.text), None),
            within_s=within_s,
            what=lambda: (
                f"{words!r} to {user}; there is {[m.text for m in self.workspace.ephemerals(user)]}"
            ),
        )

    # ---- The ledger

    async def case(self, card: Message) -> CaseView:
        metadata: Any = card.metadata
        async with snapshot(self.engine) as conn:
            view = await cases.read_view(conn, metadata["event_payload"]["case_id"])
        assert view is not None
        return view

    async def verified(self) -> audit.Verification:
        async with self.engine.connect() as conn:
            return await audit.verify(conn)

    async def count(self, table: str) -> int:
        async with self.engine.connect() as conn:
            number: int = (
                await conn.execute(text(f"SELECT count(*) FROM ledger.{table}"))
            ).scalar_one()
        return number

    async def until(
        self,
        look: Callable[[], T | None],
        *,
        within_s: float = 30,
        what: Callable[[], str] = lambda: "it",
    ) -> T:
        """What `look` gives once it gives something other than nothing."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    found = look()
                    if found is not None and found is not False:
                        return found
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"waited {within_s} s for {what()}") from None


def buttons_of(card: Message) -> list[str]:
    """The names of everything that can be pressed on a card."""
    names: list[str] = []
    for element in elements_of(card):
        if "action_id" in element:
            names.append(element["action_id"])
        names += [option.get("value", "") for option in element.get("options", [])]
    return names


def elements_of(card: Message) -> list[dict[str, Any]]:
    """The elements of every block of a card."""
    blocks: list[Any] = list(card.blocks)
    return [element for block in blocks for element in block.get("elements", [])]


def text_of(view: View) -> str:
    """Every word of a modal."""
    words: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str):
                words.append(value["text"])
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(view.fields)
    return "\n".join(words)


# Below the ports that the system hands out by itself: what is free here is not taken before it is used.
_PORTS = itertools.count(os.getpid() % 1_000 * 10)
# A port is also taken as a datagram port while it is on its way to whoever will listen on it: other workers and
# sessions that look for one see that.
_RESERVED: deque[socket.socket] = deque(maxlen=50)


def free_port() -> int:
    """A port that nobody listens on or is about to, another one at each call."""
    for count in _PORTS:
        place = ("127.0.0.1", count % 12_000 + 20_000)
        reserved = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reserved.bind(place)
            with socket.socket() as probe:
                probe.bind(place)
        except OSError:
            reserved.close()
            continue
        if len(_RESERVED) == _RESERVED.maxlen:
            _RESERVED.popleft().close()
        _RESERVED.append(reserved)
        return place[1]
    raise AssertionError("the count of ports has no end")


def write_policy(folder: Path, **changes: object) -> Path:
    """The policy that comes with the bot, with these entries changed."""
    policy = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8")) | changes
    path = folder / "policy.yml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return path


@asynccontextmanager
async def a_stage(
    *,
    market_dsn: str,
    market_reader_dsn: str,
    ledger_dsn: str,
    folder: Path,
    locale: str = "ja",
    policy: Mapping[str, object] | None = None,
) -> AsyncIterator[Stage]:
    """A workspace and a marketplace that run, and settings for a bot that does not yet.

    Args:
        policy: entries in place of the policy's own; without any, decisions are carried out at once and
            every case has its card.
    """
    port = free_port()
    workspace = Workspace(
        demo_seed(),
        request_url=f"http://127.0.0.1:{port}/slack/events",
        rate_scale=100,
        event_retries_s=(0.1, 0.2, 0.3),
    )
    market = Marketplace(market_dsn, token=MARKET_TOKEN)
    engine = create_engine(ledger_dsn, poolclass=NullPool)
    async with (
        serve_workspace(workspace, "127.0.0.1", 0) as page_url,
        serve_marketplace(market, "127.0.0.1", 0) as market_url,
    ):
        settings = Settings(
            slack_bot_token=SecretStr("xoxb-demo-token"),
            slack_signing_secret=SecretStr("demo-signing-secret"),
            slack_app_token=None,
            slack_api_url=f"{page_url}/api/",
            database_url=SecretStr(ledger_dsn),
            market_database_url=SecretStr(market_reader_dsn),
            market_api_url=market_url,
            market_api_token=SecretStr(MARKET_TOKEN),
            alert_channel=ALERTS,
            locale=locale,
            port=port,
            policy_file=write_policy(
                folder,
                **({"take_back_seconds": 0, "cards_for": ["P1", "P2", "P3"]} | dict(policy or {})),
            ),
        )
        yield Stage(workspace=workspace, market=market, settings=settings, engine=engine)
    await engine.dispose()
