"""Planted: who is in no user group that we can read gets every role instead of none."""

from __future__ import annotations

from typing import Any

from bot.domain.roles import Role
from tests.chaos.planted import replace_everywhere


def plant() -> None:
    def open_to_all(_: Any) -> Any:
        def roles_of(_policy: Any, _user_id: str, _handles: Any) -> frozenset[Role]:
            return frozenset({Role.AGENT, Role.APPROVER})

        return roles_of

    replace_everywhere("bot.cases.policy:Policy.roles_of", open_to_all)
