"""Who could do what at a moment: the roles of then, judged by the policy of then."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.actions import registry
from bot.cases.policy import Policy, parse_policy
from bot.ledger import cases, roles


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonAccess:
    """One person: their roles, those that did not count yet, and what these let them ask for and approve."""

    user_id: str
    name: str
    roles: tuple[str, ...]
    not_yet: tuple[str, ...]
    may_request: tuple[str, ...]
    may_approve: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Everybody's access at one moment."""

    at: datetime
    policy_since: datetime | None
    """When the policy of then came into force; None: none was stored then, and the present one was used."""
    people: tuple[PersonAccess, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def access_at(conn: AsyncConnection, at: datetime, present: Policy) -> Access:
    """Read the history of roles and policies.

    Raises:
        SayableError: the policy of then cannot be read by this version.
    """
    stored = await roles.policy_at(conn, at)
    policy = present
    if stored is not None:
        policy = parse_policy(stored[0], registry(), name=f"policy of {stored[1]:%Y-%m-%d}")
    spans = await roles.roles_at(conn, at)
    names = await cases.read_names(conn, {span.user_id for span in spans})
    people = []
    for user_id in sorted({span.user_id for span in spans}):
        mine = [span for span in spans if span.user_id == user_id]
        counts = {span.role for span in mine if span.effective_at <= at}
        rules = policy.file.actions.items()
        people.append(
            PersonAccess(
                user_id=user_id,
                name=names.get(user_id, user_id),
                roles=tuple(sorted(role.value for role in counts)),
                not_yet=tuple(sorted(span.role.value for span in mine if span.effective_at > at)),
                may_request=tuple(name for name, rule in rules if set(rule.request) & counts),
                may_approve=tuple(
                    name
                    for name, rule in rules
                    if {*rule.approve, *(r for tier in rule.approvals for r in tier.each_of)}
                    & counts
                ),
            )
        )
    return Access(at=at, policy_since=stored[1] if stored else None, people=tuple(people))
