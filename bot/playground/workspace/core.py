"""The parts of a local workspace, put together; methods of the Web API and acting people both work on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from bot.playground.workspace.board import Board
from bot.playground.workspace.delivery import ACK_TIMEOUT_S, EVENT_RETRIES_S, Delivery
from bot.playground.workspace.faults import Faults
from bot.playground.workspace.rate_limits import RateLimits
from bot.playground.workspace.seed import Seed
from bot.playground.workspace.socket_mode import SocketMode
from bot.playground.workspace.state import State
from bot.playground.workspace.stream import Stream
from bot.playground.workspace.traffic import Traffic
from bot.playground.workspace.triggers import ResponseUrls, Triggers
from bot.playground.workspace.view_state import Values
from bot.playground.workspace.views import View, Views


class Core:
    """A workspace with one app installed; everything is in memory and gone when it ends."""

    def __init__(
        self,
        seed: Seed,
        *,
        request_url: str | None = None,
        rate_scale: float = 1.0,
        ack_timeout_s: float = ACK_TIMEOUT_S,
        event_retries_s: Sequence[float] = EVENT_RETRIES_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.seed = seed
        self.state = State(seed, now=now)
        self.stream = Stream()
        self.faults = Faults()
        self.limits = RateLimits(rate_scale)
        self.triggers = Triggers(now)
        self.response_urls = ResponseUrls(now)
        self.traffic = Traffic(now, lambda n: self.stream.tell("traffic", {"n": n}))
        self.views = Views(seed, self._tell_view)
        self.socket = SocketMode(seed, self.stream.wake)
        self.delivery = Delivery(
            seed,
            self.socket,
            self.traffic,
            request_url=request_url,
            now=now,
            ack_timeout_s=ack_timeout_s,
            event_retries_s=event_retries_s,
        )
        self.board = Board(self.state, self.stream, self.delivery)
        self.message_values: dict[tuple[str, str, str], Values] = {}
        """What people chose in a message's own selects, by channel, ts and person."""
        self.scopes = set(seed.scopes)
        """What the bot token may do; a test may take one away."""
        self.revoked = False
        """Whether somebody has uninstalled the app."""
        self.channel_locale = "ja"
        """The language of the shared cards, as somebody last chose it on the page."""
        self.on_channel_locale: Callable[[str], Awaitable[None]] | None = None
        """Told when somebody chooses another."""
        self.base_url = ""
        """Where it is served; set by `serve_workspace`."""
        self.closing = asyncio.Event()

    def _tell_view(self, user_id: str, view: View | None) -> None:
        shown = None if view is None else self.views.payload(view)
        self.stream.tell("view", {"view": shown}, to=user_id)
