"""Modals and App Homes: each person's stack of views, their hashes and states."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.blocks import validate_view
from bot.playground.workspace.seed import Seed
from bot.playground.workspace.state import Json, as_objects
from bot.playground.workspace.view_state import Values, first_state, with_ids

MAX_STACK = 3
MAX_VIEW_BYTES = 250_000


@dataclass(slots=True, kw_only=True)
class View:
    """A view as it stands in somebody's client."""

    view_id: str
    user_id: str
    fields: Json
    """What the app sent, blocks with their ids."""
    hash: str
    values: Values = field(default_factory=dict)
    root_view_id: str = ""
    previous_view_id: str | None = None

    @property
    def blocks(self) -> list[Json]:
        return as_objects(self.fields["blocks"])

    @property
    def external_id(self) -> str:
        return str(self.fields.get("external_id") or "")


class Views:
    """All open views of the app, by person."""

    def __init__(self, seed: Seed, told: Callable[[str, View | None], None]) -> None:
        self._seed = seed
        self._told = told
        self._stacks: dict[str, list[View]] = {}
        self._homes: dict[str, View] = {}
        self._hashes = 0

    def top(self, user_id: str) -> View | None:
        """The modal that somebody sees."""
        stack = self._stacks.get(user_id)
        return stack[-1] if stack else None

    def home(self, user_id: str) -> View | None:
        return self._homes.get(user_id)

    def stack(self, user_id: str) -> list[View]:
        """Undermost first."""
        return list(self._stacks.get(user_id, []))

    def find(self, view_id: str | None, external_id: str | None = None) -> View | None:
        for view in (*self._homes.values(), *(v for s in self._stacks.values() for v in s)):
            if view_id == view.view_id or (external_id and external_id == view.external_id):
                return view
        return None

    def open(self, user_id: str, fields: Json) -> View:
        """Show a modal in place of whatever modal of ours is open."""
        self._refuse_double_external_id(fields)
        view = self._drawn(user_id, fields)
        self._stacks[user_id] = [view]
        self._told(user_id, view)
        return view

    def push(self, user_id: str, fields: Json) -> View:
        """Show a modal above the open one."""
        stack = self._stacks.get(user_id)
        if not stack:
            raise ApiError("not_found")
        if len(stack) >= MAX_STACK:
            raise ApiError("push_limit_reached")
        self._refuse_double_external_id(fields)
        view = self._drawn(user_id, fields)
        view.root_view_id, view.previous_view_id = stack[0].view_id, stack[-1].view_id
        stack.append(view)
        self._told(user_id, view)
        return view

    def update(self, view: View, fields: Json, expected_hash: str | None = None) -> View:
        """Draw it anew; what was typed stays where block and action id stay."""
        if expected_hash is not None and expected_hash != view.hash:
            raise ApiError("hash_conflict")
        if fields.get("type") != view.fields["type"]:
            raise ApiError("invalid_arguments", messages=["[ERROR] the type cannot change"])
        self._refuse_double_external_id(fields, but=view)
        view.fields = {**fields, "blocks": with_ids(as_objects(fields["blocks"]))}
        view.values = first_state(view.blocks, view.values)
        view.hash = self._next_hash()
        if view is self.top(view.user_id):
            self._told(view.user_id, view)
        return view

    def publish(self, user_id: str, fields: Json, expected_hash: str | None = None) -> View:
        """Set somebody's App Home."""
        home = self._homes.get(user_id)
        if home is not None:
            return self.update(home, fields, expected_hash)
        if expected_hash is not None:
            raise ApiError("hash_conflict")
        self._refuse_double_external_id(fields)
        self._homes[user_id] = self._drawn(user_id, fields)
        return self._homes[user_id]

    def close(self, view: View, *, all_views: bool = False) -> list[View]:
        """Close it with all above it, or the whole stack; returns what was closed, undermost first."""
        stack = self._stacks.get(view.user_id, [])
        if view not in stack:
            return []
        at = 0 if all_views else stack.index(view)
        closed = stack[at:]
        del stack[at:]
        self._told(view.user_id, self.top(view.user_id))
        return closed

    def payload(self, view: View) -> Json:
        """The view as Slack writes it into answers and payloads."""
        fields = view.fields
        return {
            "id": view.view_id,
            "team_id": self._seed.team_id,
            "type": fields["type"],
            "blocks": fields["blocks"],
            "private_metadata": fields.get("private_metadata") or "",
            "callback_id": fields.get("callback_id") or "",
            "external_id": view.external_id,
            "state": {"values": view.values},
            "hash": view.hash,
            "title": fields.get("title"),
            "submit": fields.get("submit"),
            "close": fields.get("close"),
            "clear_on_close": bool(fields.get("clear_on_close")),
            "notify_on_close": bool(fields.get("notify_on_close")),
            "submit_disabled": bool(fields.get("submit_disabled")),
            "previous_view_id": view.previous_view_id,
            "root_view_id": view.root_view_id,
            "app_id": self._seed.app_id,
            "app_installed_team_id": self._seed.team_id,
            "bot_id": self._seed.bot_id,
        }

    def _drawn(self, user_id: str, fields: Json) -> View:
        view_id = f"V{secrets.token_hex(5).upper()}"
        view = View(
            view_id=view_id,
            user_id=user_id,
            fields={**fields, "blocks": with_ids(as_objects(fields["blocks"]))},
            hash=self._next_hash(),
            root_view_id=view_id,
        )
        view.values = first_state(view.blocks)
        return view

    def _next_hash(self) -> str:
        self._hashes += 1
        return f"{self._hashes}.{secrets.token_hex(4)}"

    def _refuse_double_external_id(self, fields: Json, but: View | None = None) -> None:
        wanted = str(fields.get("external_id") or "")
        other = self.find(None, wanted) if wanted else None
        if other is not None and other is not but:
            raise ApiError("duplicate_external_id")


def checked_view(view: object) -> Json:
    """A view that Slack would take.

    Raises:
        ApiError: it would not.
    """
    if len(json.dumps(view, ensure_ascii=False).encode()) > MAX_VIEW_BYTES:
        raise ApiError("view_too_large")
    problems = validate_view(view)
    if problems or not isinstance(view, dict):
        raise ApiError("invalid_arguments", messages=problems)
    return {name: value for name, value in view.items() if value is not None}
