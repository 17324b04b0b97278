from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.actions import registry
from bot.cases.policy import (
    DEFAULT_POLICY,
    Permitted,
    Policy,
    judge_approval,
    judge_person,
    judge_request,
    read_policy,
)
from bot.domain.errors import SayableError
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.roles import Person, Role


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy(DEFAULT_POLICY, registry())


def a_person(
    *roles: Role,
    user_id: str = "U1",
    is_guest: bool = False,
    is_bot: bool = False,
    is_deleted: bool = False,
) -> Person:
    return Person(
        user_id=user_id,
        team_id="T1",
        display_name="x",
        roles=frozenset(roles),
        is_guest=is_guest,
        is_bot=is_bot,
        is_deleted=is_deleted,
    )


@pytest.mark.parametrize(
    ("action", "roles", "amounts", "approvals"),
    [
        ("hold", [Role.AGENT], [(10**9, "JPY")], 0),
        ("cancel", [Role.AGENT], [(100, "JPY")], 1),
        ("cancel", [Role.APPROVER], [(50_000, "JPY")], 0),
        ("cancel", [Role.APPROVER], [(50_001, "JPY")], 1),
        ("cancel", [Role.APPROVER], [(1, "JPY"), (50_001, "EUR")], 1),
        ("cancel", [Role.APPROVER], [(1, "XXX")], 1),
        ("cancel", [Role.AGENT, Role.APPROVER], [(1, "JPY")], 0),
        ("suspend", [Role.AGENT], [], 1),
        ("suspend", [Role.APPROVER], [], 0),
    ],
)
def test_how_many_must_approve(
    policy: Policy,
    action: str,
    roles: list[Role],
    amounts: list[tuple[int, str]],
    approvals: int,
) -> None:
    judged = judge_request(policy, action, a_person(*roles), amounts)
    assert isinstance(judged, Permitted)
    assert judged.approvals_needed == approvals


@pytest.mark.parametrize(
    ("action", "roles"),
    [
        ("hold", []),
        ("hold", [Role.ACCOUNTANT]),
        ("cancel", [Role.ENGINEER]),
        ("cancel", [Role.VIEWER]),
        ("cancel", [Role.ADMIN]),
        ("no_such_action", [Role.APPROVER]),
    ],
)
def test_what_the_policy_does_not_say_is_refused(
    policy: Policy, action: str, roles: list[Role]
) -> None:
    judged = judge_request(policy, action, a_person(*roles), [])
    assert isinstance(judged, Refusal)
    assert judged.code is RefusalCode.NO_ROLE


def test_who_opened_a_case_by_hand_cannot_decide_it_alone(policy: Policy) -> None:
    judged = judge_request(policy, "cancel", a_person(Role.APPROVER), [(1, "JPY")], opened_by="U1")
    assert isinstance(judged, Permitted)
    assert judged.approvals_needed == 1


@pytest.mark.parametrize(
    ("person", "code"),
    [
        (a_person(Role.APPROVER, user_id="asker"), RefusalCode.OWN_REQUEST),
        (a_person(Role.APPROVER, Role.ADMIN, user_id="asker"), RefusalCode.OWN_REQUEST),
        (a_person(Role.APPROVER, user_id="opener"), RefusalCode.OWN_REQUEST),
        (a_person(Role.APPROVER, user_id="first"), RefusalCode.ALREADY_APPROVED),
        (a_person(Role.AGENT, user_id="other"), RefusalCode.NO_ROLE),
        (a_person(Role.APPROVER, user_id="other"), None),
    ],
)
def test_who_may_approve(policy: Policy, person: Person, code: RefusalCode | None) -> None:
    refusal = judge_approval(
        policy,
        "cancel",
        person,
        requested_by="asker",
        opened_by="opener",
        approved_by=["first"],
    )
    assert (refusal.code if refusal else None) is code


