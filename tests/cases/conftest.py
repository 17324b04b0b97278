from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy.pool import NullPool

from bot.actions import registry
from bot.cases.policy import DEFAULT_POLICY, read_policy
from bot.cases.room import TOPICS, Room
from bot.domain.roles import Person, Role
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.ledger import people
from bot.ledger.bell import Bell
from bot.ledger.engine import create_engine

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
TEAM = "T0MIMAWARI"


class StillClock:
    """A market whose time stands still."""

    def now(self) -> datetime:
        return NOW


PEOPLE: tuple[tuple[str, str, set[Role]], ...] = (
    ("U0SATO", "佐藤", {Role.AGENT}),
    ("U0SUZUKI", "鈴木", {Role.AGENT}),
    ("U0TANAKA", "田中", {Role.APPROVER}),
    ("U0SMITH", "Smith", {Role.APPROVER}),
    ("U0ITO", "伊藤", {Role.ENGINEER}),
    ("U0YAMADA", "山田", set()),
)


@pytest.fixture
async def room(ledger_dsn: str) -> AsyncIterator[Room]:
    """A case room over a real ledger, with people and everything that the marketplace can offer."""
    engine = create_engine(ledger_dsn, poolclass=NullPool)
    async with engine.begin() as conn:
        await people.store_people(
            conn,
            [
                *(
                    Person(user_id=id_, team_id=TEAM, display_name=name, roles=frozenset(roles))
                    for id_, name, roles in PEOPLE
                ),
                Person(
                    user_id="U0GUEST",
                    team_id=TEAM,
                    display_name="ゲスト",
                    is_guest=True,
                    roles=frozenset({Role.APPROVER}),
                ),
            ],
        )
        await people.store_groups(
            conn, {"cs-agents": "S0AGENTS", "cs-leads": "S0LEADS", "engineers": "S0ENGINEERS"}
        )
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
    yield Room(
        take_back_s=0,
        engine=engine,
        clock=StillClock(),
        policy=read_policy(DEFAULT_POLICY, registry()),
        bell=Bell(ledger_dsn, TOPICS),
        channel="C0ALERTS",
        home_team=TEAM,
    )
    await engine.dispose()
