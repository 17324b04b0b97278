from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bot.actions import registry
from bot.cases.policy import DEFAULT_POLICY, read_policy
from bot.cases.room import TOPICS, Room
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.ledger import people
from bot.ledger.bell import Bell
from bot.ledger.engine import create_engine
from tests.cases.conftest import TEAM, StillClock
from tests.cases.machine import CaseRoomMachine, machine_policy

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))
"""0: a few, always the same; more are drawn at random and their seed is printed."""
STEPS = int(os.environ.get("MACHINE_STEPS", "40"))
SHRINK = bool(os.environ.get("MACHINE_SHRINK"))


@pytest.fixture
def machine(ledger_dsn: str) -> Iterator[type[CaseRoomMachine]]:
    """The machine on one ledger and one event loop, whatever number of examples it plays."""
    loop = asyncio.new_event_loop()
    engine = create_engine(ledger_dsn)
    policy = machine_policy(read_policy(DEFAULT_POLICY, registry()))
    room = Room(
        engine=engine,
        clock=StillClock(),
        policy=policy,
        bell=Bell(ledger_dsn, TOPICS),
        channel="C0ALERTS",
        home_team=TEAM,
        take_back_s=600,
    )

    async def declare() -> None:
        async with engine.begin() as conn:
            await people.store_capabilities(
                conn,
                {
                    verb: Capability(
                        verb=verb,
                        operation_class=OperationClass.KEY,
                        key_window_s=604800,
                        execution_bound_s=30,
                    )
                    for verb in Verb
                },
            )

    loop.run_until_complete(declare())

    class OnThisLedger(CaseRoomMachine):
        chain = (0, "0" * 64)

    OnThisLedger.loop = loop
    OnThisLedger.room = replace(room)
    yield OnThisLedger
    loop.run_until_complete(engine.dispose())
    loop.close()


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_whatever_people_workers_and_clocks_do_every_promise_holds(
    machine: type[CaseRoomMachine],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES or 20,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            print_blob=True,
            # A failure is told as it was found; MACHINE_SHRINK=1 looks for the shortest story instead.
            phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