@pytest.mark.parametrize(
    ("person", "age_s", "code"),
    [
        (None, 0, RefusalCode.UNKNOWN_PERSON),
        (a_person(is_guest=True), 0, RefusalCode.GUEST),
        (a_person(is_bot=True), 0, RefusalCode.GUEST),
        (a_person(is_deleted=True), 0, RefusalCode.GUEST),
        (a_person(), 300.1, RefusalCode.ROLES_TOO_OLD),
        (a_person(), 299, None),
    ],
)
def test_who_counts_as_a_person(
    person: Person | None, age_s: float, code: RefusalCode | None
) -> None:
    refusal = judge_person(person, age_s, "T1")
    assert (refusal.code if refusal else None) is code


def test_somebody_of_another_workspace_is_nobody_here() -> None:
    refusal = judge_person(a_person(), 0, "T2")
    assert refusal is not None
    assert refusal.code is RefusalCode.GUEST


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("roles: [", "is not YAML"),
        ("- a", "must have `roles` and `actions`"),
        ("roles: {}", "wrong at `actions`"),
        ("roles: {boss: {groups: [x]}}\nactions: {}", "wrong at `roles.boss"),
        ("roles: {}\nactions: {cansel: {request: [agent]}}", "Did you mean `cancel`?"),
        ("roles: {}\nactions: {hold: {request: [chief]}}", "wrong at `actions.hold.request.0`"),
        (
            "roles: {}\nactions: {hold: {request: [agent], second_person_above: {JPY: 1}}}",
            "need a list of roles under `approve`",
        ),
        ("roles: {}\nactions: {hold: {request: [agent], limit: 3}}", "actions.hold.limit"),
        ("roles: {}\nrequest_lifetime_hours: 0\nactions: {}", "request_lifetime_hours"),
        ("roles: {}\nactions: {}\ncalendar: {hours: {mon: 9-18}}", "must look like"),
        ("roles: {}\nactions: {}\ncalendar: {hours: {mon: '18:00-09:00'}}", "must look like"),
        ("roles: {}\nactions: {}\ncalendar: {hours: {}}", "calendar.hours"),
        (
            "roles: {}\nactions: {}\ncalendar: {hours: {mon: '09:00-10:00'}}\nhold_hours: 24",
            "48 business hours do not fit",
        ),
        (
            "roles: {}\nactions: {}\noff_hours: {detections: [x], caps: {JPY: 1}, count: 1}",
            "off_hours needs a calendar",
        ),
        (
            "roles: {}\nactions: {}\ncalendar: {hours: {mon: '09:00-18:00'}, holidays: XX}",
            "no holidays are known",
        ),
        ("roles: {}\nactions: {}\ncaps: [{per: person, window: day, actions: [hold]}]", "needs an"),
        (
            "roles: {}\nactions: {}\ncaps: [{per: person, window: day, actions: [hodl], count: 1}]",
            "Did you mean `hold`?",
        ),
    ],
)
def test_a_malformed_policy_is_named_in_a_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SayableError) as caught:
        read_policy(path, registry())
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_policy_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SayableError, match="cannot be read"):
        read_policy(tmp_path / "nowhere.yml", registry())


def test_the_calendar_of_the_policy_knows_hours_holidays_and_days_of_its_own(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.yml"
    path.write_text(
        "roles: {}\nactions: {}\ncalendar:\n"
        "  hours: {mon: '09:00-18:00', tue: '09:00-24:00'}\n  holidays: JP\n  closed: [2026-12-01]\n",
        encoding="utf-8",
    )
    zone = ZoneInfo("Asia/Tokyo")
    calendar = read_policy(path, registry()).calendar(zone)
    staffed = [
        calendar.is_staffed(datetime(2026, month, day, hour, tzinfo=zone))
        for month, day, hour in [
            (11, 16, 12),  # a Monday
            (11, 23, 12),  # a Monday, and Labour Thanksgiving Day
            (11, 24, 23),
            (11, 25, 12),
            (12, 1, 12),
        ]
    ]
    assert staffed == [True, False, True, False, False]
    built_in = read_policy(DEFAULT_POLICY, registry()).calendar(zone)
    assert built_in.is_staffed(datetime(2026, 11, 22, 3, tzinfo=zone))
