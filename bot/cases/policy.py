"""The policy: who may do what, and when a second person is needed; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.domain.errors import SayableError
from bot.domain.findings import Severity
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person, Role

ROLES_MAX_AGE_S = 300.0
DEFAULT_POLICY = Path(__file__).parent / "policy.yml"
STEPS = ("dismiss", "claim", "consult", "by_hand", "details", "stop_rest", "audit")
"""What people do to a case that is no action on the marketplace."""


class RoleSource(BaseModel):
    """Where a role comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


class ActionRule(BaseModel):
    """Who may do one action."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: tuple[Role, ...]
    approve: tuple[Role, ...] = ()
    second_person_above: Mapping[str, Annotated[int, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _limits_need_approvers(self) -> ActionRule:
        if self.second_person_above is not None and not self.approve:
            raise ValueError("second_person_above needs a list of roles under `approve`")
        return self


class PolicyFile(BaseModel):
    """The YAML file as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: Mapping[Role, RoleSource]
    request_lifetime_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 8
    take_back_seconds: Annotated[float, Field(ge=0, le=3600)] = 60
    cards_for: tuple[Severity, ...] = (Severity.P1,)
    customer_wait_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 24
    escalation_wait_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 4
    actions: Mapping[str, ActionRule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that was read and found whole; `hash` is of the file's bytes."""

    file: PolicyFile
    hash: str

    def groups_of(self, roles: Collection[Role]) -> tuple[str, ...]:
        """Handles of the user groups that carry any of these roles."""
        return tuple(
            handle
            for role in sorted(roles)
            for handle in (self.file.roles[role].groups if role in self.file.roles else ())
        )

    def roles_of(self, user_id: str, handles: Collection[str]) -> frozenset[Role]:
        """The roles of a person who is in these user groups."""
        return frozenset(
            role
            for role, source in self.file.roles.items()
            if user_id in source.users or set(source.groups) & set(handles)
        )

    @property
    def handles(self) -> frozenset[str]:
        """Every user group that the policy names."""
        return frozenset(handle for source in self.file.roles.values() for handle in source.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """The person may; `approvals_needed` more people must agree first."""

    approvals_needed: int
    approver_roles: tuple[Role, ...] = ()


def read_policy(path: Path, actions: Collection[str]) -> Policy:
    """Read and check a policy file against the actions that exist.

    Raises:
        SayableError: what is wrong and where, in one sentence.
    """
    try:
        raw = path.read_bytes()
        content = yaml.safe_load(raw)
    except OSError as error:
        raise SayableError(
            f"The policy file {path} cannot be read ({error.strerror}): set POLICY_FILE to one that can."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SayableError(f"The policy file {path} is not YAML: {_one_line(error)}.") from error
    if not isinstance(content, dict):
        raise SayableError(f"The policy file {path} must have `roles` and `actions` at its top.")
    try:
        file = PolicyFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SayableError(
            f"The policy file {path} is wrong at `{where}`: {first['msg']}."
        ) from error
    known = {*actions, *STEPS}
    for name in file.actions:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise SayableError(f"The policy file {path} names an unknown action `{name}`.{hint}")
    return Policy(file=file, hash=hashlib.sha256(raw).hexdigest())


def judge_person(person: Person | None, age_s: float, home_team: str) -> Refusal | None:
    """Whether somebody counts as a person here at all; None: they do."""
    if person is None:
        return Refusal(code=RefusalCode.UNKNOWN_PERSON)
    if person.is_guest or person.is_bot or person.is_deleted or person.team_id != home_team:
        return Refusal(code=RefusalCode.GUEST)
    if age_s > ROLES_MAX_AGE_S:
        return Refusal(code=RefusalCode.ROLES_TOO_OLD)
    return None


def judge_request(
    policy: Policy,
    action: str,
    person: Person,
    amounts: Collection[tuple[int, str]],
    *,
    opened_by: str | None = None,
) -> Permitted | Refusal:
    """Whether this person may decide this action over this much money, and with how many others.

    Refused unless the policy says otherwise. An approver's own press is enough below the limit;
    above it, in a currency without a limit, or for a case that they opened by hand, a second person
    must approve.
    """
    rule = policy.file.actions.get(action)
    if rule is None or not set(rule.request) & person.roles:
        return no_role(policy, action, rule.request if rule else ())
    if not rule.approve:
        return Permitted(approvals_needed=0)
    above = rule.second_person_above is not None and any(
        currency not in rule.second_person_above or amount > rule.second_person_above[currency]
        for amount, currency in amounts
    )
    if set(rule.approve) & person.roles and not above and opened_by != person.user_id:
        return Permitted(approvals_needed=0, approver_roles=rule.approve)
    return Permitted(approvals_needed=1, approver_roles=rule.approve)


def judge_approval(
    policy: Policy,
    action: str,
    person: Person,
    *,
    requested_by: str,
    opened_by: str | None,
    approved_by: Collection[str],
) -> Refusal | None:
    """Whether this person may approve; nobody approves what they asked for or opened, no exemption."""
    if person.user_id in {requested_by, opened_by}:
        return Refusal(code=RefusalCode.OWN_REQUEST, action=action)
    if person.user_id in approved_by:
        return Refusal(code=RefusalCode.ALREADY_APPROVED, action=action)
    rule = policy.file.actions.get(action)
    if rule is None or not set(rule.approve) & person.roles:
        return no_role(policy, "approve", rule.approve if rule else ())
    return None


def judge_step(policy: Policy, step: str, person: Person) -> Refusal | None:
    """Whether this person may do something that changes nothing in the marketplace."""
    rule = policy.file.actions.get(step)
    if rule is None or not set(rule.request) & person.roles:
        return no_role(policy, step, rule.request if rule else ())
    return None


def no_role(policy: Policy, action: str, roles: Collection[Role]) -> Refusal:
    return Refusal(
        code=RefusalCode.NO_ROLE,
        action=action,
        roles=tuple(role.value for role in roles),
        groups=policy.groups_of(roles),
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
