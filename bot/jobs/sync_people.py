"""Sync who is who and who has which role from Slack into the ledger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.room import POSTS, Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.notices import Notice, NoticeKind
from bot.domain.roles import Person, Role
from bot.ledger import audit, people, posts, roles
from bot.ledger.roles import RoleSpan

logger = logging.getLogger(__name__)

_TOLD = frozenset({Role.APPROVER, Role.ADMIN, Role.BREAK_GLASS})


async def sync_people(room: Room, client: AsyncWebClient) -> bool:
    """Read users and the policy's user groups whole, then replace what the ledger knows.

    All or nothing, and no weaker source: if any call fails, the old state stays and ages, and after
    five minutes no money moves. Returns whether it went well.
    """
    try:
        members = await _all_users(client)
        groups = await _groups(room, client)
        handles_of: dict[str, set[str]] = {}
        for handle, group_id in groups.items():
            answer = await client.usergroups_users_list(usergroup=group_id)
            for user_id in answer["users"]:
                handles_of.setdefault(user_id, set()).add(handle)
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        code = error.response.get("error") if isinstance(error, SlackApiError) else None
        logger.warning("roles could not be synced from Slack: %s", code or type(error).__name__)
        return False
    synced = [_person(member, room, handles_of.get(member["id"], set())) for member in members]
    names = {person.user_id: person.display_name for person in synced}
    async with room.engine.begin() as conn:
        changed = await people.store_people(conn, synced)
        await people.store_groups(conn, groups)
        waits = {Role.APPROVER: room.policy.file.new_approver_hours}
        for span in await roles.keep_spans(conn, synced, waits):
            await _tell_new_role(conn, room, span, names)
        await audit.append(
            conn,
            [
                AuditEntry(
                    actor="system",
                    tag=AuditTag.ROLES_CHANGED,
                    details={"person": user_id, "roles": list(held)},
                )
                for user_id, held in sorted(changed.items())
            ],
        )
    room.bell.ring(POSTS)
    return True


async def _tell_new_role(
    conn: AsyncConnection, room: Room, span: RoleSpan, names: Mapping[str, str]
) -> None:
    """Whoever looks after security hears of each role that lets money move or brakes be lifted."""
    if span.role not in _TOLD:
        return
    await posts.queue_notice(
        conn,
        Notice(
            kind=NoticeKind.NEW_ROLE,
            person=span.user_id,
            person_name=names.get(span.user_id),
            role=span.role.value,
            at=span.since,
            until=span.effective_at if span.effective_at > span.since else None,
        ),
        channel=room.loud_channel,
        dedupe_key=f"new_role:{span.user_id}:{span.role}:{span.since.isoformat()}",
    )


async def _all_users(client: AsyncWebClient) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await client.users_list(cursor=cursor, limit=200, include_locale=True)
        members.extend(answer["members"])
        cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
        if not cursor:
            return members


async def _groups(room: Room, client: AsyncWebClient) -> dict[str, str]:
    """Ids of the policy's user groups by handle; a workspace on a free plan has none."""
    try:
        answer = await client.usergroups_list(include_disabled=False)
    except SlackApiError as error:
        if error.response.get("error") == "plan_upgrade_required":
            return {}
        raise
    return {
        group["handle"]: group["id"]
        for group in answer["usergroups"]
        if group["handle"] in room.policy.handles and not group.get("date_delete")
    }


def _person(member: dict[str, Any], room: Room, handles: set[str]) -> Person:
    profile = member.get("profile") or {}
    trusted = not (member.get("deleted") or member.get("is_bot") or _is_guest(member))
    return Person(
        user_id=member["id"],
        team_id=member.get("team_id") or "",
        display_name=profile.get("display_name") or member.get("real_name") or member["id"],
        locale="ja" if str(member.get("locale") or "ja").startswith("ja") else "en",
        is_bot=bool(member.get("is_bot")),
        is_guest=_is_guest(member),
        is_deleted=bool(member.get("deleted")),
        roles=room.policy.roles_of(member["id"], handles) if trusted else frozenset(),
    )


def _is_guest(member: dict[str, Any]) -> bool:
    return bool(
        member.get("is_restricted")
        or member.get("is_ultra_restricted")
        or member.get("is_stranger")
    )
