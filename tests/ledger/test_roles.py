from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from bot.domain.roles import Person, Role
from bot.ledger.engine import create_engine
from bot.ledger.roles import keep_spans, policy_at, roles_at

WAITS = {Role.APPROVER: 24.0}


@pytest.fixture
async def conn(ledger_dsn: str) -> AsyncIterator[AsyncConnection]:
    engine = create_engine(ledger_dsn, poolclass=NullPool)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


def who(user_id: str, *roles: Role) -> Person:
    return Person(user_id=user_id, team_id="T", display_name=user_id, roles=frozenset(roles))


async def waits(conn: AsyncConnection, user_id: str, role: Role) -> bool:
    found: bool = (
        await conn.execute(
            text(
                "SELECT effective_at > clock_timestamp() FROM ledger.role_spans"
                " WHERE user_id = :user_id AND role = :role AND until IS NULL"
            ),
            {"user_id": user_id, "role": role.value},
        )
    ).scalar_one()
    return found


async def test_in_an_empty_history_every_role_counts_at_once_and_is_no_news(
    conn: AsyncConnection,
) -> None:
    news = await keep_spans(conn, [who("U1", Role.APPROVER), who("U2", Role.AGENT)], WAITS)
    assert news == []
    assert not await waits(conn, "U1", Role.APPROVER)


async def test_a_new_approver_waits_and_a_new_agent_does_not(conn: AsyncConnection) -> None:
    await keep_spans(conn, [who("U1", Role.APPROVER)], WAITS)
    news = await keep_spans(
        conn, [who("U1", Role.APPROVER), who("U2", Role.APPROVER, Role.AGENT)], WAITS
    )
    assert {(span.user_id, span.role) for span in news} == {
        ("U2", Role.APPROVER),
        ("U2", Role.AGENT),
    }
    assert await waits(conn, "U2", Role.APPROVER)
    assert not await waits(conn, "U2", Role.AGENT)
    assert await keep_spans(conn, [who("U1", Role.APPROVER), who("U2", Role.APPROVER)], WAITS) == []


@pytest.mark.parametrize(("away", "again"), [("10 minutes", False), ("2 hours", True)])
async def test_who_lost_the_role_by_a_slip_does_not_wait_again(
    conn: AsyncConnection, away: str, again: bool
) -> None:
    await keep_spans(conn, [who("U1", Role.APPROVER)], WAITS)
    await keep_spans(conn, [], WAITS)
    await conn.execute(
        text(
            "UPDATE ledger.role_spans SET since = since - interval '2 days',"
            " effective_at = effective_at - interval '2 days', until = until - cast(:away AS interval)"
        ),
        {"away": timedelta(minutes=10) if away == "10 minutes" else timedelta(hours=2)},
    )
    (span,) = await keep_spans(conn, [who("U1", Role.APPROVER)], WAITS)
    assert (span.effective_at > span.since) is again


async def test_who_never_counted_waits_again_however_soon_they_come_back(
    conn: AsyncConnection,
) -> None:
    await keep_spans(conn, [who("U1", Role.APPROVER)], WAITS)
    await keep_spans(conn, [who("U1", Role.APPROVER), who("U2", Role.APPROVER)], WAITS)
    await keep_spans(conn, [who("U1", Role.APPROVER)], WAITS)
    await keep_spans(conn, [who("U1", Role.APPROVER), who("U2", Role.APPROVER)], WAITS)
    assert await waits(conn, "U2", Role.APPROVER)


async def test_the_history_tells_who_had_what_at_any_moment(conn: AsyncConnection) -> None:
    await keep_spans(conn, [who("U1", Role.APPROVER), who("U2", Role.AGENT)], WAITS)
    await conn.execute(
        text(
            "UPDATE ledger.role_spans SET since = since - interval '9 days',"
            " effective_at = effective_at - interval '9 days'"
        )
    )
    await keep_spans(conn, [who("U2", Role.ENGINEER)], WAITS)
    now = datetime.now(UTC)

    def told(spans: object) -> list[tuple[str, Role]]:
        assert isinstance(spans, list)
        return [(span.user_id, span.role) for span in spans]

    assert told(await roles_at(conn, now - timedelta(days=10))) == []
    assert told(await roles_at(conn, now - timedelta(days=1))) == [
        ("U1", Role.APPROVER),
        ("U2", Role.AGENT),
    ]
    assert told(await roles_at(conn, now + timedelta(minutes=1))) == [("U2", Role.ENGINEER)]
    assert await policy_at(conn, now) is None
