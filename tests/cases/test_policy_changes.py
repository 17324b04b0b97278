"""What a changed policy lets through, told in a line an entry."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
import yaml

from bot.actions import registry
from bot.cases.policy import DEFAULT_POLICY, Policy, parse_policy
from bot.cases.policy_book import follow_policy
from bot.cases.policy_changes import policy_changes
from bot.cases.room import Room
from bot.ledger import policies


def a_policy(**changes: Any) -> Policy:
    """The policy that comes with the bot, with these entries changed: `actions__refund__request=…`."""
    content = yaml.safe_load(DEFAULT_POLICY.read_text(encoding="utf-8"))
    for path, value in changes.items():
        *way, last = path.split("__")
        place = content
        for step in way:
            place = place.setdefault(step, {})
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    return parse_policy(yaml.safe_dump(content), registry(), name="test")


def at_night(**changes: object) -> dict[str, object]:
    """Entries that let one detection hold while nobody is there."""
    rule = {"detections": ["self_dealing_link"], "caps": {"JPY": 100}, "count": 2} | changes
    return {"calendar": {"hours": {"mon": "09:00-18:00"}}, "off_hours": rule}


def test_letting_detections_hold_at_night_or_hold_more_is_told_as_looser() -> None:
    without, with_it = a_policy(calendar=at_night()["calendar"]), a_policy(**at_night())
    (line,) = policy_changes(without, with_it)
    assert line.startswith("▲ off_hours: — → detections self_dealing_link, caps JPY 100")
    (line,) = policy_changes(with_it, without)
    assert line.startswith("▼ off_hours")
    for changes, told in (
        ({"detections": ["self_dealing_link", "card_testing"]}, "▲ off_hours.detections"),
        ({"caps": {"JPY": 200}}, "▲ off_hours.caps.JPY: 100 → 200"),
        ({"caps": {"JPY": 50}}, "▼ off_hours.caps.JPY: 100 → 50"),
        ({"count": 3}, "▲ off_hours.count: 2 → 3"),
        ({"count": 1}, "▼ off_hours.count: 2 → 1"),
    ):
        (line,) = policy_changes(with_it, a_policy(**at_night(**changes)))
        assert line.startswith(told)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"actions__refund__second_person_above": {"JPY": 50000}},
            "▲ actions.refund.second_person_above.JPY: 10000 → 50000",
        ),
        (
            {"actions__refund__second_person_above": {"JPY": 5000}},
            "▼ actions.refund.second_person_above.JPY: 10000 → 5000",
        ),
        (
            {"actions__refund__second_person_above": {"JPY": 10000}},
            "▼ actions.refund.second_person_above.USD: 10000 → —",
        ),
        (
            {"actions__suspend__second_person_above": {"JPY": 1}},
            "▲ actions.suspend.second_person_above: — → JPY 1",
        ),
        (
            {"actions__refund__request": ["agent", "approver", "viewer"]},
            "▲ actions.refund.request: agent, approver → agent, approver, viewer",
        ),
        (
            {"actions__refund__request": ["approver"]},
            "▼ actions.refund.request: agent, approver → approver",
        ),
        ({"actions__suspend__approve": []}, "▲ actions.suspend.approve: approver → —"),
        ({"actions__hold__approve": ["approver"]}, "▼ actions.hold.approve: — → approver"),
        ({"actions__suspend": None}, "▼ actions.suspend: allowed → —"),
        (
            {"actions__refund__request_up_to": {"agent": {"JPY": 100}}},
            "▼ actions.refund.request_up_to.agent: — → JPY 100",
        ),
        (
            {"roles__approver": {"groups": ["cs-leads"], "users": ["U0SATO"]}},
            "▲ roles.approver.users: — → U0SATO",
        ),
        ({"roles__engineer": {"groups": []}}, "▼ roles.engineer.groups: engineers → —"),
        ({"request_lifetime_hours": 24}, "▲ request_lifetime_hours: 8 → 24"),
        ({"take_back_seconds": 0}, "▲ take_back_seconds: 60 → 0"),
    ],
)
def test_each_change_says_which_way_it_goes(changes: dict[str, Any], line: str) -> None:
    assert line in policy_changes(a_policy(), a_policy(**changes))


CAP = {"per": "action", "window": "day", "actions": ["refund"], "amount": {"JPY": 300000}}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ([CAP], [], "▲ caps(action day refund): JPY 300000 → —"),
        ([], [CAP], "▼ caps(action day refund): — → JPY 300000"),
        (
            [CAP],
            [CAP | {"amount": {"JPY": 900000}}],
            "▲ caps(action day refund).amount.JPY: 300000 → 900000",
        ),
        ([CAP], [CAP | {"count": 5}], "▼ caps(action day refund).count: — → 5"),
        ([CAP | {"count": 5}], [CAP], "▲ caps(action day refund).count: 5 → —"),
    ],
)
def test_a_cap_that_goes_or_grows_is_looser(
    old: list[dict[str, Any]], new: list[dict[str, Any]], line: str
) -> None:
    assert policy_changes(a_policy(caps=old), a_policy(caps=new)) == (line,)


def test_nothing_is_told_of_a_policy_that_only_reads_differently() -> None:
    text = "# another comment\n" + DEFAULT_POLICY.read_text(encoding="utf-8")
    same = parse_policy(text, registry(), name="test")
    original = parse_policy(DEFAULT_POLICY.read_text(encoding="utf-8"), registry(), name="test")
    assert same.hash != original.hash
    assert policy_changes(original, same) == ()


def test_what_lets_more_through_is_told_first() -> None:
    lines = policy_changes(
        a_policy(),
        a_policy(
            request_lifetime_hours=4,
            actions__refund__second_person_above={"JPY": 50000, "USD": 10000},
        ),
    )
    assert [line[0] for line in lines] == sorted([line[0] for line in lines], key="▲▼・".index)
    assert lines[0].startswith("▲ actions.refund")


async def test_what_has_begun_ends_under_the_policy_that_it_began_with(room: Room) -> None:
    begun = replace(room)
    other = a_policy(request_lifetime_hours=24)
    room.adopt(other)
    assert room.policy is other
    assert begun.policy.file.request_lifetime_hours == 8
    assert replace(room).policy is other


async def test_a_room_follows_the_ledger_and_stays_where_that_cannot_be_read(room: Room) -> None:
    assert not await follow_policy(room)  # nothing was adopted yet
    other = a_policy(request_lifetime_hours=24)
    for text in (other.text, "actions: {from_another_version: {request: []}}"):
        async with room.engine.begin() as conn:
            hash_ = hashlib.sha256(text.encode()).hexdigest()
            await policies.insert(conn, hash_=hash_, body=text)
        followed = await follow_policy(room)
        assert followed == (text == other.text)
        assert room.policy.hash == other.hash
