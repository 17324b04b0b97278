"""Planted: people may approve what they asked for."""

from __future__ import annotations

from typing import Any

from tests.chaos.planted import replace_everywhere

SQL = """DROP TRIGGER check_approval ON ledger.approvals"""


def plant() -> None:
    def lenient(real: Any) -> Any:
        def judge_approval(*args: Any, **more: Any) -> Any:
            return real(*args, **{**more, "requested_by": "", "opened_by": None})

        return judge_approval

    replace_everywhere("bot.cases.policy:judge_approval", lenient)
