"""The workspace of a chaos run: more people than the demo's, and a record of every call."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

from typing_extensions import override

from bot.playground.workspace import state
from bot.playground.workspace.seed import Seed, SeedUser, demo_seed
from bot.playground.workspace.traffic import Traffic
from bot.playground.workspace.workspace import Workspace
from tests.chaos.bot_process import SPEED_UP


def seeded(*what: object) -> random.Random:
    """Chance that can be repeated; each use has its own, so that one does not disturb another."""
    return random.Random(" ".join(str(one) for one in what))  # noqa: S311 - no secret comes of it


ALERTS = "C0ALERTS"
AGENTS = ("U0SATO", "U0SUZUKI", "U0AGENT3", "U0AGENT4", "U0AGENT5", "U0AGENT6")
APPROVERS = ("U0TANAKA", "U0SMITH", "U0LEAD3", "U0LEAD4", "U0LEAD5", "U0LEAD6")
OTHERS = ("U0ITO", "U0WATANABE", "U0YAMADA", "U0YAMADA2", "U0GUEST")
"""An engineer, an accountant, two without any role, and a guest."""
ROLES = {
    **{user_id: ["agent"] for user_id in AGENTS},
    **{user_id: ["approver"] for user_id in APPROVERS},
    "U0ITO": ["engineer"],
    "U0WATANABE": ["accountant"],
}
GUESTS = frozenset({"U0GUEST"})


class Calls(Traffic):
    """Keeps what the app called, whole and for ever, in place of the page's short memory."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0, lambda _: None)
        self.kept: list[dict[str, Any]] = []

    @override
    def note(self, direction: str, method: str, **what: Any) -> None:
        if direction == "in":
            self.kept.append(
                {
                    "method": method,
                    "at": time.time(),
                    "ok": what["ok"],
                    "error": what["error"],
                    "status": what["status"],
                }
            )


def town_seed() -> Seed:
    """The demo's workspace with as many agents and approvers as a crowd needs."""
    seed = demo_seed()
    known = {user.user_id for user in seed.users}
    more = tuple(
        SeedUser(user_id=user_id, name=user_id.lower(), display_name=user_id.removeprefix("U0"))
        for user_id in (*AGENTS, *APPROVERS, *OTHERS)
        if user_id not in known
    )
    members = {"cs-agents": AGENTS, "cs-leads": APPROVERS}
    return replace(
        seed,
        users=(*seed.users, *more),
        usergroups=tuple(
            replace(group, users=members.get(group.handle, group.users))
            for group in seed.usergroups
        ),
    )


def a_town(request_url: str) -> tuple[Workspace, Calls]:
    """A workspace that forgets nothing, delivers to the balancer and limits rates as the bots expect."""
    state.KEPT_MESSAGES = 10**9
    workspace = Workspace(
        town_seed(),
        request_url=request_url,
        rate_scale=SPEED_UP,
        event_retries_s=(0.5, 2.0, 5.0),
    )
    calls = Calls()
    workspace.traffic = calls
    workspace.delivery._traffic = calls
    return workspace, calls


def people() -> dict[str, dict[str, Any]]:
    """Who may do what, for the auditor."""
    return {
        user_id: {"roles": ROLES.get(user_id, []), "guest": user_id in GUESTS}
        for user_id in (*AGENTS, *APPROVERS, *OTHERS)
    }


def slack_json(workspace: Workspace, calls: Calls) -> dict[str, Any]:
    """Everything that stands in Slack at the end."""
    return {
        "messages": [
            {
                "channel": message.channel,
                "ts": message.ts,
                "thread_ts": message.thread_ts,
                "user": message.user,
                "text": message.text,
                "blocks": message.blocks,
                "metadata": message.metadata,
                "ephemeral_to": message.ephemeral_to,
            }
            for channel in workspace.state.channels.values()
            for message in channel.messages.values()
        ],
        "calls": calls.kept,
    }
