"""Whatever somebody breaks above it, the ledger takes no operation that would pay a suspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from bot.actions import registry
from bot.cases.freezing import freeze, queue_operations
from bot.cases.room import Room
from bot.domain.actions import Action, VerbUse
from bot.domain.verbs import Verb
from bot.ledger import cases
from tests.cases.stage import an_open_case, cancel_choice


async def queue_cancel(room: Room, action: Action) -> None:
    """Queue one forced cancel as a decision would, but with this action in place of ours."""
    view = await an_open_case(room)
    decision = freeze(
        view,
        cancel_choice("O-1"),
        requested_by="U0SATO",
        amounts=((12400, "JPY"),),
        now=room.clock.now(),
    )
    async with room.engine.begin() as conn:
        await cases.insert_decision(conn, decision, evidence={}, policy_hash="", dry_run=False)
        await queue_operations(conn, view, decision, action)


def cancel_with(params: Mapping[str, str]) -> Action:
    return replace(registry()["cancel"], uses=(VerbUse(verb=Verb.CANCEL, params=params),))


@pytest.mark.parametrize("params", [{}, {"refund_policy": "normal"}, {"refund_policy": ""}])
async def test_a_cancel_that_lost_its_withholding_is_never_queued(
    room: Room, params: Mapping[str, str]
) -> None:
    with pytest.raises(IntegrityError, match="cancel_withholds"):
        await queue_cancel(room, cancel_with(params))


async def test_a_cancel_that_withholds_is_queued(room: Room) -> None:
    await queue_cancel(room, registry()["cancel"])
