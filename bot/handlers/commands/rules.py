"""/cre rules [PAGE | NAME MODE REASON]: what each detection is worth, and propose another mode of one."""

from __future__ import annotations

from difflib import get_close_matches

from bot.cards import answers
from bot.cards.answers import Answer
from bot.cases.proposing_modes import propose_mode, standings
from bot.domain.findings import Mode
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.commands._kit import Command
from bot.handlers.desk import Desk
from bot.handlers.payloads import CommandCall
from bot.locale import N_

_MODES = {mode.value: mode for mode in (Mode.SHADOW, Mode.REVIEW, Mode.AUTOMATIC)}


async def run(desk: Desk, call: CommandCall, argument: str) -> Answer | Refusal:
    name, _, rest = argument.partition(" ")
    messages = await desk.messages_of(call.user_id)
    if not name or name.isdecimal():
        found = await standings(desk.room, call.user_id, desk.detections.values())
        if isinstance(found, Refusal):
            return found
        return answers.rules_answer(found, page=int(name[:4] or 1), messages=messages, tz=desk.tz)
    detection = desk.detections.get(name.lower())
    if detection is None:
        near = get_close_matches(name.lower(), desk.detections, 1)
        return Refusal(
            code=RefusalCode.NO_SUCH_DETECTION, detail=name, reason=near[0] if near else None
        )
    told, _, reason = rest.strip().partition(" ")
    mode = _MODES.get(told.lower())
    if mode is None:
        return answers.mode_usage(detection.name, messages=messages)
    asked = await propose_mode(desk.room, call.user_id, detection, mode, reason)
    if isinstance(asked, Refusal):
        return asked
    return Answer(text=answers.proposal_answered(asked.proposal, asked.missing, messages=messages))


COMMAND = Command(
    name="rules",
    argument="[PAGE or NAME MODE REASON]",
    description=N_("The detections: what they found and how often they were right; propose a mode"),
    run=run,
)
