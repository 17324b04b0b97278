"""Named queries about people, their roles, user groups, switches and shared preferences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.roles import Person, Role
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.ledger.values import to_json


async def read_person(conn: AsyncConnection, user_id: str) -> tuple[Person, float] | None:
    """A person and how many seconds ago they were last synced; None if never."""
    row = (
        await conn.execute(
            text(
                """SELECT p.*, extract(epoch FROM clock_timestamp() - synced_at)::float AS age_s,
                          coalesce((SELECT jsonb_object_agg(s.role, s.effective_at) FROM ledger.role_spans s
                                     WHERE s.user_id = p.user_id AND s.until IS NULL
                                       AND s.effective_at > clock_timestamp()), '{}') AS not_yet
                     FROM ledger.people p WHERE user_id = :user_id"""
            ),
            {"user_id": user_id},
        )
    ).first()
    if row is None:
        return None
    person = Person(
        user_id=row.user_id,
        team_id=row.team_id,
        display_name=row.display_name,
        locale=row.locale,
        is_bot=row.is_bot,
        is_guest=row.is_guest,
        is_deleted=row.is_deleted,
        roles=frozenset(Role(role) for role in row.roles if role not in row.not_yet),
        synced_at=row.synced_at,
        not_yet=tuple(
            (Role(role), datetime.fromisoformat(at)) for role, at in sorted(row.not_yet.items())
        ),
    )
    return person, row.age_s


async def find_by_display_name(conn: AsyncConnection, name: str) -> Sequence[str]:
    """The ids of those people of the workspace who show this name."""
    rows = await conn.execute(
        text(
            """SELECT user_id FROM ledger.people
                WHERE display_name = :name AND NOT is_deleted AND NOT is_bot ORDER BY user_id"""
        ),
        {"name": name},
    )
    return [row.user_id for row in rows]


async def store_people(
    conn: AsyncConnection, people: Sequence[Person]
) -> dict[str, tuple[str, ...]]:
    """Replace what is known of everybody by one full sync; people who are gone lose every role.

    Returns the new roles of those whose roles changed.
    """
    before = {
        row.user_id: tuple(sorted(row.roles))
        for row in await conn.execute(text("SELECT user_id, roles FROM ledger.people"))
    }
    await conn.execute(
        text(
            """INSERT INTO ledger.people (user_id, team_id, display_name, locale, is_bot, is_guest, is_deleted,
                 roles, synced_at)
               SELECT u.user_id, u.team_id, u.display_name, u.locale, u.is_bot, u.is_guest, u.is_deleted,
                      ARRAY(SELECT jsonb_array_elements_text(u.roles)), clock_timestamp()
                 FROM jsonb_to_recordset(cast(:people AS jsonb)) u(user_id text, team_id text, display_name text,
                      locale text, is_bot boolean, is_guest boolean, is_deleted boolean, roles jsonb)
               ON CONFLICT (user_id) DO UPDATE SET team_id = excluded.team_id,
                 display_name = excluded.display_name, locale = excluded.locale, is_bot = excluded.is_bot,
                 is_guest = excluded.is_guest, is_deleted = excluded.is_deleted, roles = excluded.roles,
                 synced_at = excluded.synced_at"""
        ),
        {"people": _people_json(people)},
    )
    await conn.execute(
        text(
            """UPDATE ledger.people SET is_deleted = true, roles = '{}', synced_at = clock_timestamp()
                WHERE NOT user_id = ANY(:present)"""
        ),
        {"present": [person.user_id for person in people]},
    )
    after = {person.user_id: tuple(sorted(person.roles)) for person in people}
    return {
        user_id: after.get(user_id, ())
        for user_id in {*before, *after}
        if before.get(user_id, ()) != after.get(user_id, ())
    }


def _people_json(people: Sequence[Person]) -> str:
    return to_json(tuple(people), tuple[Person, ...])


async def store_groups(conn: AsyncConnection, groups: Mapping[str, str]) -> None:
    """Remember user group ids by handle, so that a refusal can name whom to ask."""
    await conn.execute(
        text("DELETE FROM ledger.user_groups WHERE NOT handle = ANY(:handles)"),
        {"handles": list(groups)},
    )
    for handle, group_id in groups.items():
        await conn.execute(
            text(
                """INSERT INTO ledger.user_groups (group_id, handle, synced_at)
                   VALUES (:group_id, :handle, clock_timestamp())
                   ON CONFLICT (handle) DO UPDATE SET group_id = excluded.group_id, synced_at = excluded.synced_at"""
            ),
            {"group_id": group_id, "handle": handle},
        )


async def read_groups(conn: AsyncConnection) -> dict[str, str]:
    """User group ids by handle."""
    rows = await conn.execute(text("SELECT handle, group_id FROM ledger.user_groups"))
    return {row.handle: row.group_id for row in rows}


async def store_capabilities(
    conn: AsyncConnection, capabilities: Mapping[Verb, Capability]
) -> bool:
    """Replace what the marketplace offers; True if the set of verbs changed."""
    before = {row.verb for row in await conn.execute(text("SELECT verb FROM ledger.capabilities"))}
    await conn.execute(
        text("DELETE FROM ledger.capabilities WHERE NOT verb = ANY(:verbs)"),
        {"verbs": [verb.value for verb in capabilities]},
    )
    for capability in capabilities.values():
        await conn.execute(
            text(
                """INSERT INTO ledger.capabilities
                   VALUES (:verb, :operation_class, :key_window_s, :execution_bound_s, clock_timestamp())
                   ON CONFLICT (verb) DO UPDATE SET operation_class = excluded.operation_class,
                     key_window_s = excluded.key_window_s, execution_bound_s = excluded.execution_bound_s,
                     read_at = excluded.read_at"""
            ),
            {
                "verb": capability.verb.value,
                "operation_class": capability.operation_class.value,
                "key_window_s": capability.key_window_s,
                "execution_bound_s": capability.execution_bound_s,
            },
        )
    return before != {verb.value for verb in capabilities}


async def read_capabilities(conn: AsyncConnection) -> dict[Verb, Capability]:
    rows = await conn.execute(text("SELECT * FROM ledger.capabilities"))
    return {
        Verb(row.verb): Capability(
            verb=Verb(row.verb),
            operation_class=OperationClass(row.operation_class),
            key_window_s=row.key_window_s,
            execution_bound_s=row.execution_bound_s,
        )
        for row in rows
    }


async def read_preference(conn: AsyncConnection, name: str) -> str | None:
    value: str | None = await conn.scalar(
        text("SELECT value FROM ledger.preferences WHERE name = :name"), {"name": name}
    )
    return value


async def store_preference(conn: AsyncConnection, name: str, value: str) -> None:
    await conn.execute(
        text(
            """INSERT INTO ledger.preferences (name, value) VALUES (:name, :value)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp()"""
        ),
        {"name": name, "value": value},
    )
