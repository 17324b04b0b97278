"""Planted: a cancellation gives everything back instead of withholding what no card paid."""

from __future__ import annotations

from typing import Any

from tests.chaos.planted import replace_everywhere

SQL = """ALTER TABLE ledger.operations DROP CONSTRAINT cancel_withholds"""


def plant() -> None:
    def generous(real: Any) -> Any:
        def body_of(*args: Any, **more: Any) -> Any:
            body = real(*args, **more)
            return {**body, "refund_policy": "full"} if "refund_policy" in body else body

        return body_of

    replace_everywhere("bot.cases.targets:body_of", generous)
