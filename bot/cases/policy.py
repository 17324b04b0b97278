"""The policy: who may do what, and when a second person is needed; pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import holidays
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.domain.calendar import Calendar
from bot.domain.cases import Decision
from bot.domain.errors import SayableError
from bot.domain.findings import Severity
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person, Role

ROLES_MAX_AGE_S = 300.0
DEFAULT_POLICY = Path(__file__).parent / "policy.yml"
STEPS = (
    "dismiss",
    "claim",
    "consult",
    "by_hand",
    "details",
    "stop_rest",
    "audit",
    "pause",
    "resume",
    "policy",
    "review",
    "break_glass",
    "delegate",
    "extend_hold",
    "lists",
    "mode",
    "keep",
    "overturn",
)
"""What people do to a case that is no action on the marketplace."""


class RoleSource(BaseModel):
    """Where a role comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


Money = Mapping[Annotated[str, Field(pattern="^[A-Z]{3}$")], Annotated[int, Field(ge=0)]]
"""An amount in the smallest unit, a currency."""
Slots = tuple[tuple[Role, ...], ...]
"""Whom a request waits for: one person a slot, each of one of the slot's roles, all different people."""


class Tier(BaseModel):
    """Who must approve above an amount: one person of each role, all different."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above: Money
    each_of: Annotated[tuple[Role, ...], Field(min_length=1)]


class ActionRule(BaseModel):
    """Who may do one action, and up to which amount."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: tuple[Role, ...]
    approve: tuple[Role, ...] = ()
    second_person_above: Money | None = None
    request_up_to: Mapping[Role, Money] = {}
    approve_up_to: Mapping[Role, Money] = {}
    approvals: tuple[Tier, ...] = ()

    @model_validator(mode="after")
    def _limits_need_approvers(self) -> ActionRule:
        if (self.second_person_above is not None or self.approvals) and not self.approve:
            raise ValueError(
                "second_person_above and approvals need a list of roles under `approve`"
            )
        for name, limits, roles in (
            ("request_up_to", self.request_up_to, self.request),
            ("approve_up_to", self.approve_up_to, (*self.approve, *self._tier_roles())),
        ):
            strangers = [role.value for role in limits if role not in roles]
            if strangers:
                raise ValueError(f"{name} names {strangers[0]}, which is not in the list of roles")
        return self

    def _tier_roles(self) -> Iterator[Role]:
        return (role for tier in self.approvals for role in tier.each_of)


class Cap(BaseModel):
    """How much of some actions may be decided within an hour or a day, in money or in count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per: Literal["person", "subject", "account", "action"]
    """`account`: all orders of one buyer together; `action`: everybody together."""
    window: Literal["hour", "day"]
    actions: Annotated[tuple[str, ...], Field(min_length=1)]
    amount: Money | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    """Of subjects, such as orders."""

    @model_validator(mode="after")
    def _caps_something(self) -> Cap:
        if self.amount is None and self.count is None:
            raise ValueError("a cap needs an `amount` or a `count`")
        return self


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_YEARS = range(2024, 2045)


class CalendarSection(BaseModel):
    """When the team is there: hours a weekday, the holidays of a country, and days of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours: Annotated[
        Mapping[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], str],
        Field(min_length=1),
    ]
    """As in `mon: "09:00-18:00"`; a day that is not named is free. An end of 24:00 is midnight."""
    holidays: str | None = None
    """A country's code, as in JP."""
    closed: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _readable(self) -> CalendarSection:
        for day, told in self.hours.items():
            if _span(told) is None:
                raise ValueError(f'the hours of {day} must look like "09:00-18:00", not {told!r}')
        if self.holidays is not None and self.holidays not in holidays.list_supported_countries():
            raise ValueError(f"no holidays are known of the country {self.holidays!r}")
        return self

    @property
    def weekly_hours(self) -> float:
        """Staffed hours of a week without holidays."""
        spans = [span for told in self.hours.values() if (span := _span(told)) is not None]
        return sum((_minutes(end) or 24 * 60) - _minutes(start) for start, end in spans) / 60

    def calendar(self, zone: ZoneInfo) -> Calendar:
        spans = {WEEKDAYS.index(day): _span(told) for day, told in self.hours.items()}
        days = frozenset(self.closed)
        if self.holidays is not None:
            days |= _holidays_of(self.holidays)
        return Calendar(
            zone=zone,
            hours={day: span for day, span in spans.items() if span is not None},
            holidays=days,
        )


