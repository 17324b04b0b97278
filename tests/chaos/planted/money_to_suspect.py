"""Planted: a cancellation gives everything back instead of withholding what no card paid."""

from __future__ import annotations

from typing import Any

from tests.chaos.planted import replace_everywhere

SQL = """ALTER TABLE ledger.operations DROP CONSTRAINT cancel_withholds"""


def plant() -> None:
    def generous(real: Any) -> Any:
        def params_of(*args: Any, **more: Any) -> Any:
            params = real(*args, **more)
            return {**params, "refund_policy": "normal"} if "refund_policy" in params else params

        return params_of

    replace_everywhere("bot.cases.targets:params_of", generous)
