"""Slack's payloads, parsed once into types; nothing behind this module indexes raw JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.cases.room import Press
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb

PREFIX = "act:"
PROPOSAL = "prop_"
"""How the id of a proposal begins."""
NOTHING = "-"
"""The value of a button that carries nothing, since Slack wants one."""


class PayloadError(Exception):
    """A signed payload that is not one of ours; said to nobody, counted in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """A press of a button or of an entry of an overflow menu."""

    user_id: str
    team_id: str
    name: str
    """What was pressed: an action or a step of a case."""
    press: Press | None
    """None for buttons that carry nothing, such as a link to the back office."""
    trigger_id: str
    channel: str | None
    response_url: str | None
    proposal_id: str | None = None
    """What a button of a proposal carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A modal that was sent."""

    user_id: str
    team_id: str
    name: str
    press: Press
    plan_set_id: str | None
    decision_id: str | None
    reason: str | None
    note: str | None
    ticked: frozenset[Subject] | None
    """The members that were ticked; None where the modal offered no choice."""
    options: frozenset[Verb]
    done: frozenset[str]
    """The operations that were ticked as done by hand, by id."""
    fields: Mapping[str, str]
    """Every other single value, by block id."""
    proposal_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCall:
    """A slash command."""

    user_id: str
    team_id: str
    channel: str
    text: str
    trigger_id: str
    response_url: str | None


def parse_click(body: Mapping[str, Any]) -> Click:
    """Raises PayloadError."""
    try:
        pressed = body["actions"][0]
        action_id, value = str(pressed["action_id"]), pressed.get("value")
        if pressed.get("selected_option"):
            chosen, _, value = str(pressed["selected_option"]["value"]).partition("|")
            action_id = PREFIX + chosen
        proposal_id = str(value) if str(value or "").startswith(PROPOSAL) else None
        return Click(
            user_id=str(body["user"]["id"]),
            team_id=_team(body),
            name=action_id.removeprefix(PREFIX),
            press=None if proposal_id else _press(str(body["user"]["id"]), value),
            proposal_id=proposal_id,
            trigger_id=str(body.get("trigger_id") or ""),
            channel=(body.get("channel") or {}).get("id"),
            response_url=body.get("response_url"),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PayloadError("block_actions") from error


def parse_submission(body: Mapping[str, Any]) -> Submission:
    """Raises PayloadError."""
    try:
        view = body["view"]
        meta = json.loads(view.get("private_metadata") or "{}")
        user_id = str(body["user"]["id"])
        singles: dict[str, str] = {}
        ticked: set[Subject] = set()
        options: set[Verb] = set()
        done: set[str] = set()
        has_targets = False
        for block_id, state in _inputs(view):
            if "selected_options" in state:
                values = [str(option["value"]) for option in state["selected_options"] or []]
                if block_id.startswith("targets"):
                    has_targets = True
                    ticked.update(parse_subject(value) for value in values)
                elif block_id.startswith("options"):
                    options.update(Verb(value) for value in values)
                elif block_id.startswith("by_hand"):
                    done.update(values)
            elif state.get("selected_option"):
                singles[block_id] = str(state["selected_option"]["value"])
            elif state.get("value"):
                singles[block_id] = str(state["value"])
        return Submission(
            user_id=user_id,
            team_id=_team(body),
            name=str(view["callback_id"]).removeprefix(PREFIX),
            press=Press(user_id=user_id, case_id=int(meta["case"]), version=int(meta["version"])),
            plan_set_id=meta.get("plans"),
            decision_id=meta.get("decision"),
            proposal_id=meta.get("proposal"),
            reason=singles.pop("reason", None),
            note=singles.pop("note", None),
            ticked=frozenset(ticked) if has_targets else None,
            options=frozenset(options),
            done=frozenset(done),
            fields=singles,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PayloadError("view_submission") from error


def parse_command(body: Mapping[str, Any]) -> CommandCall:
    """Raises PayloadError."""
    try:
        return CommandCall(
            user_id=str(body["user_id"]),
            team_id=str(body["team_id"]),
            channel=str(body["channel_id"]),
            text=str(body.get("text") or "").strip(),
            trigger_id=str(body.get("trigger_id") or ""),
            response_url=body.get("response_url"),
        )
    except KeyError as error:
        raise PayloadError("command") from error


def parse_subject(value: str) -> Subject:
    """`order:O-1` as the modals write it. Raises ValueError."""
    kind, _, subject_id = value.partition(":")
    if not subject_id:
        raise ValueError(value)
    return Subject(SubjectKind(kind), subject_id)


def _press(user_id: str, value: object) -> Press | None:
    if not value or value == NOTHING:
        return None
    case_id, _, version = str(value).partition("|")
    return Press(user_id=user_id, case_id=int(case_id), version=int(version))


def _team(body: Mapping[str, Any]) -> str:
    """The person's own workspace, which in a shared channel is not the channel's."""
    return str(body["user"].get("team_id") or body["team"]["id"])


def _inputs(view: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for block_id, actions in (view.get("state") or {}).get("values", {}).items():
        for state in actions.values():
            yield str(block_id), state
