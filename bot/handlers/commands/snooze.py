"""/cre snooze: make a detection quiet about one subject; without a reason, only what that would have hidden."""

from __future__ import annotations

import re
from difflib import get_close_matches

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.keeping_lists import preview_snooze, snooze
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject, SubjectKind
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_

_WORDS = re.compile(
    r"(?P<detection>[A-Za-z][A-Za-z0-9_]*) (?:(?P<kind>order|account|listing):)?(?P<id>[^\s:]{1,200})"
    r" (?P<days>\d{1,3})d(?: (?P<reason>.+))?"
)
NOT_UNDERSTOOD = Refusal(code=RefusalCode.BAD_LIST, detail="snooze")


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    said = _WORDS.fullmatch(" ".join(argument.split()))
    if said is None:
        return NOT_UNDERSTOOD
    detection = desk.detections.get(said["detection"].lower())
    if detection is None:
        near = get_close_matches(said["detection"].lower(), desk.detections, 1)
        return Refusal(
            code=RefusalCode.NO_SUCH_DETECTION,
            detail=said["detection"],
            reason=near[0] if near else None,
        )
    messages = await desk.messages_of(call.user_id)
    # An account is what people mean most: it stands beside the orders of most detections.
    subject = Subject(SubjectKind(said["kind"] or "account"), said["id"])
    days = int(said["days"])
    if not said["reason"]:
        hidden = await preview_snooze(desk.room, call.user_id, detection.name, subject, days)
        if isinstance(hidden, Refusal):
            return hidden
        return answers.snooze_preview(detection.name, subject, days, hidden, messages=messages)
    made = await snooze(desk.room, call.user_id, detection.name, subject, days, said["reason"])
    if isinstance(made, Refusal):
        return made
    return answers.snoozed(made, messages=messages, tz=desk.tz)


COMMAND = Command(
    name="snooze",
    argument="DETECTION [KIND:]ID DAYSd [REASON]",
    description=N_(
        "Make a detection quiet about an account for some days; without a reason, see what it hides"
    ),
    run=run,
)
