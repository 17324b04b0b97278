"""Slack's payloads, parsed once into types; nothing behind this module indexes raw JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.cases.room import Press
from bot.cases.selecting import Picking
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb

PREFIX = "act:"
PROPOSAL = "prop_"
"""How the id of a proposal begins."""
NOTHING = "-"
"""The value of a button that carries nothing, since Slack wants one."""
_CASE_ID = re.compile(r"[0-9]{1,18}")
_VERSION = re.compile(r"[0-9]{1,9}")
_UNSAYABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_ID = 255
_LONGEST_TEXT = 3000


class PayloadError(Exception):
    """A signed payload that is not one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Whom a payload comes from and where an answer goes, as far as it can be made out."""

    user_id: str
    channel: str | None
    response_url: str | None


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
    view_id: str | None = None
    """The modal that a button stands in."""
    picking: Picking | None = None
    """What stood ticked in it, where it is a page of many members."""


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
    shown: frozenset[str]
    """The operations that could be ticked, by id: nothing is said of any other."""
    fields: Mapping[str, str]
    """Every other single value, by block id."""
    proposal_id: str | None = None
    picking: Picking | None = None
    """What stands ticked on a page of many members."""
    picked: int | None = None
    """The revision of a selection that a confirmation showed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCall:
    """A slash command."""

    user_id: str
    team_id: str
    channel: str
    text: str
    trigger_id: str
    response_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What somebody wrote in a thread."""

    user_id: str
    channel: str
    thread_ts: str
    ts: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """An event of the workspace."""

    kind: str
    team_id: str
    reply: Reply | None
    """None: it is none, or of a bot."""


def parse_sender(body: Mapping[str, Any]) -> Sender:
    """Of a payload that may be anything."""
    user, channel = body.get("user"), body.get("channel")
    named = user.get("id") if isinstance(user, Mapping) else body.get("user_id")
    place = channel.get("id") if isinstance(channel, Mapping) else body.get("channel_id")
    return Sender(
        user_id=named if isinstance(named, str) and 0 < len(named) <= _LONGEST_ID else "",
        channel=place if isinstance(place, str) else None,
        response_url=url if isinstance(url := body.get("response_url"), str) else None,
    )


def parse_event(body: Mapping[str, Any]) -> Happened:
    """Never refused: whatever means nothing to us is nothing to us."""
    event = body.get("event")
    if not isinstance(event, Mapping):
        event = {}
    return Happened(
        kind=str(event.get("type") or ""),
        team_id=str(body.get("team_id") or ""),
        reply=None if event.get("subtype") or event.get("bot_id") else _reply(event),
    )


def _reply(event: Mapping[str, Any]) -> Reply | None:
    if event.get("type") != "message":
        return None
    try:
        return Reply(
            user_id=_id(event.get("user")),
            channel=_id(event.get("channel")),
            thread_ts=_id(event.get("thread_ts")),
            ts=_id(event.get("ts")),
            text=_UNSAYABLE.sub("", str(event.get("text") or "")),
        )
    except ValueError:
        return None


def parse_click(body: Mapping[str, Any]) -> Click:
    """Raises PayloadError."""
    try:
        pressed = body["actions"][0]
        action_id, value = _id(pressed["action_id"]), pressed.get("value")
        if pressed.get("selected_option"):
            chosen, _, value = str(pressed["selected_option"]["value"]).partition("|")
            action_id = PREFIX + chosen
        user_id = _id(body["user"]["id"])
        view = body.get("view")
        proposal_id = _id(value) if str(value or "").startswith(PROPOSAL) else None
        return Click(
            user_id=user_id,
            team_id=_team(body),
            name=action_id.removeprefix(PREFIX),
            press=None if proposal_id else _press(user_id, value),
            proposal_id=proposal_id,
            trigger_id=_optional(body.get("trigger_id")) or "",
            channel=_optional((body.get("channel") or {}).get("id")),
            response_url=_optional(body.get("response_url"), _LONGEST_TEXT),
            view_id=_id(view["id"]) if view else None,
            picking=_picking(view) if view else None,
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PayloadError("block_actions") from error


def parse_submission(body: Mapping[str, Any]) -> Submission:
    """Raises PayloadError."""
    try:
        view = body["view"]
        meta = json.loads(view.get("private_metadata") or "{}")
        user_id = _id(body["user"]["id"])
        singles: dict[str, str] = {}
        ticked: set[Subject] = set()
        options: set[Verb] = set()
        done: set[str] = set()
        has_targets = False
        for block_id, state in _inputs(view):
            if "selected_options" in state:
                values = [_text(option["value"]) for option in state["selected_options"] or []]
                if block_id.startswith("targets"):
                    has_targets = True
                    ticked.update(parse_subject(value) for value in values)
                elif block_id.startswith("options"):
                    options.update(Verb(value) for value in values)
                elif block_id.startswith("by_hand"):
                    done.update(values)
            elif state.get("selected_option"):
                singles[block_id] = _text(state["selected_option"]["value"])
            elif state.get("value"):
                singles[block_id] = _text(state["value"])
        return Submission(
            user_id=user_id,
            team_id=_team(body),
            name=_id(view["callback_id"]).removeprefix(PREFIX),
            press=_press_of(user_id, str(meta["case"]), str(meta["version"])),
            plan_set_id=_optional(meta.get("plans")),
            decision_id=_optional(meta.get("decision")),
            proposal_id=_optional(meta.get("proposal")),
            reason=singles.pop("reason", None),
            note=singles.pop("note", None),
            ticked=frozenset(ticked) if has_targets else None,
            options=frozenset(options),
            done=frozenset(done),
            shown=frozenset(_offered(view, "by_hand")),
            fields=singles,
            picking=_picking(view),
            picked=int(meta["picked"]) if "picked" in meta else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PayloadError("view_submission") from error


def _picking(view: Mapping[str, Any]) -> Picking | None:
    """Of a modal that shows one page of many members."""
    meta = json.loads(view.get("private_metadata") or "{}")
    if "page" not in meta:
        return None
    ticked: set[Subject] = set()
    singles: dict[str, str] = {}
    for block_id, state in _inputs(view):
        if block_id.startswith("targets"):
            ticked.update(
                parse_subject(_text(one["value"])) for one in state.get("selected_options") or []
            )
        elif state.get("selected_option"):
            singles[block_id] = _text(state["selected_option"]["value"])
        elif state.get("value"):
            singles[block_id] = _text(state["value"])
    return Picking(
        plan_set_id=_id(meta["plans"]),
        action=_id(meta["action"]),
        page=int(meta["page"]),
        shown=frozenset(parse_subject(value) for value in _offered(view, "targets")),
        ticked=frozenset(ticked),
        amount=singles.get("amount", ""),
        account=singles.get("account"),
        redrawn=bool(meta.get("redrawn")),
    )


def parse_command(body: Mapping[str, Any]) -> CommandCall:
    """Raises PayloadError."""
    try:
        return CommandCall(
            user_id=_id(body["user_id"]),
            team_id=_id(body["team_id"]),
            channel=_id(body["channel_id"]),
            text=_text(body.get("text") or "").strip(),
            trigger_id=_optional(body.get("trigger_id")) or "",
            response_url=_optional(body.get("response_url"), _LONGEST_TEXT),
        )
    except (KeyError, ValueError) as error:
        raise PayloadError("command") from error


def parse_subject(value: str) -> Subject:
    """`order:O-1` as the modals write it. Raises ValueError."""
    kind, _, subject_id = value.partition(":")
    if not 0 < len(subject_id) <= _LONGEST_ID:
        raise ValueError("no subject")
    return Subject(SubjectKind(kind), subject_id)


def _press(user_id: str, value: object) -> Press | None:
    if not value or value == NOTHING:
        return None
    case_id, _, version = str(value).partition("|")
    return _press_of(user_id, case_id, version)


def _press_of(user_id: str, case_id: str, version: str) -> Press:
    if not (_CASE_ID.fullmatch(case_id) and _VERSION.fullmatch(version)):
        raise ValueError("no case")
    return Press(user_id=user_id, case_id=int(case_id), version=int(version))


def _id(value: object) -> str:
    """A text that a column of ids takes."""
    found = _optional(value)
    if not found:
        raise ValueError("no id")
    return found


def _optional(value: object, limit: int = _LONGEST_ID) -> str | None:
    if value is None:
        return None
    text = _text(value)
    if len(text) > limit:
        raise ValueError("too long")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str) or _UNSAYABLE.search(value):
        raise ValueError("no text")
    return value


def _team(body: Mapping[str, Any]) -> str:
    """The person's own workspace, which in a shared channel is not the channel's."""
    return _id(body["user"].get("team_id") or body["team"]["id"])


def _offered(view: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The values of all options of the blocks whose id begins so, as the modal showed them."""
    for block in view.get("blocks") or []:
        if str(block.get("block_id", "")).startswith(prefix):
            for option in (block.get("element") or {}).get("options", []):
                yield str(option["value"])


def _inputs(view: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for block_id, actions in (view.get("state") or {}).get("values", {}).items():
        for state in actions.values():
            yield str(block_id), state