def _span(told: str) -> tuple[time, time] | None:
    found = _HOURS.fullmatch(told)
    if found is None:
        return None
    start, end = (int(found[1]), int(found[2])), (int(found[3]), int(found[4]))
    if end <= start or end > (24, 0):
        return None
    return time(*start), time(0) if end == (24, 0) else time(*end)


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute


@cache
def _holidays_of(country: str) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, years=_YEARS))


class Reminders(BaseModel):
    """How often those who must answer a request are reminded: after so many minutes, then twice as many …"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 15
    at_most: Annotated[int, Field(ge=0, le=10)] = 3
    """0: never."""


class OffHours(BaseModel):
    """What a detection may hold at once while nobody is there; never more than a hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    detections: Annotated[tuple[str, ...], Field(min_length=1)]
    caps: Money
    """Of all orders that are held in one night; an order in another currency is not held."""
    count: Annotated[int, Field(ge=1)]
    """Of orders in one night."""


class Automatic(BaseModel):
    """What detections in automatic may do by themselves: a hold first, then one final step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    caps: Money
    """Of all orders that detections hold in 24 hours; an order in another currency is not held."""
    count: Annotated[int, Field(ge=1)]
    """Of these orders."""
    precision: Annotated[float, Field(ge=0.5, le=1)] = 0.95
    """How often a detection must have been right before it may be automatic, and after."""
    decided: Annotated[int, Field(ge=1)] = 50
    """Over how many decided findings at the least."""
    days: Annotated[int, Field(ge=1, le=365)] = 90
    """Of the last so many days."""
    actions: tuple[str, ...] = ()
    """Final steps that a detection may make if its file proposes them; none: holds only."""
    up_to: Money = {}
    """How much one final step may move; above it people are asked."""
    objection_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 60
    """How long anybody can keep a detection from its final step."""
    every_detection: bool = False
    """Every detection in review holds what it finds, whatever its precision: for a trial on a staging shop."""

    @model_validator(mode="after")
    def _is_careful(self) -> Automatic:
        if self.every_detection and self.actions:
            raise ValueError("every_detection is for holds only: remove its `actions`")
        if "refund" in self.actions:
            raise ValueError("no detection gives money back: remove `refund`")
        if "hold" in self.actions:
            raise ValueError("holds come first anyway: `actions` lists the final steps")
        return self


class StepUpRule(BaseModel):
    """Above which amount an approver signs in once more, and how fresh that sign-in must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    above: Money
    max_age_minutes: Annotated[float, Field(gt=0, le=60)] = 10


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
    caps: tuple[Cap, ...] = ()
    calendar: CalendarSection | None = None
    new_approver_hours: Annotated[float, Field(ge=0, le=24 * 14)] = 24
    reminders: Reminders = Reminders()
    escalate_after_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 4
    escalate_to: tuple[Role, ...] = ()
    """Without any role nobody else is called in."""
    hold_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 24
    hold_warning_hours: Annotated[float, Field(gt=0, le=24 * 14)] = 4
    sort_rates: Mapping[
        Annotated[str, Field(pattern="^[A-Z]{3}$")], Annotated[float, Field(gt=0, le=1e9)]
    ] = Field(default_factory=dict)
    """Only to sort by: no limit and no sum is ever of two currencies."""
    off_hours: OffHours | None = None
    step_up: StepUpRule | None = None
    automatic: Automatic | None = None

    @model_validator(mode="after")
    def _has_somebody_to_step_up(self) -> PolicyFile:
        for name in ("cancel", "refund") if self.step_up is not None else ():
            rule = self.actions.get(name)
            if rule is not None and not rule.approve:
                raise ValueError(f"step_up needs a list of roles under `approve` of {name}")
        return self

    @model_validator(mode="after")
    def _fits_the_calendar(self) -> PolicyFile:
        if self.off_hours is not None and self.calendar is None:
            raise ValueError("off_hours needs a calendar, which says when nobody is there")
        longest = max(
            self.request_lifetime_hours,
            self.escalate_after_hours,
            2 * self.hold_hours,
            self.hold_warning_hours,
        )
        # Holidays and closed days take their part of the year, in which all of it must fit.
        if self.calendar is not None and longest > 26 * self.calendar.weekly_hours:
            raise ValueError(
                f"{longest:g} business hours do not fit into half a year of this calendar"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that was read and found whole; `hash` is of the file's bytes."""

    file: PolicyFile
    hash: str
    text: str = ""

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

    def calendar(self, zone: ZoneInfo) -> Calendar:
        """The team's calendar; without one in the file somebody is always there."""
        section = self.file.calendar
        return Calendar(zone=zone) if section is None else section.calendar(zone)

    @property
    def handles(self) -> frozenset[str]:
        """Every user group that the policy names."""
        return frozenset(handle for source in self.file.roles.values() for handle in source.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """The person may; one more person for each slot must agree first."""

    slots: Slots = ()
    approver_roles: tuple[Role, ...] = ()

    @property
    def approvals_needed(self) -> int:
        return len(self.slots)


_HOLDS = Automatic(caps={}, count=1)


def read_policy(path: Path, actions: Collection[str]) -> Policy:
    """Read and check a policy file against the actions that exist.

    Raises:
        SayableError: what is wrong and where, in one sentence.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise SayableError(
            f"The policy file {path} cannot be read ({error.strerror}): set POLICY_FILE to one that can."
        ) from error
    except UnicodeDecodeError as error:
        raise SayableError(f"The policy file {path} is not YAML: {_one_line(error)}.") from error
    return parse_policy(text, actions, name=str(path))


def parse_policy(text: str, actions: Collection[str], *, name: str) -> Policy:
    """Check the text of a policy, from a file or from the ledger; `name` says which in what is wrong.

    Raises:
        SayableError: what is wrong and where, in one sentence.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SayableError(f"The policy file {name} is not YAML: {_one_line(error)}.") from error
    if not isinstance(content, dict):
        raise SayableError(f"The policy file {name} must have `roles` and `actions` at its top.")
    try:
        file = PolicyFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SayableError(
            f"The policy file {name} is wrong at `{where}`: {first['msg']}."
        ) from error
    known = {*actions, *STEPS}
    for action in file.actions:
        if action not in known:
            near = get_close_matches(action, known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise SayableError(f"The policy file {name} names an unknown action `{action}`.{hint}")
    named = [("caps", action) for cap in file.caps for action in cap.actions]
    named += [("automates", action) for action in (file.automatic or _HOLDS).actions]
    for does, action in named:
        if action not in actions:
            near = get_close_matches(action, actions, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise SayableError(f"The policy file {name} {does} an unknown action `{action}`.{hint}")
    return Policy(file=file, hash=hashlib.sha256(text.encode()).hexdigest(), text=text)


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
    earlier: Mapping[str, int] | None = None,
    cap_reached: bool = False,
) -> Permitted | Refusal:
    """Whether this person may decide this action over this much money, and with how many others.

    Refused unless the policy says otherwise. An approver's own press is enough below the limit;
    above it, in a currency without a limit, for a case that they opened by hand, or over a cap of
    their own, a second person must approve.

    Args:
        earlier: what was decided of the same action for the same subjects or their owners within a
            day, by currency: many small sums count as the one that they make.
        cap_reached: the person's own cap leaves no room for it.
    """
    rule = policy.file.actions.get(action)
    if rule is None or not set(rule.request) & person.roles:
        return no_role(policy, action, rule.request if rule else ())
    usable = _roles_up_to(rule.request, rule.request_up_to, person.roles, amounts)
    if not usable:
        others = _roles_up_to(rule.request, rule.request_up_to, rule.request, amounts)
        return Refusal(
            code=RefusalCode.OVER_LIMIT,
            action=action,
            roles=tuple(role.value for role in others),
            groups=policy.groups_of(others),
        )
    if not rule.approve:
        return Permitted()
    whole = [(amount + (earlier or {}).get(currency, 0), currency) for amount, currency in amounts]
    for tier in sorted(rule.approvals, key=lambda tier: -len(tier.each_of)):
        if _is_above(tier.above, whole):
            return Permitted(
                slots=tuple((role,) for role in tier.each_of), approver_roles=tier.each_of
            )
    above = rule.second_person_above is not None and _is_above(rule.second_person_above, whole)
    alone = _roles_up_to(rule.approve, rule.approve_up_to, person.roles, amounts)
    above = above or needs_step_up(policy, whole)
    if alone and not above and opened_by != person.user_id and not cap_reached:
        return Permitted(approver_roles=rule.approve)
    return Permitted(slots=(rule.approve,), approver_roles=rule.approve)


def needs_step_up(policy: Policy, amounts: Collection[tuple[int, str]]) -> bool:
    """Whether who approves this much signs in for it; nobody decides so much alone."""
    rule = policy.file.step_up
    return rule is not None and _is_above(rule.above, amounts)


def _is_above(limits: Money, amounts: Collection[tuple[int, str]]) -> bool:
    """Whether any amount is above its limit; a currency that is not listed always is."""
    return any(currency not in limits or amount > limits[currency] for amount, currency in amounts)


def _roles_up_to(
    listed: Collection[Role],
    limits: Mapping[Role, Money],
    roles: Collection[Role],
    amounts: Collection[tuple[int, str]],
) -> tuple[Role, ...]:
    """Those of the listed roles that somebody has and whose own limit covers the amounts."""
    return tuple(
        role
        for role in listed
        if role in roles and (role not in limits or not _is_above(limits[role], amounts))
    )


def judge_approval(
    policy: Policy,
    action: str,
    person: Person,
    *,
    requested_by: str,
    opened_by: str | None,
    approved_by: Collection[str],
    amounts: Collection[tuple[int, str]] = (),
    slots: Slots = (),
    given: Sequence[Collection[Role]] = (),
) -> Refusal | None:
    """Whether this person may approve; nobody approves what they asked for or opened, no exemption.

    Args:
        slots: whom the request waits for; none: whom the policy names for the action now.
        given: the roles of those who approved before, in their order.
    """
    if person.user_id in {requested_by, opened_by}:
        return Refusal(code=RefusalCode.OWN_REQUEST, action=action)
    if person.user_id in approved_by:
        return Refusal(code=RefusalCode.ALREADY_APPROVED, action=action)
    rule = policy.file.actions.get(action)
    listed = tuple(dict.fromkeys(role for slot in slots for role in slot))
    wanted = listed or (rule.approve if rule else ())
    if rule is None or not set(wanted) & person.roles:
        return no_role(policy, "approve", wanted if rule else ())
    usable = _roles_up_to(wanted, rule.approve_up_to, person.roles, amounts)
    if not usable:
        others = _roles_up_to(wanted, rule.approve_up_to, wanted, amounts)
        return Refusal(
            code=RefusalCode.OVER_LIMIT,
            action="approve",
            roles=tuple(role.value for role in others),
            groups=policy.groups_of(others),
        )
    if slots and not fills(slots, [*given, usable]):
        left = [slot for slot in slots if not any(set(slot) & set(roles) for roles in given)]
        return no_role(policy, "approve", tuple(role for slot in left for role in slot))
    return None


def judge_waiting(
    policy: Policy, decision: Decision, person: Person, *, opened_by: str | None
) -> Refusal | None:
    """Whether this person may approve this waiting decision as it stands."""
    return judge_approval(
        policy,
        decision.action,
        person,
        requested_by=decision.requested_by,
        opened_by=opened_by,
        approved_by=[
            user_id
            for approval in decision.approvals
            for user_id in (approval.user_id, approval.on_behalf_of)
            if user_id is not None
        ],
        amounts=decision.amounts,
        slots=tuple(tuple(Role(role) for role in slot) for slot in decision.slots),
        given=[[Role(role) for role in approval.roles] for approval in decision.approvals],
    )


def fills(slots: Slots, people: Sequence[Collection[Role]]) -> bool:
    """Whether each of these people can stand for a slot of their own."""
    if not people:
        return True
    first, rest = people[0], people[1:]
    return any(
        set(slot) & set(first) and fills((*slots[:index], *slots[index + 1 :]), rest)
        for index, slot in enumerate(slots)
    )


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
